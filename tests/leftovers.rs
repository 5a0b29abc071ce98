//! What becomes of the temp files that a crash left beside a store.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use cron_session_reaper::store::leftovers::{self, Temps};
use cron_session_reaper::system::{Os, Process, Stat, System};
use cron_session_reaper::transcripts::listing::Listings;
use support::{Faulty, Tree, touch};

const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";

/// None of these tests has archives.
fn listings() -> Listings {
    Listings::new(0.0)
}

/// A store, an hour old, and the means to put temp files of any age beside it.
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

    /// A file last written so many seconds ago.
    fn aged(&self, name: &str, contents: &[u8], seconds: u64) -> PathBuf {
        let path = self.tree.file_of(name, contents);
        touch(&path, self.now - Duration::from_secs(seconds));
        path
    }

    /// A file under the name of a commit's temp. `inodes` says, by the file's own inode, what the
    /// name tells of the inodes of the temp and of the old store.
    fn of_commit(
        &self,
        contents: &[u8],
        seconds: u64,
        inodes: impl Fn(u64) -> (u64, u64),
    ) -> PathBuf {
        let file = self.aged("new", contents, seconds);
        let stat = Os.stat(&file).unwrap();
        let (temp, old) = inodes(stat.ino);
        let inode = |ino| Stat { ino, ..stat };
        let name = leftovers::name(&self.path(), &inode(temp), &inode(old));
        fs::rename(file, &name).unwrap();
        name
    }

    fn remove_dead(&self, system: &impl System) -> Temps {
        let lock = self.tree.at("sessions.json.lock");
        leftovers::find(&self.path(), &lock, &mut listings())
            .unwrap()
            .remove_dead(system)
            .unwrap()
    }

    /// What would become of them, told without doing it.
    fn count_dead(&self) -> Temps {
        let before = self.tree.all();
        let lock = self.tree.at("sessions.json.lock");
        let suspects = leftovers::find(&self.path(), &lock, &mut listings()).unwrap();
        let temps = suspects.count_dead(&Os).unwrap();
        assert_eq!(self.tree.all(), before);
        temps
    }

    fn has_any(&self) -> bool {
        let lock = self.tree.at("sessions.json.lock");
        leftovers::find(&self.path(), &lock, &mut listings())
            .unwrap()
            .any_native()
    }

    /// Exactly these go, and nothing is kept.
    fn assert_removes(&self, gone: &[&Path]) {
        let mut expected = self.tree.all();
        for path in gone {
            let name = path.strip_prefix(self.tree.root()).unwrap();
            assert!(expected.remove(name.to_str().unwrap()).is_some());
        }
        let told = self.count_dead();
        let temps = self.remove_dead(&Os);
        assert_eq!(told, temps);
        assert!(
            self.tree.all() == expected,
            "{:#?}",
            self.tree.changes(&expected)
        );
        assert_eq!(temps.removed, gone.len() as u64);
        assert_eq!(temps.kept, []);
    }

    /// This one is kept under another name, contents and all, and for good.
    fn assert_keeps(&self, temp: &Path) {
        let contents = fs::read(temp).unwrap();
        let told = self.count_dead();
        assert_eq!(told.kept, [(temp.to_owned(), temp.to_owned())]);
        let temps = self.remove_dead(&Os);
        let [(from, to)] = &temps.kept[..] else {
            panic!("{temps:?}");
        };
        assert_eq!((from.as_path(), temps.removed), (temp, 0));
        assert!(!temp.exists());
        assert_eq!(fs::read(to).unwrap(), contents);
        let name = to.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("sessions.json.kept.2"), "{name}");
        let (from, to) = (from.display(), to.display());
        assert_eq!(
            temps.warnings().collect::<Vec<_>>(),
            [format!(
                "{from} may hold sessions that the store lacks; it was kept as {to}"
            )]
        );
        assert_eq!(self.remove_dead(&Os), Temps::default());
    }
}

/// A process that has ended.
fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn hold(path: &Path) -> File {
    let file = File::open(path).unwrap();
    fs2::FileExt::lock_exclusive(&file).unwrap();
    file
}

