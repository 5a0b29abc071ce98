//! Orderings of ARCHITECTURE.md that no other test detects, and failed calls that must be reported. Each
//! test examines the disk, or the calls so far, at the moment of one system call.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::survey_cache::SurveyCache;
use crate::sweep::{Options, Request};

use crate::testing::{Faulty, Swept, Tree, swept, swept_with};

const RUN: &str = r#""agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1}"#;
const CHAT: &str = r#""agent:main:main":{"sessionId":"m"}"#;

fn folder(store: &str) -> Tree {
    let tree = Tree::new();
    tree.file_of("sessions.json", store.as_bytes());
    tree.file("r.jsonl");
    tree
}

fn request(store: &Path) -> Request<'_> {
    Request {
        store,
        now_ms: 2e12,
        retention_ms: 1e9,
    }
}

fn sweep_on(tree: &Tree, system: &Faulty) -> Swept {
    let store = tree.at("sessions.json");
    swept(system, request(&store), &SurveyCache::new())
}

fn is_commits_temp(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains(".reaper."))
}

#[test]
fn archives_the_transcripts_before_the_store_is_replaced() {
    let tree = folder(&format!("{{{CHAT},{RUN}}}"));
    let transcript = tree.at("r.jsonl");
    let was_archived = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&was_archived);
    let system = Faulty::new(move |name, path| {
        if name == "exchange" && is_commits_temp(path) {
            seen.store(!transcript.exists(), Ordering::Relaxed);
        }
        None
    });
    assert_eq!(sweep_on(&tree, &system).pruned, 1);
    assert!(was_archived.load(Ordering::Relaxed));
}

#[test]
fn looks_for_links_after_the_new_store_is_synced() {
    let chat = r#""agent:main:main":{"sessionFile":"alias.jsonl"}"#;
    let tree = folder(&format!("{{{chat},{RUN}}}"));
    let alias = tree.at("alias.jsonl");
    let system = Faulty::new(move |name, _| {
        if name == "sync" {
            symlink("r.jsonl", &alias).unwrap();
        }
        None
    });
    let report = sweep_on(&tree, &system);
    assert_eq!((report.pruned, report.transcripts.archived), (1, 0));
    assert!(tree.at("r.jsonl").exists());
}

