//! Sweeps after crashes, sweeps that are aborted, and stores that disappear.
#![cfg(unix)]
#![cfg(unix)]

use crate::testing::Swept;

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Context, Error};
use crate::store::leftovers;
use crate::store::survey_cache::SurveyCache;
use crate::sweep::outcome::{Entries, Log, Reason, Removed, Sizes};
use crate::sweep::{Ageing, Options, Outcome, Request};
use crate::system::{Os, System};
use crate::testing::{Faulty, UNUSED_PID, touch};

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

    /// Creates an archive that is old and a leftover of a sweep that crashed.
    fn create_old_files(&self) -> [PathBuf; 2] {
        let archive = self.path("x.jsonl.deleted.2020-01-20T12-00-00.000Z");
        let temp = leftovers::unfinished_name(&self.store, UNUSED_PID, 0);
        for path in [&archive, &temp] {
            fs::write(path, "old").unwrap();
            written_ago(path, 86_400);
        }
        [archive, temp]
    }

    fn sweep(&self, system: &impl System, options: &Options, cache: &SurveyCache) -> Swept {
        sweep_at(system, &self.store, now_ms(), options, cache)
    }
}

/// Every archive is older than this retention.
fn with_archive_retention() -> Options {
    Options {
        ageing: Ageing::After(0.0),
        ..Options::default()
    }
}

fn sweep_at(
    system: &impl System,
    store: &Path,
    now_ms: f64,
    options: &Options,
    cache: &SurveyCache,
) -> Swept {
    let request = Request {
        store,
        now_ms,
        retention_ms: 1000.0,
    };
    crate::testing::swept_with(system, request, options, cache)
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

/// Waits until a new change has another time stamp than an earlier one.
fn pause() {
    thread::sleep(Duration::from_millis(80));
}

/// A file system without unnamed files.
fn without_unnamed_files() -> impl System {
    Faulty::new(|call, _| (call == "create_unnamed").then_some(ErrorKind::Unsupported))
}

#[test]
fn keeps_a_temp_file_newer_than_the_last_store_not_written_by_a_sweep() {
    let later = now_ms() + 100_000.0;
    let sessions = Sessions::new(&format!(
        r#"{{"agent:main:cron:j:run:1":{{"updatedAt":1}},"agent:main:cron:j:run:2":{{"updatedAt":{later}}},"m":{{}}}}"#
    ));
    written_ago(&sessions.store, 3600);
    let temp = sessions.path(&format!("sessions.json.{UUID}.tmp"));
    fs::write(&temp, "only copy").unwrap();
    written_ago(&temp, 300);
    let cache = SurveyCache::new();
    let report = sessions.sweep(&Os, &Options::default(), &cache);
    assert_eq!((report.pruned, report.temps.removed), (1, 0));
    assert!(temp.exists(), "five minutes old: it may still be written");

    // Ten minutes after its last change no process writes it any more.
    let clock = Faulty::new(|_, _| None).with_now(SystemTime::now() + Duration::from_secs(400));
    let options = Options::default();
    let report = sweep_at(&clock, &sessions.store, later + 5000.0, &options, &cache);
    assert_eq!((report.pruned, report.temps.removed), (1, 0));
    let kept = &report.temps.kept[0];
    assert!(!temp.exists());
    assert_eq!(fs::read_to_string(kept).unwrap(), "only copy");
    let warning = format!(
        "Error: {} may contain sessions that the store lacks; it was kept as {}",
        temp.display(),
        kept.display()
    );
    assert_eq!(report.warnings[0].error, warning);
}

/// Returns a system on which these calls fail because the disk is full, as long as the file exists.
fn full_while_exists(file: &Path, calls: &'static [&str]) -> Faulty {
    let file = file.to_owned();
    Faulty::new(move |call, _| {
        (calls.contains(&call) && file.exists()).then_some(ErrorKind::StorageFull)
    })
}

#[test]
fn removes_a_leftover_with_the_lock_held_if_the_disk_is_full_and_tries_again() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        let sessions = Sessions::new(DUE);
        let temp = sessions.path(&format!("sessions.json.{UUID}.tmp"));
        fs::write(&temp, "old").unwrap();
        written_ago(&temp, 86_400);
        let (left, lock) = (temp.clone(), sessions.path("sessions.json.lock"));
        let system = Faulty::new(move |call, path| {
            assert!(call != "unlink" || path != left || lock.exists());
            (call == "sync" && left.exists()).then_some(kind)
        });
        let report = sessions.sweep(&system, &Options::default(), &SurveyCache::new());
        assert_eq!((report.pruned, report.temps.removed), (1, 1), "{report:?}");
        let freed = report.bytes.before - report.bytes.after + report.temps.bytes;
        assert_eq!((report.temps.bytes, report.bytes.reclaimed), (3, freed));
        assert_eq!(sessions.names(), ["sessions.json"]);
    }
}