#[test]
fn a_commits_temp_that_never_became_the_store_is_removed_at_once() {
    let store = Store::new();
    let temp = store.of_commit(b"derived", 0, |own| (own, 7));
    assert!(store.has_any());
    let temps = store.remove_dead(&Os);
    assert_eq!((temps.removed, temps.bytes, temps.kept), (1, 7, vec![]));
    assert!(!temp.exists() && !store.has_any());
}

#[test]
fn a_commits_temp_whose_writer_lives_is_left_alone() {
    let store = Store::new();
    let temp = store.of_commit(b"derived", 3600, |own| (own, 7));
    let held = hold(&temp);
    store.assert_removes(&[]);
    drop(held);
    store.assert_removes(&[&temp]);
}

#[test]
fn where_there_is_no_flock_a_commits_temp_has_to_be_old() {
    let no_flock = Faulty::new(|call, _| match call {
        "try_flock" => Some(ErrorKind::Unsupported),
        _ => None,
    });
    for (seconds, removed) in [(0, 0), (590, 0), (600, 1)] {
        let store = Store::new();
        store.of_commit(b"derived", seconds, |own| (own, 7));
        assert_eq!(store.remove_dead(&no_flock).removed, removed, "{seconds}");
    }
}

#[test]
fn the_old_store_that_a_commit_exchanged_is_removed() {
    let store = Store::new();
    let temp = store.of_commit(b"old store", 7200, |own| (7, own));
    store.assert_removes(&[&temp]);
}

#[test]
fn an_old_store_that_was_written_after_the_new_one_is_kept() {
    let store = Store::new();
    let temp = store.of_commit(b"written to", 60, |own| (7, own));
    store.assert_keeps(&temp);
}

#[test]
fn what_another_writer_put_in_the_way_of_the_exchange_is_kept() {
    let store = Store::new();
    let temp = store.of_commit(b"a stranger's", 7200, |own| (own + 1, own + 2));
    store.assert_keeps(&temp);
}

#[test]
fn a_commit_that_still_lives_puts_the_strangers_file_back_itself() {
    let store = Store::new();
    store.of_commit(b"a stranger's", 0, |own| (own + 1, own + 2));
    let _held = hold(&store.path());
    store.assert_removes(&[]);
}

#[test]
fn the_gateways_temps_are_removed_when_old_and_their_writer_is_gone() {
    let store = Store::new();
    let dead = dead_pid();
    let unnumbered = store.aged(&format!("sessions.json.{UUID}.tmp"), b"half a store", 7200);
    let numbered = store.aged(&format!("sessions.json.{dead}.{UUID}.tmp"), b"half", 7200);
    let as_old = format!("sessions.json.{}.tmp", UUID.to_uppercase());
    let as_old = store.aged(&as_old, b"half", 3600);
    let unfinished = leftovers::unfinished_name(&store.path(), dead.into(), 0);
    let unfinished = unfinished.file_name().unwrap().to_str().unwrap();
    let unfinished = store.aged(unfinished, b"half", 3600);
    store.assert_removes(&[&unnumbered, &numbered, &as_old, &unfinished]);
}

#[test]
fn the_gateways_temps_stay_while_young_or_while_their_writer_lives() {
    let store = Store::new();
    touch(&store.path(), store.now);
    store.aged(&format!("sessions.json.{UUID}.tmp"), b"half", 590);
    store.aged(
        &format!("sessions.json.{}.{UUID}.tmp", dead_pid()),
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
        let lives = Process::Alive {
            starttime: None,
            started_ms,
        };
        let system = Faulty::new(|_, _| None).with_process(77, lives);
        assert_eq!(store.remove_dead(&system), Temps::default());
        assert_eq!(store.tree.all(), before);
    }
}

#[test]
fn a_process_that_began_after_a_temp_was_written_did_not_write_it() {
    let store = Store::new();
    // In a container, every run of the gateway has the same pid.
    let pid = std::process::id();
    let temp = store.aged(&format!("sessions.json.{pid}.{UUID}.tmp"), b"half", 86_400);
    store.assert_removes(&[&temp]);
}

#[test]
fn a_gateways_temp_that_is_newer_than_the_store_is_kept() {
    let store = Store::new();
    let temp = store.aged(&format!("sessions.json.{UUID}.tmp"), b"newer", 3000);
    store.assert_keeps(&temp);
}

