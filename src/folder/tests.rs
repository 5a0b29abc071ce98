use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::class::Class;
use super::free::Freed;
use super::{FreeRequest, contents, free};
use crate::abort::Abort;
use crate::store::leftovers::Mode;
use crate::sweep::{self, Ageing, Options, Request};
use crate::system::Os;
use crate::testing::{Tree, touch};

const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";
const STAMP: &str = "2026-02-01T00-00-00.000Z";
/// No process has this pid.
const DEAD_LOCK: &[u8] = br#"{"pid":4194999,"createdAt":"2026-02-01T00:00:00.000Z","starttime":1}"#;
/// 2026-03-01T00:00:00Z.
const CUTOFF_MS: f64 = 1_772_323_200_000.0;

fn counted(store: &Path) -> Vec<(Class, u64, u64)> {
    counted_with(store, &[])
}

fn counted_with(store: &Path, others: &[String]) -> Vec<(Class, u64, u64)> {
    let found = contents(&Os, store, others, &Abort::default()).unwrap();
    let figures = found.classes.iter();
    figures.map(|it| (it.class, it.files, it.bytes)).collect()
}

fn everything(store: &Path, mode: Mode) -> FreeRequest<'_> {
    FreeRequest {
        store,
        archives_before_ms: Some(CUTOFF_MS),
        resets_before_ms: Some(CUTOFF_MS),
        backups_before_ms: Some(CUTOFF_MS),
        dead: true,
        stores: &[],
        readable: &[],
        mode,
    }
}

fn freed(request: &FreeRequest<'_>) -> Vec<(Class, String, u64)> {
    let Freed { files, failures } = free(&Os, request, &Abort::default()).unwrap();
    assert_eq!(failures, Vec::<String>::new());
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut freed: Vec<_> = files
        .into_iter()
        .map(|file| (file.class, name(file.path), file.bytes))
        .collect();
    freed.sort();
    freed
}

/// A folder with files of each class, of 1 to 12 bytes.
fn laid_out(tree: &Tree) -> PathBuf {
    let store = tree.file_of(
        "sessions/sessions.json",
        br#"{"a":{"sessionId":"kept"},"b":{"sessionId":"x","sessionFile":"named.jsonl"}}"#,
    );
    for (name, contents) in [
        ("kept.jsonl", "1"),
        ("named.jsonl", "1"),
        ("orphan.jsonl", "123"),
        (&*format!("a.checkpoint.{UUID}.jsonl"), "1234"),
        (&format!("a.jsonl.deleted.{STAMP}"), "12345"),
        ("a.jsonl.deleted.2026-04-01T00-00-00.000Z", "1"),
        (&format!("a.jsonl.reset.{STAMP}"), "123456"),
        ("a.jsonl.reset.2026-04-01T00-00-00.000Z", "1"),
        ("sessions.json.bak.1769904000000", "1234567"),
        ("sessions.json.bak.1775001600000", "1"),
        (&format!("a.jsonl.deleted.{STAMP}.0a.zst"), "12345678"),
        (&format!("sessions.json.{UUID}.tmp"), "123456789"),
        ("notes.txt", "1234567890"),
    ] {
        tree.file_of(&format!("sessions/{name}"), contents.as_bytes());
    }
    let lock = tree.file_of("sessions/kept.jsonl.lock", DEAD_LOCK);
    // A younger lock may belong to a process that is only just becoming visible.
    touch(&lock, UNIX_EPOCH);
    tree.link(&format!("sessions/link.jsonl.reset.{STAMP}"), "kept.jsonl");
    tree.folder(&format!("sessions/folder.jsonl.deleted.{STAMP}"));
    store
}

#[test]
fn counts_the_files_of_each_class() {
    let tree = Tree::new();
    let store = laid_out(&tree);
    let before = tree.all();
    let lock = DEAD_LOCK.len() as u64;
    assert_eq!(
        counted(&store),
        [
            (Class::Transcripts, 2, 2),
            (Class::Orphans, 1, 3),
            (Class::Archives, 2, 6),
            (Class::Resets, 2, 7),
            (Class::Backups, 2, 8),
            (Class::Checkpoints, 1, 4),
            (Class::Exports, 1, 8),
            (Class::Temps, 1, 9),
            (Class::Locks, 1, lock),
            (Class::Others, 1, 10),
        ]
    );
    let found = contents(&Os, &store, &[], &Abort::default()).unwrap();
    let archives = found.classes.iter().find(|it| it.class == Class::Archives);
    assert_eq!(archives.unwrap().oldest_ms, 1_769_904_000_000);
    assert_eq!(tree.changes(&before), Vec::<String>::new());
}

