//! What happens to the temp files that crashed writers left beside a store.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Cleared, Leftovers, Mode, exchange_name, find, unfinished_name};
use crate::system::{Os, Process, Stat, System};
use crate::testing::{Faulty, Tree, UNUSED_PID, touch};

const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";

/// Returns all names in a folder, also those of links and folders.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A store that is an hour old, and the temp files of any age beside it.
struct Store {
    tree: Tree,
    now: SystemTime,
}

impl Store {
    fn new() -> Self {
        let store = Self {
            tree: Tree::new(),
            now: SystemTime::now(),
        };
        store.aged("sessions.json", b"store", 3600);
        store
    }

    fn path(&self) -> PathBuf {
        self.tree.at("sessions.json")
    }

    /// Creates a file that was last written `seconds` ago.
    fn aged(&self, name: &str, contents: &[u8], seconds: u64) -> PathBuf {
        let path = self.tree.file_of(name, contents);
        touch(&path, self.now - Duration::from_secs(seconds));
        path
    }

    /// Creates a file with the name under which a commit exchanges its temp file. `inodes` maps the
    /// inode of the file to the inodes in its name: those of the temp file and of the old store.
    fn exchange(
        &self,
        contents: &[u8],
        seconds: u64,
        inodes: impl Fn(u64) -> (u64, u64),
    ) -> PathBuf {
        let file = self.aged("new", contents, seconds);
        let stat = Os.stat(&file).unwrap();
        let (temp, old) = inodes(stat.ino);
        let inode = |ino| Stat { ino, ..stat };
        let name = exchange_name(&self.path(), &inode(temp), &inode(old));
        fs::rename(file, &name).unwrap();
        name
    }

    fn leftovers(&self) -> Leftovers {
        let names = names_in(self.tree.root());
        let lock = self.tree.at("sessions.json.lock");
        let written_at = Os.stat(&self.path()).map_or(0, |store| store.mtime);
        find(&self.path(), &lock, &names, &names, written_at)
    }

    fn clear(&self, system: &impl System) -> Cleared {
        self.leftovers()
            .clear(system, Mode::Apply, &mut Vec::new())
            .unwrap()
    }

    /// Returns the result of a dry run, which must not modify anything.
    fn dry_run(&self) -> Cleared {
        let before = self.tree.all();
        let cleared = self
            .leftovers()
            .clear(&Os, Mode::DryRun, &mut Vec::new())
            .unwrap();
        assert_eq!(self.tree.all(), before);
        cleared
    }

    fn has_native(&self) -> bool {
        self.leftovers().has_native()
    }

    /// Asserts that exactly these files are removed and none is kept.
    fn assert_removes(&self, removed: &[&Path]) {
        let mut expected = self.tree.all();
        for path in removed {
            let name = path.strip_prefix(self.tree.root()).unwrap();
            assert!(expected.remove(name.to_str().unwrap()).is_some());
        }
        let predicted = self.dry_run();
        let cleared = self.clear(&Os);
        assert_eq!(predicted, cleared);
        assert!(
            self.tree.all() == expected,
            "{:#?}",
            self.tree.changes(&expected)
        );
        assert_eq!(cleared.removed, removed.len() as u64);
        assert_eq!(cleared.kept, []);
    }

    /// Asserts that this file is kept under another name, with its contents, also by the next sweep.
    fn assert_keeps(&self, temp: &Path) {
        let contents = fs::read(temp).unwrap();
        let predicted = self.dry_run();
        assert_eq!(predicted.kept, [(temp.to_owned(), temp.to_owned())]);
        let cleared = self.clear(&Os);
        let [(from, to)] = &cleared.kept[..] else {
            panic!("{cleared:?}");
        };
        assert_eq!((from.as_path(), cleared.removed), (temp, 0));
        assert!(!temp.exists());
        assert_eq!(fs::read(to).unwrap(), contents);
        let name = to.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("sessions.json.kept.2"), "{name}");
        assert_eq!(self.clear(&Os), Cleared::default());
    }
}

fn hold(path: &Path) -> File {
    let file = File::open(path).unwrap();
    fs2::FileExt::lock_exclusive(&file).unwrap();
    file
}

