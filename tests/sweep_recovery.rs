//! Sweeps that meet trouble: crashes of others, aborts, and stores that disappear.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
use support::Swept;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cron_session_reaper::store::leftovers;
use cron_session_reaper::store::survey_cache::SurveyCache;
use cron_session_reaper::sweep::outcome::{Entries, Reason, Removed, Sizes};
use cron_session_reaper::sweep::{Ageing, Options, Request};
use cron_session_reaper::system::{Os, System};
use support::{Faulty, touch};

const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";
const DUE: &str =
    r#"{"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1},"agent:main:main":{}}"#;
const SWEPT: &str = r#"{"agent:main:main":{}}"#;

/// A folder with an expired run in its store.
struct Sessions {
    folder: tempfile::TempDir,
    store: PathBuf,
}

impl Sessions {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("sessions.json");
        fs::write(&store, text).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn sweep(&self, system: &impl System, options: &Options, memory: &SurveyCache) -> Swept {
        sweep_at(system, &self.store, now_ms(), options, memory)
    }
}

fn sweep_at(
    system: &impl System,
    store: &Path,
    now_ms: f64,
    options: &Options,
    memory: &SurveyCache,
) -> Swept {
    let request = Request {
        store,
        now_ms,
        retention_ms: 1000.0,
    };
    support::swept_with(system, request, options, memory)
}

fn now_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
        * 1000.0
}

fn written_ago(path: &Path, seconds: u64) {
    touch(path, SystemTime::now() - Duration::from_secs(seconds));
}

/// Long enough for what was written before to bear another time than what comes now.
fn pause() {
    thread::sleep(Duration::from_millis(80));
}

/// A file system without unnamed files.
fn without_unnamed_files() -> impl System {
    Faulty::new(|call, _| (call == "create_unnamed").then_some(ErrorKind::Unsupported))
}

#[test]
fn a_temp_file_that_the_swept_store_lacks_is_kept_although_a_sweep_wrote_since() {
    let later = now_ms() + 100_000.0;
    let sessions = Sessions::new(&format!(
        r#"{{"agent:main:cron:j:run:1":{{"updatedAt":1}},"agent:main:cron:j:run:2":{{"updatedAt":{later}}},"m":{{}}}}"#
    ));
    written_ago(&sessions.store, 3600);
    let temp = sessions.path(&format!("sessions.json.{UUID}.tmp"));
    fs::write(&temp, "only copy").unwrap();
    written_ago(&temp, 300);
    let memory = SurveyCache::new();
    let report = sessions.sweep(&Os, &Options::default(), &memory);
    assert_eq!((report.pruned, report.temps.removed), (1, 0));
    assert!(temp.exists(), "five minutes old: it may still be written");

    // Ten minutes after it was written nobody writes it any more.
    let clock = Faulty::new(|_, _| None).with_now(SystemTime::now() + Duration::from_secs(400));
    let options = Options::default();
    let report = sweep_at(&clock, &sessions.store, later + 5000.0, &options, &memory);
    assert_eq!((report.pruned, report.temps.removed), (1, 0));
    let kept = &report.temps.kept[0];
    assert!(!temp.exists());
    assert_eq!(fs::read_to_string(kept).unwrap(), "only copy");
}

#[test]
fn without_unnamed_files_a_crash_of_the_same_pid_stands_in_nobodys_way() {
    let sessions = Sessions::new(DUE);
    for number in 0..50 {
        let left = leftovers::unfinished_name(&sessions.store, std::process::id().into(), number);
        fs::write(&left, "half").unwrap();
        written_ago(&left, 86_400);
    }
    let system = without_unnamed_files();
    let report = sessions.sweep(&system, &Options::default(), &SurveyCache::new());
    assert!(report.swept, "{:?}", report.failure);
    assert_eq!(fs::read_to_string(&sessions.store).unwrap(), SWEPT);
}

#[test]
fn without_unnamed_files_two_sweeps_at_once_have_a_temp_file_each() {
    let sessions = Sessions::new(DUE);
    let store = sessions.store.clone();
    let calls = AtomicU32::new(0);
    let system = Faulty::new(move |call, _| {
        if call == "sync" && calls.fetch_add(1, Ordering::Relaxed) == 0 {
            let system = without_unnamed_files();
            let options = Options::default();
            let inner = sweep_at(&system, &store, now_ms(), &options, &SurveyCache::new());
            assert_eq!(inner.pruned, 1, "{:?}", inner.failure);
        }
        (call == "create_unnamed").then_some(ErrorKind::Unsupported)
    });
    let outer = sessions.sweep(&system, &Options::default(), &SurveyCache::new());
    assert!(outer.swept, "{:?}", outer.failure);
    assert_eq!(outer.pruned, 0);
    assert_eq!(sessions.names(), ["sessions.json"]);
}