#[test]
fn syncs_the_folders_of_archives_before_the_old_store_is_removed() {
    let run = RUN.replace(
        r#""updatedAt""#,
        r#""sessionFile":"sub/s.jsonl","updatedAt""#,
    );
    let tree = folder(&format!("{{{CHAT},{run}}}"));
    tree.file("sub/s.jsonl");
    let (sub, synced) = (tree.at("sub"), Arc::new(AtomicBool::new(false)));
    let in_time = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&in_time);
    let system = Faulty::new(move |name, path| {
        if name == "sync_folder" && path == sub {
            synced.store(true, Ordering::Relaxed);
        } else if name == "unlink" && is_commits_temp(path) {
            seen.store(synced.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        None
    });
    assert_eq!(sweep_on(&tree, &system).transcripts.archived, 2);
    assert!(in_time.load(Ordering::Relaxed));
}

#[test]
fn syncs_the_folder_before_the_old_store_is_removed() {
    let tree = folder(&format!("{{{CHAT},{RUN}}}"));
    let synced = AtomicBool::new(false);
    let in_time = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&in_time);
    let system = Faulty::new(move |name, path| {
        if name == "sync_folder" {
            synced.store(true, Ordering::Relaxed);
        } else if name == "unlink" && is_commits_temp(path) {
            seen.store(synced.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        None
    });
    assert_eq!(sweep_on(&tree, &system).pruned, 1);
    assert!(in_time.load(Ordering::Relaxed));
}

#[test]
fn sets_the_owner_before_the_new_store_is_synced() {
    let tree = folder(&format!("{{{CHAT},{RUN}}}"));
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let system = Faulty::new(move |name, _| {
        if name == "copy_owner" || name == "sync" {
            seen.lock().unwrap().push(name.to_owned());
        }
        None
    });
    assert_eq!(sweep_on(&tree, &system).pruned, 1);
    assert_eq!(*order.lock().unwrap(), ["copy_owner", "sync"]);
}

/// With a commit and without one.
#[test]
fn removes_leftovers_while_the_lock_is_held() {
    for entries in [CHAT.to_owned(), format!("{CHAT},{RUN}")] {
        let tree = folder(&format!("{{{entries}}}"));
        let left = tree.file_of("sessions.json.lock.1-0.tmp", b"{}");
        let (lock, leftover) = (tree.at("sessions.json.lock"), left.clone());
        let was_held = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&was_held);
        let system = Faulty::new(move |name, path| {
            if name == "unlink" && path == leftover {
                seen.store(lock.exists(), Ordering::Relaxed);
            }
            None
        });
        let options = Options {
            remove_temps: true,
            ..Options::default()
        };
        let store = tree.at("sessions.json");
        let report = swept_with(&system, request(&store), &options, &SurveyCache::new());
        assert_eq!(report.temps.removed, 1, "{entries}");
        let is_removed = !left.exists() && was_held.load(Ordering::Relaxed);
        assert!(is_removed, "{entries}");
    }
}

/// With unnamed files and without them.
#[test]
fn holds_the_flock_of_the_new_store_while_it_has_another_name() {
    for has_unnamed in [true, false] {
        holds_the_flock_while_named(has_unnamed);
    }
}

fn holds_the_flock_while_named(has_unnamed: bool) {
    let tree = folder(&format!("{{{CHAT},{RUN}}}"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, store_folder) = (Arc::clone(&seen), tree.at(""));
    let system = Faulty::new(move |call, _| {
        let names = fs::read_dir(&store_folder).unwrap();
        let mut paths = names.map(|entry| entry.unwrap().path());
        if let Some(temp) = paths.find(|path| is_commits_temp(path)) {
            let temp = fs::File::open(temp).unwrap();
            let is_held = fs2::FileExt::try_lock_exclusive(&temp).is_err();
            log.lock().unwrap().push((call.to_owned(), is_held));
        }
        (call == "create_unnamed" && !has_unnamed).then_some(ErrorKind::Unsupported)
    });
    assert_eq!(sweep_on(&tree, &system).pruned, 1);
    let mut seen = seen.lock().unwrap();
    if !has_unnamed {
        // The call that takes it comes directly after the one that creates the file.
        assert_eq!(seen.remove(0), ("try_flock".to_owned(), false));
    }
    // After the exchange, the name belongs to the old store.
    let exchange = seen.iter().position(|(call, _)| call == "exchange");
    let until_exchange = &seen[..=exchange.unwrap()];
    assert!(
        until_exchange.iter().all(|(_, is_held)| *is_held),
        "{until_exchange:?}"
    );
}

#[test]
fn logs_a_lock_that_cannot_be_removed_after_leftovers_were_removed() {
    let tree = folder(&format!("{{{CHAT}}}"));
    tree.file_of("sessions.json.lock.1-0.tmp", b"{}");
    let store = tree.at("sessions.json");
    let lock = tree.at("sessions.json.lock");
    let system = Faulty::new(move |name, path| {
        (name == "unlink" && path == lock).then_some(ErrorKind::PermissionDenied)
    });
    let options = Options {
        remove_temps: true,
        ..Options::default()
    };
    let swept = swept_with(&system, request(&store), &options, &SurveyCache::new());
    assert_eq!((swept.swept, swept.temps.removed), (true, 1));
    assert_eq!(swept.log.len(), 1, "{:?}", swept.log);
}

#[test]
fn logs_leftovers_that_cannot_be_removed_after_the_commit() {
    let tree = folder(&format!("{{{CHAT},{RUN}}}"));
    tree.file_of("sessions.json.lock.1-0.tmp", b"{}");
    let (store, is_committed) = (tree.at("sessions.json"), AtomicBool::new(false));
    let system = Faulty::new(move |name, path| {
        is_committed.fetch_or(
            name == "exchange" && is_commits_temp(path),
            Ordering::Relaxed,
        );
        let fails = name == "stat" && path == store && is_committed.load(Ordering::Relaxed);
        fails.then_some(ErrorKind::PermissionDenied)
    });
    let swept = sweep_on(&tree, &system);
    assert_eq!(swept.pruned, 1);
    assert_eq!(swept.log.len(), 2, "{:?}", swept.log);
}

#[test]
fn logs_old_archives_that_cannot_be_deleted_in_one_line() {
    let tree = folder(&format!("{{{CHAT},{RUN}}}"));
    let archive = |name: &str| format!("{name}.jsonl.deleted.2020-01-01T00-00-00.000Z");
    tree.file(&archive("a"));
    tree.file(&archive("b"));
    let system = Faulty::new(|name, path| {
        let is_old = path.to_string_lossy().contains(".deleted.2020");
        (name == "unlink" && is_old).then_some(ErrorKind::PermissionDenied)
    });
    let swept = sweep_on(&tree, &system);
    // The sweep's own archive is old at once, because its `now` is in the future.
    assert_eq!((swept.pruned, swept.archives.removed), (1, 1));
    let warnings = &swept.log[..swept.log.len() - 1];
    assert_eq!(warnings.len(), 1, "{:?}", swept.log);
    let text = format!("{:?}", warnings[0]);
    assert!(text.contains("cannot delete") && text.contains("(and 1 more like this)"));
}

#[test]
fn logs_leftovers_that_cannot_be_removed() {
    for entries in [CHAT.to_owned(), format!("{CHAT},{RUN}")] {
        let tree = folder(&format!("{{{entries}}}"));
        let left = tree.file_of("sessions.json.lock.1-0.tmp", b"{}");
        let system = Faulty::new(move |name, path| {
            (name == "unlink" && path == left).then_some(ErrorKind::PermissionDenied)
        });
        let options = Options {
            remove_temps: true,
            ..Options::default()
        };
        let store = tree.at("sessions.json");
        let swept = swept_with(&system, request(&store), &options, &SurveyCache::new());
        assert_eq!(swept.temps.removed, 0);
        let text = format!("{:?}", swept.log[0]);
        assert!(text.contains("cannot remove"), "{entries}: {text}");
    }
}

/// The store itself can have the name of an old archive, or be reached through a link with another name.
#[test]
fn does_not_delete_a_store_that_is_named_like_an_old_archive() {
    let name = "sessions.json.deleted.2020-01-01T00-00-00.000Z";
    for named in [name, "sessions.json"] {
        let tree = Tree::new();
        let store = tree.file_of(name, format!("{{{CHAT},{RUN}}}").as_bytes());
        tree.file("r.jsonl");
        if named != name {
            symlink(name, tree.at(named)).unwrap();
        }
        let named = tree.at(named);
        let system = Faulty::new(|_, _| None);
        let report = swept(&system, request(&named), &SurveyCache::new());
        assert_eq!((report.pruned, report.transcripts.archived), (1, 1));
        assert_eq!(fs::read_to_string(&store).unwrap(), format!("{{{CHAT}}}"));
    }
}

#[test]
fn does_not_repeat_a_rename_of_the_store_that_is_not_permitted() {
    let tree = folder(&format!("{{{CHAT},{RUN}}}"));
    let system = Faulty::new(|name, path| match name {
        "exchange" => Some(ErrorKind::Unsupported),
        "rename" if is_commits_temp(path) => Some(ErrorKind::PermissionDenied),
        _ => None,
    });
    assert_eq!(sweep_on(&tree, &system).failure.unwrap().code, "EACCES");
    let renames = system.calls("rename");
    assert_eq!(renames.iter().filter(|it| is_commits_temp(it)).count(), 1);
}