#[test]
fn a_temp_file_that_was_not_exchanged_is_removed_at_any_age() {
    let store = Store::new();
    let temp = store.exchange(b"derived", 0, |own| (own, 7));
    assert!(store.has_native());
    let cleared = store.clear(&Os);
    assert_eq!(
        (cleared.removed, cleared.bytes, cleared.kept),
        (1, 7, vec![])
    );
    assert!(!temp.exists() && !store.has_native());
}

#[test]
fn a_temp_file_whose_flock_is_held_is_not_removed() {
    let store = Store::new();
    let temp = store.exchange(b"derived", 3600, |own| (own, 7));
    let held = hold(&temp);
    store.assert_removes(&[]);
    drop(held);
    store.assert_removes(&[&temp]);
}

#[test]
fn a_temp_file_without_flock_support_is_removed_after_ten_minutes() {
    let no_flock = Faulty::new(|call, _| match call {
        "try_flock" => Some(ErrorKind::Unsupported),
        _ => None,
    });
    for (seconds, removed) in [(0, 0), (590, 0), (600, 1)] {
        let store = Store::new();
        store.exchange(b"derived", seconds, |own| (own, 7));
        assert_eq!(store.clear(&no_flock).removed, removed, "{seconds}");
    }
}

#[test]
fn an_exchanged_old_store_is_removed() {
    let store = Store::new();
    let temp = store.exchange(b"old store", 7200, |own| (7, own));
    store.assert_removes(&[&temp]);
}

#[test]
fn an_exchanged_old_store_that_is_newer_than_the_store_is_kept() {
    let store = Store::new();
    let temp = store.exchange(b"written to", 60, |own| (7, own));
    store.assert_keeps(&temp);
}

#[test]
fn another_writers_store_that_was_exchanged_is_kept() {
    let store = Store::new();
    let temp = store.exchange(b"another writer's", 7200, |own| (own + 1, own + 2));
    store.assert_keeps(&temp);
}

#[test]
fn another_writers_store_is_left_to_a_live_commit() {
    let store = Store::new();
    store.exchange(b"another writer's", 0, |own| (own + 1, own + 2));
    let _held = hold(&store.path());
    store.assert_removes(&[]);
}

#[test]
fn an_old_temp_file_without_a_live_writer_is_removed() {
    let store = Store::new();
    let unnumbered = store.aged(&format!("sessions.json.{UUID}.tmp"), b"half a store", 7200);
    let numbered = store.aged(
        &format!("sessions.json.{UNUSED_PID}.{UUID}.tmp"),
        b"half",
        7200,
    );
    let exactly_as_old = format!("sessions.json.{}.tmp", UUID.to_uppercase());
    let exactly_as_old = store.aged(&exactly_as_old, b"half", 3600);
    let unfinished = unfinished_name(&store.path(), UNUSED_PID, 0);
    let unfinished = unfinished.file_name().unwrap().to_str().unwrap();
    let unfinished = store.aged(unfinished, b"half", 3600);
    store.assert_removes(&[&unnumbered, &numbered, &exactly_as_old, &unfinished]);
}

#[test]
fn a_young_temp_file_or_one_with_a_live_writer_is_not_removed() {
    let store = Store::new();
    touch(&store.path(), store.now);
    store.aged(&format!("sessions.json.{UUID}.tmp"), b"half", 590);
    store.aged(
        &format!("sessions.json.{UNUSED_PID}.{UUID}.tmp"),
        b"half",
        590,
    );
    store.aged(&format!("sessions.json.77.{UUID}.tmp"), b"half", 7200);
    let future = store
        .tree
        .file(&format!("sessions.json.1{}.tmp", &UUID[1..]));
    touch(&future, store.now + Duration::from_secs(86_400));
    let before = store.tree.all();
    for started_ms in [None, Some(0)] {
        let alive = Process::Alive {
            starttime: None,
            started_ms,
        };
        let system = Faulty::new(|_, _| None).with_process(77, alive);
        assert_eq!(store.clear(&system), Cleared::default());
        assert_eq!(store.tree.all(), before);
    }
}