#[test]
fn an_abort_ends_a_sweep_that_has_nothing_to_commit() {
    let sessions = Sessions::new(SWEPT);
    pause();
    let memory = SurveyCache::new();
    sessions.sweep(&Os, &Options::default(), &memory);
    let archive = sessions.path("x.jsonl.deleted.2020-01-20T12-00-00.000Z");
    fs::write(&archive, "old").unwrap();
    let options = Options {
        ageing: Ageing::After(0.0),
        ..Options::default()
    };
    options.abort.request();
    let missing = sessions.path("none.json");
    for store in [&sessions.store, &missing] {
        let report = sweep_at(&Os, store, now_ms(), &options, &memory);
        assert_eq!(report.failure.clone().unwrap().code, "ABORT_ERR");
        assert_eq!(report.archives, Removed::default());
        assert!(!report.swept && archive.exists());
    }
}

#[test]
fn of_a_store_that_disappears_during_the_sweep_nothing_is_told() {
    let sessions = Sessions::new(DUE);
    let store = sessions.store.clone();
    let system = Faulty::new(move |call, _| {
        if call == "sync" {
            let _ = fs::remove_file(&store);
        }
        None
    });
    let report = sessions.sweep(&system, &Options::default(), &SurveyCache::new());
    assert_eq!(report.reason, Some(Reason::NoStore));
    let nothing = (Entries::default(), Sizes::default(), 0);
    assert_eq!((report.entries, report.bytes, report.pruned), nothing);
    assert_eq!(sessions.names(), Vec::<String>::new());
}

#[test]
fn what_a_sweep_left_that_could_not_sync_the_folder_is_removed_by_the_next() {
    let sessions = Sessions::new(DUE);
    let calls = AtomicU32::new(0);
    let system = Faulty::new(move |call, _| {
        let is_first = call == "sync_folder" && calls.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(ErrorKind::Other)
    });
    let memory = SurveyCache::new();
    let report = sessions.sweep(&system, &Options::default(), &memory);
    let failure = report.failure.clone().unwrap();
    assert!(failure.message.starts_with("cannot sync "), "{failure:?}");
    // The runs are gone all the same, and the old store has not been let go of.
    assert_eq!(fs::read_to_string(&sessions.store).unwrap(), SWEPT);
    assert_eq!(sessions.names().len(), 2);

    let report = sessions.sweep(&system, &Options::default(), &memory);
    assert_eq!(report.temps.removed, 1);
    assert_eq!(sessions.names(), ["sessions.json"]);
}

/// A program that ignores the lock crosses the exchange, and crosses it again before its store is
/// back: what it read in between was ours, which lacks what it had written before.
#[test]
fn what_a_program_writes_that_crosses_twice_is_kept() {
    let sessions = Sessions::new(DUE);
    let store = sessions.store.clone();
    let replace = move |text: &str| {
        let temp = store.with_extension("stranger");
        fs::write(&temp, text).unwrap();
        fs::rename(&temp, &store).unwrap();
    };
    let (first, second) = (r#"{"first":{}}"#, r#"{"second":{}}"#);
    let calls = AtomicU32::new(0);
    let system = Faulty::new(move |call, _| {
        if call == "exchange" {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => replace(first),
                1 => replace(second),
                _ => {}
            }
        }
        None
    });
    let report = sessions.sweep(&system, &Options::default(), &SurveyCache::new());
    assert_eq!((report.swept, report.pruned), (true, 0));
    assert_eq!(fs::read_to_string(&sessions.store).unwrap(), second);
    let [kept] = &report.temps.kept[..] else {
        panic!("{:?}", report.temps);
    };
    assert_eq!(fs::read_to_string(kept).unwrap(), first);
    let kept = kept.file_name().unwrap().to_str().unwrap();
    assert_eq!(sessions.names(), ["sessions.json", kept]);
    assert_eq!(report.log.len(), 1, "{:?}", report.log);
}