/// Without an archive retention, only a sweep that archives deletes archives.
#[test]
fn deletes_old_archives_if_the_disk_is_full_and_an_archive_retention_is_given() {
    for (ageing, is_deleted) in [
        (Ageing::After(0.0), true),
        (Ageing::WithRuns, false),
        (Ageing::Never, false),
    ] {
        let sessions = Sessions::new(DUE);
        let archive = sessions.path("x.jsonl.deleted.2020-01-20T12-00-00.000Z");
        fs::write(&archive, "old").unwrap();
        // There is not even room for a lock file.
        let system = full_while_exists(&archive, &["create_unnamed", "create_new"]);
        let options = Options {
            ageing,
            ..Options::default()
        };
        let report = sessions.sweep(&system, &options, &SurveyCache::new());
        let expected = u64::from(is_deleted);
        let found = (
            report.pruned,
            report.archives.removed,
            report.archives.bytes,
        );
        assert_eq!(found, (expected, expected, 3 * expected), "{report:?}");
        assert_eq!(archive.exists(), !is_deleted);
        let code = report.failure.map(|failure| failure.code);
        assert_eq!(code.is_none(), is_deleted);
        assert_eq!(code.unwrap_or("ENOSPC".to_owned()), "ENOSPC");
    }
}

/// Because the disk remains full, and because a folder cannot be synced after the commit.
#[test]
fn a_sweep_that_fails_reports_what_it_has_deleted() {
    for (call, deleted) in [
        (
            "sync",
            "1 old archive (3 bytes) and 1 leftover temp file (3 bytes)",
        ),
        ("sync_folder", "1 leftover temp file (3 bytes)"),
    ] {
        let sessions = Sessions::new(DUE);
        sessions.create_old_files();
        let system = Faulty::new(move |name, _| (name == call).then_some(ErrorKind::StorageFull));
        let options = with_archive_retention();
        let swept = sessions.sweep(&system, &options, &SurveyCache::new());
        assert_eq!(swept.failure.unwrap().code, "ENOSPC");
        let lines: Vec<_> = swept.log.iter().map(|it| it.message.as_str()).collect();
        let expected = [
            "cron-reaper: deleted files before the sweep failed",
            "cron-reaper: failed to sweep session store",
        ];
        assert_eq!(lines, expected);
        assert_eq!(
            swept.log[0].fields["err"],
            format!("Error: deleted {deleted}")
        );
    }
}

#[test]
fn tries_once_on_a_full_disk_without_anything_to_delete_and_twice_with_it() {
    for with_leftover in [false, true] {
        let sessions = Sessions::new(DUE);
        let temp = sessions.path(&format!("sessions.json.{UUID}.tmp"));
        if with_leftover {
            fs::write(&temp, "old").unwrap();
            written_ago(&temp, 86_400);
        }
        let system = full_while_exists(&sessions.store, &["sync"]);
        let report = sessions.sweep(&system, &Options::default(), &SurveyCache::new());
        assert_eq!(report.failure.unwrap().code, "ENOSPC");
        assert_eq!(system.calls("sync").len(), 1 + usize::from(with_leftover));
        assert_eq!(fs::read_to_string(&sessions.store).unwrap(), DUE);
        assert_eq!(sessions.names(), ["sessions.json"]);
    }
}