#[test]
fn a_process_that_started_after_the_last_write_is_not_the_writer() {
    let store = Store::new();
    // As in a container, where every run of the gateway has the same pid.
    let pid = std::process::id();
    let temp = store.aged(&format!("sessions.json.{pid}.{UUID}.tmp"), b"half", 86_400);
    store.assert_removes(&[&temp]);
}

#[test]
fn a_temp_file_that_is_newer_than_the_store_is_kept() {
    let store = Store::new();
    let temp = store.aged(&format!("sessions.json.{UUID}.tmp"), b"newer", 3000);
    store.assert_keeps(&temp);
}

#[test]
fn a_temp_file_that_is_newer_than_the_replaced_store_is_kept() {
    let store = Store::new();
    let replaced = Os.stat(&store.path()).unwrap();
    let newer = store.aged(&format!("sessions.json.{UUID}.tmp"), b"newer", 3000);
    let older = format!("sessions.json.1{}.tmp", &UUID[1..]);
    let older = store.aged(&older, b"older", 4000);
    store.aged("sessions.json", b"swept", 0);
    let leftovers = Leftovers {
        superseded_before: replaced.mtime,
        ..store.leftovers()
    };
    let cleared = leftovers.clear(&Os, Mode::Apply, &mut Vec::new()).unwrap();
    assert_eq!((cleared.removed, older.exists()), (1, false));
    assert_eq!(cleared.kept[0].0, newer);
    assert_eq!(fs::read(&cleared.kept[0].1).unwrap(), b"newer");
}

#[test]
fn an_empty_temp_file_is_removed_although_it_is_newer_than_the_store() {
    let store = Store::new();
    let temp = store.aged(&format!("sessions.json.{UUID}.tmp"), b"", 3000);
    store.assert_removes(&[&temp]);
}

#[test]
fn a_temp_file_without_a_store_is_kept() {
    let store = Store::new();
    fs::remove_file(store.path()).unwrap();
    let temp = store.aged(
        &format!("sessions.json.{UUID}.tmp"),
        b"all there is",
        86_400,
    );
    store.assert_keeps(&temp);
}

#[test]
fn two_kept_files_get_different_names() {
    let store = Store::new();
    store.aged(&format!("sessions.json.{UUID}.tmp"), b"one", 3000);
    store.aged(&format!("sessions.json.1{}.tmp", &UUID[1..]), b"two", 3000);
    let frozen = Faulty::new(|_, _| None).with_now(store.now);
    let kept = store.clear(&frozen).kept;
    let contents: BTreeSet<_> = kept.iter().map(|(_, to)| fs::read(to).unwrap()).collect();
    assert_eq!(contents, BTreeSet::from([b"one".to_vec(), b"two".to_vec()]));
}

#[test]
fn a_lock_temp_file_whose_flock_is_free_is_removed() {
    let store = Store::new();
    let free = store.tree.file("sessions.json.lock.12-0.tmp");
    let held = store.tree.file("sessions.json.lock.12-1.tmp");
    store
        .tree
        .file_of("sessions.json.lock.12-2.tmp", &[0; 4097]);
    store.tree.folder("sessions.json.lock.12-3.tmp");
    store
        .tree
        .link("sessions.json.lock.12-4.tmp", "sessions.json");
    store.tree.fifo("sessions.json.lock.12-5.tmp");
    store.tree.file("sessions.json.lock");
    assert!(store.has_native());
    let _held = hold(&held);
    store.assert_removes(&[&free]);
}

#[test]
fn a_lock_temp_file_in_another_folder_is_removed() {
    let store = Store::new();
    store.tree.file("alias/main.json.lock.1-1.tmp");
    let others = store.tree.file("alias/sessions.json.lock.1-1.tmp");
    let lock = store.tree.at("alias/main.json.lock");
    let beside_store = names_in(store.tree.root());
    let beside_lock = names_in(lock.parent().unwrap());
    let leftovers = find(&store.path(), &lock, &beside_store, &beside_lock, 0);
    assert_eq!(
        leftovers
            .clear(&Os, Mode::Apply, &mut Vec::new())
            .unwrap()
            .removed,
        1
    );
    assert!(others.exists());
}