#[test]
fn counts_no_orphans_if_the_store_cannot_be_read_or_is_missing() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", b"{\"a\":");
    tree.file_of("orphan.jsonl", b"123");
    assert_eq!(counted(&store), [(Class::Transcripts, 1, 3)]);
    std::fs::remove_file(&store).unwrap();
    assert_eq!(counted(&store), [(Class::Transcripts, 1, 3)]);
}

#[test]
fn a_transcript_that_another_store_in_the_folder_names_is_not_an_orphan() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", b"{}");
    tree.file_of("a.jsonl", b"1");
    tree.file_of("work.json", br#"{"k":{"sessionId":"a"}}"#);
    let others = (Class::Others, 1, 23);
    assert_eq!(counted(&store), [(Class::Transcripts, 1, 1), others]);
}

#[test]
fn counts_what_belongs_to_another_store_of_the_folder_by_its_class() {
    let tree = Tree::new();
    let store = tree.file_of("a.json", b"{}");
    tree.file_of("b.json", br#"{"k":{"sessionId":"b"}}"#);
    tree.file_of("b.jsonl", b"1");
    tree.file_of("a.json.bak.1769904000000", b"12");
    tree.file_of("b.json.bak.1769904000000", b"123");
    tree.file_of(&format!("b.json.{UUID}.tmp"), b"1234");
    assert_eq!(
        counted_with(&store, &["a.json".to_owned(), "b.json".to_owned()]),
        [
            (Class::Transcripts, 1, 1),
            (Class::Backups, 2, 5),
            (Class::Temps, 1, 4),
        ]
    );
}

#[test]
fn deletes_exactly_the_old_files_that_a_dry_run_names() {
    let tree = Tree::new();
    let store = laid_out(&tree);
    let before = tree.all();
    let lock = DEAD_LOCK.len() as u64;
    let expected = [
        (Class::Archives, format!("a.jsonl.deleted.{STAMP}"), 5),
        (Class::Resets, format!("a.jsonl.reset.{STAMP}"), 6),
        (Class::Backups, "sessions.json.bak.1769904000000".into(), 7),
        (Class::Locks, "kept.jsonl.lock".into(), lock),
    ];
    assert_eq!(freed(&everything(&store, Mode::DryRun)), expected);
    assert_eq!(tree.changes(&before), Vec::<String>::new());

    assert_eq!(freed(&everything(&store, Mode::Apply)), expected);

    let mut after = before;
    for (_, name, _) in expected {
        after.remove(&format!("sessions/{name}")).unwrap();
    }
    assert_eq!(tree.changes(&after), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn deletes_no_file_to_which_a_link_in_the_folder_leads() {
    let tree = Tree::new();
    for target in [
        format!("a.jsonl.deleted.{STAMP}"),
        format!("sessions.json.deleted.{STAMP}"),
        "sessions.json.bak.1769904000000".to_owned(),
    ] {
        tree.file_of(&target, b"{}");
        let store = tree.at("sessions.json");
        std::os::unix::fs::symlink(&target, &store).unwrap();
        assert_eq!(freed(&everything(&store, Mode::Apply)), [], "{target}");
        std::fs::remove_file(&store).unwrap();
        std::fs::remove_file(tree.at(&target)).unwrap();
    }
}

#[test]
fn deletes_nothing_that_was_not_requested() {
    let tree = Tree::new();
    let store = laid_out(&tree);
    let request = FreeRequest {
        archives_before_ms: None,
        resets_before_ms: None,
        backups_before_ms: None,
        dead: false,
        ..everything(&store, Mode::Apply)
    };
    assert_eq!(freed(&request), []);
}

#[test]
fn deletes_no_store_whose_name_is_that_of_a_backup_an_archive_or_a_temp_file() {
    let tree = Tree::new();
    let store = laid_out(&tree);
    let all = freed(&everything(&store, Mode::DryRun));
    for (at, (_, name, _)) in all.iter().enumerate() {
        let request = FreeRequest {
            stores: &["sessions.json".to_owned(), name.clone()],
            ..everything(&store, Mode::DryRun)
        };
        let mut others = all.clone();
        others.remove(at);
        assert_eq!(freed(&request), others);
    }
}

#[test]
fn deletes_nothing_beside_a_store_that_cannot_be_read() {
    let tree = Tree::new();
    let store = laid_out(&tree);
    tree.file_of("sessions/damaged.json", b"{\"a\":");
    tree.folder("sessions/folder.json");
    tree.link("sessions/dangling.json", "nowhere");
    let before = tree.all();
    for (name, message) in [
        ("damaged.json", "damaged.json:1:6: invalid JSON"),
        ("folder.json", "folder.json, found a directory"),
        ("dangling.json", "dangling.json, found a symbolic link"),
    ] {
        let request = FreeRequest {
            readable: &["sessions.json".to_owned(), name.to_owned()],
            ..everything(&store, Mode::Apply)
        };
        let error = free(&Os, &request, &Abort::default()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(tree.changes(&before), Vec::<String>::new());
    }
    let request = FreeRequest {
        readable: &["sessions.json".to_owned(), "missing.json".to_owned()],
        ..everything(&store, Mode::Apply)
    };
    assert_eq!(freed(&request).len(), 4);
}

#[test]
fn keeps_the_lock_of_a_live_process() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", b"{}");
    let live = format!(
        r#"{{"pid":{},"createdAt":"2026-02-01T00:00:00.000Z"}}"#,
        std::process::id()
    );
    tree.file_of("a.jsonl.lock", live.as_bytes());
    assert_eq!(freed(&everything(&store, Mode::Apply)), []);
    assert_eq!(counted(&store)[0].0, Class::Others);
}

#[test]
fn deletes_no_backup_if_there_is_neither_a_store_nor_a_database() {
    let tree = Tree::new();
    tree.file_of("sessions/sessions.json.bak.1769904000000", b"{}");
    let store = tree.at("sessions/sessions.json");
    assert_eq!(freed(&everything(&store, Mode::Apply)), []);
    tree.file_of("agent/openclaw-agent.sqlite", b"SQLite format 3\0");
    assert_eq!(freed(&everything(&store, Mode::DryRun)).len(), 1);
}

#[test]
fn deletes_a_temp_file_only_if_the_store_was_migrated_after_it_was_written() {
    let tree = Tree::new();
    tree.file_of("agent/openclaw-agent.sqlite", b"SQLite format 3\0");
    let temp = format!("sessions/sessions.json.{UUID}.tmp");
    let temp = tree.file_of(&temp, b"123");
    let store = tree.at("sessions/sessions.json");
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    touch(&temp, at(1_000_000_000));

    let imported =
        "session-sqlite-import-archive/legacy-store.sessions.json.imported-1795713975172";
    let imported = tree.file_of(imported, b"{}");
    touch(&imported, at(999_999_999));
    assert_eq!(freed(&everything(&store, Mode::Apply)), []);
    touch(&imported, at(1_000_000_000));
    let name = format!("sessions.json.{UUID}.tmp");
    assert_eq!(
        freed(&everything(&store, Mode::Apply)),
        [(Class::Temps, name, 3)]
    );
    assert!(!temp.exists());
}

#[test]
fn finds_the_database_beside_a_linked_folder_not_beside_its_target() {
    let tree = Tree::new();
    let backup = "sessions.json.bak.1769904000000";
    for disk in ["disk", "other"] {
        tree.file_of(&format!("{disk}/main/{backup}"), b"1");
    }
    tree.file_of(
        "agents/main/agent/openclaw-agent.sqlite",
        b"SQLite format 3\0",
    );
    tree.file_of("other/agent/openclaw-agent.sqlite", b"SQLite format 3\0");
    tree.folder("agents/work");
    for (agent, disk) in [("main", "disk"), ("work", "other")] {
        tree.link(
            &format!("agents/{agent}/sessions"),
            &format!("../../{disk}/main"),
        );
    }

    let of = |agent| tree.at(&format!("agents/{agent}/sessions/sessions.json"));

    assert_eq!(
        freed(&everything(&of("main"), Mode::DryRun)),
        [(Class::Backups, backup.to_owned(), 1)]
    );
    assert_eq!(freed(&everything(&of("work"), Mode::DryRun)), []);
}

#[test]
fn lists_by_name_what_a_sweep_removes() {
    let tree = Tree::new();
    let store = tree.file_of(
        "sessions.json",
        br#"{"agent:main:cron:j:run:1":{"updatedAt":0,"sessionId":"a"},"agent:main:main":{}}"#,
    );
    let transcript = tree.file_of("a.jsonl", b"1");
    let archive = tree.file_of(&format!("b.jsonl.deleted.{STAMP}"), b"1");
    let temp = tree.file_of(&format!("sessions.json.{UUID}.tmp"), b"1");
    touch(&temp, UNIX_EPOCH);
    let request = Request {
        store: &store,
        now_ms: CUTOFF_MS,
        retention_ms: 1e9,
    };
    let options = Options {
        ageing: Ageing::After(0.0),
        remove_temps: true,
        ..Options::default()
    };
    let before = tree.all();

    let names = sweep::removals(&Os, request, &options).unwrap();

    let keys: Vec<_> = names.runs.iter().map(|run| run.key.get()).collect();
    assert_eq!(keys, [r#""agent:main:cron:j:run:1""#]);
    assert_eq!(names.transcripts, [transcript]);
    assert_eq!(names.archives, [archive]);
    assert_eq!(names.temps, [temp]);
    assert_eq!(tree.changes(&before), Vec::<String>::new());
}
