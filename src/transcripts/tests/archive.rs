//! Archiving transcripts, undoing it, and deleting archives.

use std::fs;
use std::io::ErrorKind;

use super::{NOON, STAMP, expired, odd_tree, remove_expired};
use crate::system::Os;
use crate::testing::{Faulty, Tree};
use crate::transcripts::Tally;
use crate::transcripts::archive::{self, Archive};

#[test]
fn archiving_never_overwrites_an_archive() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    tree.file(&format!("a.jsonl.deleted.{STAMP}"));
    tree.folder("a.jsonl.deleted.2026-03-01T12-00-00.001Z");
    tree.link("a.jsonl.deleted.2026-03-01T12-00-00.002Z", "nowhere");
    let mut expected = tree.all();
    let moved = expected.remove("a.jsonl").unwrap();
    expected.insert("a.jsonl.deleted.2026-03-01T12-00-00.003Z".to_owned(), moved);

    let mut archive = Archive::new(&Os);
    assert!(archive.add(&transcript, NOON));
    assert_eq!(tree.all(), expected);
}

#[test]
fn a_transcript_without_a_free_archive_name_keeps_its_name_and_is_reported() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    let taken = Faulty::new(|call, _| match call {
        "rename_no_replace" => Some(ErrorKind::AlreadyExists),
        _ => None,
    });
    let mut archive = Archive::new(&taken);
    assert!(!archive.add(&transcript, NOON));
    let path = transcript.display();
    assert_eq!(
        archive.warnings(),
        [format!(
            "cannot archive {path}: all 1000 archive names that were tried exist"
        )]
    );
    assert!(archive.folders().next().is_none() && transcript.exists());
}

#[test]
fn a_missing_or_failing_transcript_does_not_affect_the_others() {
    let tree = Tree::new();
    let paths = ["a.jsonl", "stuck.jsonl", "b.jsonl"].map(|name| tree.file(name));
    let mut expected = tree.all();
    for name in ["a.jsonl", "b.jsonl"] {
        let file = expected.remove(name).unwrap();
        expected.insert(format!("{name}.deleted.{STAMP}"), file);
    }
    let stuck = Faulty::new(|call, path| {
        let is_stuck = call == "rename_no_replace" && path.ends_with("stuck.jsonl");
        is_stuck.then_some(ErrorKind::PermissionDenied)
    });
    let mut archive = Archive::new(&stuck);
    assert!(!archive.add(&tree.at("missing.jsonl"), NOON));
    assert!(!archive.add(&tree.at("a.jsonl/missing.jsonl"), NOON));
    let archived = paths.each_ref().map(|path| archive.add(path, NOON));
    assert_eq!(archived, [true, false, true]);
    assert!(!archive.add(&paths[0], NOON), "already archived");

    assert_eq!(tree.all(), expected);
    let path = paths[1].display();
    assert_eq!(
        archive.warnings(),
        [format!("cannot archive {path}: EACCES: permission denied")]
    );
}

#[test]
fn folders_returns_the_folders_of_archived_transcripts() {
    let tree = odd_tree();
    let mut archive = Archive::new(&Os);
    for path in [
        "store/a.jsonl",
        "store/sub/c.jsonl",
        "store/b.jsonl",
        "store-2/no.jsonl",
    ] {
        archive.add(&tree.at(path), NOON);
    }
    let folders: Vec<_> = archive.folders().collect();
    assert_eq!(folders, [tree.at("store"), tree.at("store/sub")]);
}

#[test]
fn a_failed_folder_sync_is_an_error_and_the_other_folders_are_synced() {
    let tree = odd_tree();
    let system = Faulty::new(|call, path| {
        let fails = call == "sync_folder" && path.ends_with("store");
        fails.then_some(ErrorKind::StorageFull)
    });
    let mut archive = Archive::new(&system);
    archive.add(&tree.at("store/a.jsonl"), NOON);
    archive.add(&tree.at("store/sub/c.jsonl"), NOON);
    let elsewhere = tree.at("elsewhere");
    let error = archive.sync_outside(&elsewhere).unwrap_err().to_string();
    let store = tree.at("store");
    assert!(
        error.starts_with(&format!("cannot sync {}: ", store.display())),
        "{error}"
    );
    let sub = tree.at("store/sub");
    assert_eq!(system.calls("sync_folder"), [&*store, &*sub]);

    archive.sync_outside(&store).unwrap();
    assert_eq!(system.calls("sync_folder"), [&*store, &*sub, &*sub]);
}

#[test]
fn undo_restores_every_transcript() {
    let tree = odd_tree();
    let before = tree.all();
    let mut archive = Archive::new(&Os);
    for path in [
        "store/a.jsonl",
        "store/b.jsonl",
        "store/hard.jsonl",
        "store/sub/c.jsonl",
    ] {
        assert!(archive.add(&tree.at(path), NOON));
    }
    assert_ne!(tree.all(), before);
    assert_eq!(archive.undo(), Vec::<String>::new());
    assert_eq!(tree.all(), before);
}

