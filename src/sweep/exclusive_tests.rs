//! Tests of a sweep in steps.
#![cfg(unix)]

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::error::Error;
use crate::store::survey_cache::SurveyCache;
use crate::sweep::exclusive::{ExclusiveSweep, FileStamp, Step};
use crate::sweep::outcome::Reason;
use crate::sweep::prepared::ATTEMPTS;
use crate::sweep::{Options, Outcome, Request};
use crate::system::System;
use crate::testing::{Faulty, Tree, touch};

const DUE: &str =
    r#"{"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1},"agent:main:main":{}}"#;
const SWEPT: &str = r#"{"agent:main:main":{}}"#;

struct Store {
    tree: Tree,
    path: PathBuf,
}

impl Store {
    fn new(text: &str) -> Self {
        let tree = Tree::new();
        let path = tree.file_of("sessions.json", text.as_bytes());
        Self { tree, path }
    }

    fn sweep<'s>(&self, system: &'s Faulty) -> ExclusiveSweep<'s, Faulty> {
        let request = Request {
            store: &self.path,
            now_ms: 2e9,
            retention_ms: 1e9,
        };
        let options = Options::default();
        ExclusiveSweep::new(system, request, &options, &SurveyCache::new())
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }
}

fn prepared(sweep: ExclusiveSweep<'_, Faulty>) -> ExclusiveSweep<'_, Faulty> {
    let sweep = sweep.prepare();
    assert_eq!(sweep.step(), Step::Ready);
    sweep
}

fn outcome(sweep: ExclusiveSweep<'_, Faulty>) -> Outcome {
    let mut outcome = None;
    sweep.finish(|it| outcome = Some(it));
    outcome.unwrap()
}

#[test]
fn a_preparation_removes_a_leftover_if_the_disk_is_full_and_is_made_again() {
    let store = Store::new(DUE);
    let temp = store
        .tree
        .file("sessions.json.3ab3ddeb-5fc7-4d35-adf6-d83c0627287f.tmp");
    touch(&temp, SystemTime::UNIX_EPOCH);
    let left = temp.clone();
    let system = Faulty::new(move |call, _| {
        (call == "sync" && left.exists()).then_some(ErrorKind::StorageFull)
    });
    let sweep = prepared(store.sweep(&system));
    assert_eq!((store.text().as_str(), temp.exists()), (DUE, false));
    let (sweep, _) = sweep.commit();
    let report = outcome(sweep).result.unwrap();
    assert_eq!((report.pruned, report.temps.removed), (1, 1));
}

/// The disk may lack space for the lock file, or for the name of the new store.
#[test]
fn a_commit_on_a_full_disk_is_prepared_again_if_a_leftover_can_be_removed() {
    for full_at in [".lock", ".tmp"] {
        for has_leftover in [true, false] {
            let store = Store::new(DUE);
            if has_leftover {
                let temp = store
                    .tree
                    .file("sessions.json.3ab3ddeb-5fc7-4d35-adf6-d83c0627287f.tmp");
                touch(&temp, SystemTime::UNIX_EPOCH);
            }
            let is_first = AtomicBool::new(true);
            let system = Faulty::new(move |call, path| {
                let is_full = call == "link" && path.to_str().unwrap().ends_with(full_at);
                (is_full && is_first.swap(false, Ordering::Relaxed))
                    .then_some(ErrorKind::StorageFull)
            });
            let (sweep, change) = prepared(store.sweep(&system)).commit();
            assert!(change.is_none());
            assert_eq!((sweep.step(), store.text().as_str()), (Step::Changed, DUE));
            let sweep = sweep.prepare();
            if has_leftover {
                assert_eq!(sweep.step(), Step::Ready);
                let report = outcome(sweep.commit().0).result.unwrap();
                assert_eq!((report.pruned, report.temps.removed), (1, 1));
            } else {
                assert_eq!(sweep.step(), Step::Ended);
                let failure = outcome(sweep).result.unwrap_err();
                assert_eq!(failure.failure.code, "ENOSPC");
                assert_eq!(store.text(), DUE);
            }
            assert_eq!(store.tree.real_files().len(), 1);
        }
    }
}

#[test]
fn a_commit_reports_the_removed_runs_and_both_files() {
    let store = Store::new(DUE);
    let system = Faulty::new(|_, _| None);
    let before = system.stat(&store.path).unwrap();
    let sweep = prepared(store.sweep(&system));
    assert_eq!(store.text(), DUE);
    let (sweep, change) = sweep.commit();
    let change = change.unwrap();
    assert_eq!(
        (sweep.step(), store.text().as_str()),
        (Step::Committed, SWEPT)
    );
    let after = system.stat(&store.path).unwrap();
    assert_eq!(change.before, FileStamp::from(&before));
    assert_eq!(change.after, Some(FileStamp::from(&after)));
    let keys: Vec<_> = change.removed.iter().map(|key| key.get()).collect();
    assert_eq!(keys, [r#""agent:main:cron:j:run:1""#]);
    assert_eq!(change.session_ids, [Some("r".to_owned())]);
    assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
}

#[test]
fn a_sweep_dropped_before_the_commit_leaves_no_trace() {
    for unnamed in [None, Some(ErrorKind::Unsupported)] {
        let store = Store::new(DUE);
        let before = store.tree.all();
        let system = Faulty::new(move |name, _| unnamed.filter(|_| name == "create_unnamed"));
        let sweep = prepared(store.sweep(&system));
        drop(sweep);
        assert_eq!(store.tree.all(), before);
    }
}

#[test]
fn prepares_again_if_the_replacement_cannot_be_named() {
    let store = Store::new(DUE);
    let system = Faulty::new(|name, _| (name == "link").then_some(ErrorKind::Unsupported));
    let (sweep, change) = prepared(store.sweep(&system)).commit();
    assert_eq!(sweep.step(), Step::Changed);
    assert!(change.is_none());
    assert_eq!(store.text(), DUE);
    let (sweep, _) = prepared(sweep).commit();
    assert_eq!(sweep.step(), Step::Committed);
    assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
    assert_eq!(store.text(), SWEPT);
}

#[test]
fn a_sweep_finished_before_the_commit_is_aborted() {
    let store = Store::new(DUE);
    let before = store.tree.all();
    let system = Faulty::new(|_, _| None);
    let sweep = prepared(store.sweep(&system));
    assert!(outcome(sweep).result.is_err());
    assert_eq!(store.tree.all(), before);
}

#[test]
fn a_store_that_changes_before_every_commit_ends_the_sweep() {
    let store = Store::new(DUE);
    let system = Faulty::new(|_, _| None);
    let mut sweep = store.sweep(&system);
    for attempt in 0..ATTEMPTS {
        let ready = prepared(sweep);
        let changed = DUE.replace(r#""updatedAt":1"#, &format!(r#""updatedAt":1{attempt}"#));
        let temp = store.tree.file_of("temp", changed.as_bytes());
        fs::rename(temp, &store.path).unwrap();
        let change;
        (sweep, change) = ready.commit();
        assert!(change.is_none());
        assert_eq!(sweep.step(), Step::Changed);
    }
    let sweep = sweep.prepare();
    assert_eq!(sweep.step(), Step::Ended);
    let failure = outcome(sweep).result.unwrap_err();
    assert_eq!(failure.failure.code, "ERR_SESSION_STORE_BUSY");
    assert!(system.calls("exchange").is_empty());
}

#[test]
fn an_exchange_that_fails_reports_no_change() {
    let store = Store::new(DUE);
    let system = Faulty::new(|name, _| (name == "exchange").then_some(ErrorKind::PermissionDenied));
    let sweep = prepared(store.sweep(&system));
    let (sweep, change) = sweep.commit();
    assert!(change.is_none());
    assert_eq!(sweep.step(), Step::Ended);
    assert!(outcome(sweep).result.is_err());
    assert_eq!(store.text(), DUE);
}

/// Readers may have cached the new store before the exchange was undone.
#[test]
fn an_exchange_that_another_process_crosses_reports_an_unknown_file() {
    let store = Store::new(DUE);
    let path = store.path.clone();
    let temp = store.tree.at("temp");
    let system = Faulty::new(move |name, _| {
        if name == "exchange" && !temp.exists() {
            fs::write(&temp, DUE).unwrap();
            fs::rename(&temp, &path).unwrap();
            fs::write(&temp, "written").unwrap();
        }
        None
    });
    let sweep = prepared(store.sweep(&system));
    let (sweep, change) = sweep.commit();
    assert_eq!(sweep.step(), Step::Changed);
    let change = change.unwrap();
    assert_eq!((change.removed.len(), change.after), (0, None));
    assert_eq!(store.text(), DUE);
    let (sweep, _) = prepared(sweep).commit();
    assert_eq!(sweep.step(), Step::Committed);
    assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
}

#[test]
fn a_sweep_with_nothing_to_remove_ends_without_a_commit() {
    let store = Store::new(SWEPT);
    let system = Faulty::new(|_, _| None);
    let sweep = store.sweep(&system).prepare();
    assert_eq!(sweep.step(), Step::Ended);
    let report = outcome(sweep).result.unwrap();
    assert_eq!(report.reason, Some(Reason::NothingExpired));
    assert!(system.calls("link").is_empty());
}

#[test]
fn a_step_that_fails_after_the_commit_does_not_undo_it() {
    let store = Store::new(DUE);
    let system = Faulty::new(|_, _| None);
    let (sweep, _) = prepared(store.sweep(&system)).commit();
    let sweep = sweep.fail(Error::NoStorePath);
    assert_eq!(sweep.step(), Step::Committed);
    assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
}