#[test]
fn a_file_that_is_not_a_temp_file_is_not_modified() {
    let store = Store::new();
    for name in [
        "sessions.json.tmp",
        "sessions.json.backup.tmp",
        "sessions.json.reaper.12.tmp",
        "sessions.json.reaper.12.x.tmp",
        "sessions.json.1.2.tmp",
        &format!("other.json.{UUID}.tmp"),
        &format!("sessions.json.{UUID}"),
        &format!("sessions.json.{UUID}.tmp.bak"),
        &format!("sessions.json.{UUID}.TMP"),
        &format!("xsessions.json.{UUID}.tmp"),
        &format!("sessions.jsonx.{UUID}.tmp"),
        &format!("sub/sessions.json.{UUID}.tmp"),
        "sessions.json.kept.2026-03-01T12-00-00.000Z",
    ] {
        store.aged(name, b"x", 86_400);
    }
    let named = |digit: u8| format!("sessions.json.{digit}{}.tmp", &UUID[1..]);
    store.tree.folder(&named(1));
    store.tree.link(&named(2), "sessions.json");
    store.tree.fifo(&named(3));
    assert!(!store.has_native());
    store.assert_removes(&[]);
}

#[test]
fn a_gateway_temp_file_is_not_native() {
    let store = Store::new();
    store.aged(&format!("sessions.json.{UUID}.tmp"), b"half", 7200);
    assert!(!store.has_native());
    let unfinished = unfinished_name(&store.path(), 1, 0);
    fs::write(unfinished, "").unwrap();
    assert!(store.has_native());
}

#[test]
fn a_temp_file_that_cannot_be_removed_does_not_affect_the_others() {
    let store = Store::new();
    for digit in 1..=5 {
        let name = format!("sessions.json.{digit}{}.tmp", &UUID[1..]);
        store.aged(&name, b"x", 7200);
    }
    let stuck = Faulty::new(|call, path| {
        let is_stuck = call == "unlink" && path.to_str().unwrap().contains("json.2");
        is_stuck.then_some(ErrorKind::PermissionDenied)
    });
    let cleared = store.clear(&stuck);
    assert_eq!((cleared.removed, cleared.bytes), (4, 4));
    let stuck = store.tree.at(&format!("sessions.json.2{}.tmp", &UUID[1..]));
    let failure = format!(
        "cannot remove {}: EACCES: permission denied",
        stuck.display()
    );
    assert_eq!(cleared.failures, [failure]);
}

/// The message must not suggest that the file can be removed.
#[test]
fn a_temp_file_that_cannot_be_kept_is_not_reported_as_one_to_remove() {
    let store = Store::new();
    let temp = store.aged(&format!("sessions.json.{UUID}.tmp"), b"newer", 1800);
    let stuck = Faulty::new(|call, _| {
        call.starts_with("rename")
            .then_some(ErrorKind::PermissionDenied)
    });
    let cleared = store.clear(&stuck);
    let failure = format!(
        "cannot rename {}, which may contain sessions that the store lacks: EACCES: permission denied",
        temp.display()
    );
    assert_eq!(
        (cleared.not_kept, cleared.failures),
        (vec![failure], vec![])
    );
    assert_eq!(fs::read(&temp).unwrap(), b"newer");
}

#[test]
fn a_temp_file_that_cannot_be_examined_is_reported_as_such() {
    let store = Store::new();
    let temp = store.exchange(b"derived", 0, |own| (own, 7));
    let unreadable =
        Faulty::new(|call, _| (call == "open_no_follow").then_some(ErrorKind::PermissionDenied));
    let cleared = store.clear(&unreadable);
    let failure = format!(
        "cannot examine {}: EACCES: permission denied",
        temp.display()
    );
    assert_eq!(cleared.failures, [failure]);
}

#[test]
fn a_store_that_cannot_be_examined_is_an_error_and_nothing_is_removed() {
    let store = Store::new();
    store.exchange(b"derived", 0, |own| (own, 7));
    let before = store.tree.all();
    let broken = Faulty::new(|call, _| match call {
        "stat" => Some(ErrorKind::PermissionDenied),
        _ => None,
    });
    let error = store
        .leftovers()
        .clear(&broken, Mode::Apply, &mut Vec::new())
        .unwrap_err();
    let path = store.path();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot examine {}: EACCES: permission denied",
            path.display()
        )
    );
    assert_eq!(store.tree.all(), before);
}