#[test]
fn undo_runs_in_reverse_order_and_never_overwrites() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    let system = Faulty::new(|_, _| None);
    let mut archive = Archive::new(&system);
    archive.add(&transcript, NOON);
    // The session has continued in a new file with the same name.
    tree.file_of("a.jsonl", b"second");
    archive.add(&transcript, NOON);
    system.forget_calls();

    let warnings = archive.undo();
    let second = tree.at("a.jsonl.deleted.2026-03-01T12-00-00.001Z");
    let first = tree.at(&format!("a.jsonl.deleted.{STAMP}"));
    assert_eq!(system.calls("rename_no_replace"), [second, first.clone()]);
    assert_eq!(fs::read(&transcript).unwrap(), b"second");
    assert_eq!(fs::read(&first).unwrap(), b"a.jsonl");
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    let start = format!("cannot undo the archiving of {}: ", transcript.display());
    assert!(warning.starts_with(&start), "{warning}");
    let end = format!("its contents are in {}", first.display());
    assert!(warning.ends_with(&end), "{warning}");
}

#[test]
fn archiving_without_rename_no_replace_checks_the_name_first() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    tree.file(&format!("a.jsonl.deleted.{STAMP}"));
    let before = tree.all();
    let no_flag = Faulty::new(|call, _| match call {
        "rename_no_replace" => Some(ErrorKind::Unsupported),
        _ => None,
    });
    let mut archive = Archive::new(&no_flag);
    assert!(archive.add(&transcript, NOON));
    assert!(tree.at("a.jsonl.deleted.2026-03-01T12-00-00.001Z").exists());
    assert_eq!(archive.undo(), Vec::<String>::new());
    assert_eq!(tree.all(), before);
}

#[test]
fn only_archives_with_a_stamp_before_the_cutoff_are_deleted() {
    let tree = Tree::new();
    let expired = [
        "a.jsonl.deleted.2026-03-01T11-59-59.999Z",
        "x.deleted.2026-03-01T11-59-59Z",
        ".deleted.2026-03-01T11-59-59Z",
        "a.deleted.b.deleted.2026-01-20T12-00-00.000Z",
        "a.deleted.2027-01-20T12-00-00.000Z.deleted.2026-01-20T12-00-00.000Z",
        "notes.txt.deleted.2026-01-20T12-00-00.000Z",
        "v.deleted.2025-01-01T24-00-00.000Z",
        "w.deleted.1969-12-31T23-59-59.999Z",
    ];
    let kept = [
        "a.jsonl",
        "a.jsonl.deleted.2026-03-01T12-00-00.000Z",
        "x.deleted.2026-03-01T12-00-00Z",
        "a.deleted.2026-01-20T12-00-00.000Z.deleted.2027-01-20T12-00-00.000Z",
        "w.deleted.2026-01-20T12-00-00.000Z.jsonl",
        "z.deleted.notatime",
        "z.deleted.",
        "u.deleted.2025-01-01T23-59-60Z",
        "u.deleted.2026-13-01T10-00-00.000Z",
        "u.deleted.2026-01-20T12:00:00.000Z",
        "u.deleted.2026-01-20T12-00-00.00Z",
        "u.deleted.2026-01-20T12-00-00.000z",
        "u.deleted.2026-01-20T12-00-00.000",
        "u.deleted.2026-01-20",
        "u.deleted. 2026-01-20T12-00-00.000Z",
        "u.DELETED.2026-01-20T12-00-00.000Z",
        "u.reset.2026-01-20T12-00-00.000Z",
        "u.jsonl.bak.2026-01-20T12-00-00.000Z",
        "deleted.2026-01-20T12-00-00.000Z",
        "sub/a.deleted.2026-01-20T12-00-00.000Z",
    ];
    for name in expired.into_iter().chain(kept) {
        tree.file(name);
    }
    tree.folder("dir.deleted.2026-01-20T12-00-00.000Z");
    tree.fifo("fifo.deleted.2026-01-20T12-00-00.000Z");
    tree.link("link.deleted.2026-01-20T12-00-00.000Z", "a.jsonl");
    let mut expected = tree.all();
    for name in expired {
        expected.remove(name);
    }

    let removed = remove_expired(&Os, tree.root(), 1_772_366_400_000.0).unwrap();
    assert_eq!(tree.all(), expected);
    // Each file contains its own name.
    let bytes = expired.iter().map(|name| name.len()).sum::<usize>();
    assert_eq!(
        removed,
        Tally {
            files: expired.len() as u64,
            bytes: bytes as u64
        }
    );
}

#[test]
fn an_archive_exactly_as_old_as_the_retention_is_kept() {
    let tree = Tree::new();
    tree.file(&format!("a.jsonl.deleted.{STAMP}"));
    for (cutoff, removed) in [
        (f64::NAN, 0),
        (f64::NEG_INFINITY, 0),
        (1_772_366_399_999.75, 0),
        (1_772_366_400_000.0, 0),
        (1_772_366_400_000.25, 1),
    ] {
        let counted = archive::count(expired(tree.root(), cutoff).unwrap());
        let count = remove_expired(&Os, tree.root(), cutoff).unwrap();
        assert_eq!(count.files, removed, "{cutoff}");
        assert_eq!(counted, count, "{cutoff}");
    }
}

#[test]
fn an_archive_that_cannot_be_deleted_does_not_affect_the_others() {
    let tree = Tree::new();
    for name in ["a", "stuck", "b"] {
        tree.file(&format!("{name}.deleted.2026-01-20T12-00-00.000Z"));
    }
    let stuck = Faulty::new(|call, path| {
        let is_stuck = call == "unlink" && path.to_str().unwrap().contains("stuck");
        is_stuck.then_some(ErrorKind::PermissionDenied)
    });
    assert_eq!(
        remove_expired(&stuck, tree.root(), f64::INFINITY)
            .unwrap()
            .files,
        2
    );
    assert_eq!(tree.all().len(), 1);
}