/// Leftovers need the lock file. Neither they nor the archives need a run that is expired.
#[test]
fn a_sweep_without_an_expired_run_succeeds_although_no_lock_file_can_be_created() {
    for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
        let sessions = Sessions::new(SWEPT);
        sessions.create_old_files();
        let options = with_archive_retention();
        let system = Faulty::new(move |call, _| call.starts_with("create").then_some(kind));
        let cache = SurveyCache::new();
        let report = sessions.sweep(&system, &options, &cache);
        assert!(report.swept, "{:?}", report.failure);
        assert_eq!((report.archives.removed, report.temps.removed), (1, 0));
        let [warning] = &report.warnings[..] else {
            panic!("{:?}", report.warnings);
        };
        let message = "cron-reaper: sweep succeeded, but cleanup failed";
        assert_eq!(warning.message, message);
        let expected = format!("Error: cannot create {}.lock: ", sessions.store.display());
        assert!(warning.error.starts_with(&expected), "{warning:?}");

        // The next sweep searches again.
        let report = sessions.sweep(&Os, &options, &cache);
        assert_eq!((report.temps.removed, report.warnings.len()), (1, 0));
        assert_eq!(sessions.names(), ["sessions.json"]);
    }
}

#[test]
fn deletes_old_archives_before_leftovers_to_make_room_for_the_lock_file() {
    let sessions = Sessions::new(SWEPT);
    let [archive, _] = sessions.create_old_files();
    let options = with_archive_retention();
    let system = full_while_exists(&archive, &["create_unnamed", "create_new"]);
    let report = sessions.sweep(&system, &options, &SurveyCache::new());
    assert_eq!((report.archives.removed, report.temps.removed), (1, 1));
    assert_eq!(report.warnings, []);
}

#[test]
fn reports_a_folder_that_cannot_be_listed_once() {
    let listed = io::Result::<()>::Err(ErrorKind::PermissionDenied.into());
    let error = listed.context("list", Path::new("/s")).unwrap_err();
    let mut log = Log::default();
    log.cleanup_failed(&error);
    log.failed_after_sweep(&error);
    assert_eq!(Outcome::failed(&Error::Aborted, log).log.len(), 1);
}

/// A sweep on a full disk tries to delete them twice.
#[test]
fn warns_once_of_files_that_cannot_be_deleted_on_a_full_disk() {
    let sessions = Sessions::new(DUE);
    let deletable = sessions.path("q.jsonl.deleted.2020-01-20T12-00-00.000Z");
    let archive = sessions.path("w.jsonl.deleted.2020-01-20T12-00-00.000Z");
    let temp = sessions.path(&format!("sessions.json.{UUID}.tmp"));
    for path in [&deletable, &archive, &temp] {
        fs::write(path, "old").unwrap();
        written_ago(path, 86_400);
    }
    let stuck = [archive.clone(), temp.clone()];
    let system = Faulty::new(move |call, path| match call {
        "unlink" if stuck.iter().any(|it| it == path) => Some(ErrorKind::PermissionDenied),
        "sync" if deletable.exists() => Some(ErrorKind::StorageFull),
        _ => None,
    });
    let options = with_archive_retention();
    let report = sessions.sweep(&system, &options, &SurveyCache::new());
    assert_eq!((report.pruned, report.archives.removed), (1, 1));
    let failed = |operation: &str, path: &Path| {
        let path = path.display();
        format!("Error: cannot {operation} {path}: EACCES: permission denied")
    };
    let warnings: Vec<_> = report.warnings.iter().map(|it| &it.error).collect();
    assert_eq!(
        warnings,
        [&failed("delete", &archive), &failed("remove", &temp)]
    );
}