#[test]
fn a_temp_that_is_newer_than_the_store_that_a_sweep_replaced_is_kept() {
    let store = Store::new();
    let replaced = Os.stat(&store.path()).unwrap();
    let newer = store.aged(&format!("sessions.json.{UUID}.tmp"), b"newer", 3000);
    let older = format!("sessions.json.1{}.tmp", &UUID[1..]);
    let older = store.aged(&older, b"older", 4000);
    store.aged("sessions.json", b"swept", 0);
    let lock = store.tree.at("sessions.json.lock");
    let temps = leftovers::find(&store.path(), &lock, &mut listings())
        .unwrap()
        .judged_beside(replaced.mtime)
        .remove_dead(&Os)
        .unwrap();
    assert_eq!((temps.removed, older.exists()), (1, false));
    assert_eq!(temps.kept[0].0, newer);
    assert_eq!(fs::read(&temps.kept[0].1).unwrap(), b"newer");
}

#[test]
fn an_empty_temp_holds_nothing_worth_keeping() {
    let store = Store::new();
    let temp = store.aged(&format!("sessions.json.{UUID}.tmp"), b"", 3000);
    store.assert_removes(&[&temp]);
}

#[test]
fn without_a_store_no_temp_is_superseded() {
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
fn two_kept_files_get_two_names() {
    let store = Store::new();
    store.aged(&format!("sessions.json.{UUID}.tmp"), b"one", 3000);
    store.aged(&format!("sessions.json.1{}.tmp", &UUID[1..]), b"two", 3000);
    let frozen = Faulty::new(|_, _| None).with_now(store.now);
    let kept = store.remove_dead(&frozen).kept;
    let contents: BTreeSet<_> = kept.iter().map(|(_, to)| fs::read(to).unwrap()).collect();
    assert_eq!(contents, BTreeSet::from([b"one".to_vec(), b"two".to_vec()]));
}

#[test]
fn lock_temps_that_nobody_holds_are_removed() {
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
    assert!(store.has_any());
    let _held = hold(&held);
    store.assert_removes(&[&free]);
}

#[test]
fn a_lock_in_another_folder_than_the_store_is_cleaned_up_there() {
    let store = Store::new();
    store.tree.file("alias/main.json.lock.1-1.tmp");
    let others = store.tree.file("alias/sessions.json.lock.1-1.tmp");
    let lock = store.tree.at("alias/main.json.lock");
    let temps = leftovers::find(&store.path(), &lock, &mut listings())
        .unwrap()
        .remove_dead(&Os)
        .unwrap();
    assert_eq!(temps.removed, 1);
    assert!(others.exists());
}

#[test]
fn everything_that_is_not_a_temp_file_stays() {
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
    assert!(!store.has_any());
    store.assert_removes(&[]);
}

#[test]
fn the_gateways_temps_are_not_ours() {
    let store = Store::new();
    store.aged(&format!("sessions.json.{UUID}.tmp"), b"half", 7200);
    assert!(!store.has_any());
    let unfinished = leftovers::unfinished_name(&store.path(), 1, 0);
    fs::write(unfinished, "").unwrap();
    assert!(store.has_any());
}

#[test]
fn a_temp_that_cannot_be_removed_stops_no_other() {
    let store = Store::new();
    for digit in 1..=5 {
        let name = format!("sessions.json.{digit}{}.tmp", &UUID[1..]);
        store.aged(&name, b"x", 7200);
    }
    let stuck = Faulty::new(|call, path| {
        let is_stuck = call == "unlink" && path.to_str().unwrap().contains("json.2");
        is_stuck.then_some(ErrorKind::PermissionDenied)
    });
    let temps = store.remove_dead(&stuck);
    assert_eq!((temps.removed, temps.bytes), (4, 4));
}

#[test]
fn a_store_that_cannot_be_looked_at_is_an_error_and_nothing_is_removed() {
    let store = Store::new();
    store.of_commit(b"derived", 0, |own| (own, 7));
    let before = store.tree.all();
    let broken = Faulty::new(|call, _| match call {
        "stat" => Some(ErrorKind::PermissionDenied),
        _ => None,
    });
    let lock = store.tree.at("sessions.json.lock");
    let error = leftovers::find(&store.path(), &lock, &mut listings())
        .unwrap()
        .remove_dead(&broken)
        .unwrap_err();
    let path = store.path();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot look at {}: EACCES: permission denied",
            path.display()
        )
    );
    assert_eq!(store.tree.all(), before);
}