#[test]
fn does_not_warn_of_a_file_that_can_be_deleted_at_the_second_attempt() {
    let sessions = Sessions::new(DUE);
    let deletable = sessions.path("q.jsonl.deleted.2020-01-20T12-00-00.000Z");
    fs::write(&deletable, "old").unwrap();
    let busy = sessions.create_old_files();
    let not_tried = Mutex::new(HashSet::from(busy.clone()));
    let system = Faulty::new(move |call, path| match call {
        "unlink" if not_tried.lock().unwrap().remove(path) => Some(ErrorKind::ResourceBusy),
        "sync" if deletable.exists() => Some(ErrorKind::StorageFull),
        _ => None,
    });
    let options = with_archive_retention();
    let report = sessions.sweep(&system, &options, &SurveyCache::new());
    assert_eq!((report.archives.removed, report.warnings.len()), (2, 0));
    assert!(busy.iter().all(|file| !file.exists()));
}

#[test]
fn sweeps_without_unnamed_files_beside_leftovers_of_the_same_pid() {
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
fn two_sweeps_without_unnamed_files_use_different_temp_files() {
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
    let cache = SurveyCache::new();
    sessions.sweep(&Os, &Options::default(), &cache);
    let archive = sessions.path("x.jsonl.deleted.2020-01-20T12-00-00.000Z");
    fs::write(&archive, "old").unwrap();
    let options = with_archive_retention();
    options.abort.request();
    let missing = sessions.path("none.json");
    for store in [&sessions.store, &missing] {
        let report = sweep_at(&Os, store, now_ms(), &options, &cache);
        assert_eq!(report.failure.clone().unwrap().code, "ABORT_ERR");
        assert_eq!(report.archives, Removed::default());
        assert!(!report.swept && archive.exists());
    }
}

#[test]
fn an_abort_while_a_sweep_without_an_expired_run_waits_for_the_lock_ends_it() {
    let sessions = Sessions::new(SWEPT);
    let [_, temp] = sessions.create_old_files();
    // A young lock without a pid has a live holder.
    fs::write(sessions.path("sessions.json.lock"), "{}").unwrap();
    let options = with_archive_retention();
    let abort = options.abort.clone();
    let system = Faulty::new(move |call, _| {
        if call == "sleep" {
            abort.request();
        }
        None
    });
    let swept = sessions.sweep(&system, &options, &SurveyCache::new());
    assert_eq!(swept.failure.unwrap().code, "ABORT_ERR");
    assert!(temp.exists());
    assert_eq!(swept.log.len(), 1, "{:?}", swept.log);
    let deleted = "Error: deleted 1 old archive (3 bytes)";
    assert_eq!(swept.log[0].fields["err"], deleted);
}

#[test]
fn reports_no_store_if_it_disappears_during_the_sweep() {
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
fn removes_the_old_store_that_a_failed_folder_sync_left() {
    let sessions = Sessions::new(DUE);
    let calls = AtomicU32::new(0);
    let system = Faulty::new(move |call, _| {
        let is_first = call == "sync_folder" && calls.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(ErrorKind::Other)
    });
    let cache = SurveyCache::new();
    let report = sessions.sweep(&system, &Options::default(), &cache);
    let failure = report.failure.clone().unwrap();
    assert!(failure.message.starts_with("cannot sync "), "{failure:?}");
    // The runs are removed nevertheless, and the old store still exists.
    assert_eq!(fs::read_to_string(&sessions.store).unwrap(), SWEPT);
    assert_eq!(sessions.names().len(), 2);

    let report = sessions.sweep(&system, &Options::default(), &cache);
    assert_eq!(report.temps.removed, 1);
    assert_eq!(sessions.names(), ["sessions.json"]);
}

/// A process that ignores the lock replaces the store just before the exchange and again before its
/// file is put back. In between it read our store, which lacks what it had written before.
#[test]
fn keeps_a_store_that_its_writer_replaced_during_the_put_back() {
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
