//! A sweep whose commit runs inside a section from which the caller excludes all other writers of its
//! process.
//!
//! The caller drives the steps:
//!
//! ```text
//! prepare → Ready     enter the section, then commit
//!         → Changed   prepare again; from the third attempt on inside the section
//!         → Ended     finish
//! commit  → Committed adopt the change, leave the section, then finish
//!         → Changed   prepare again, as above
//!         → Ended     finish
//! finish  → the outcome
//! ```

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::survey_cache::SurveyCache;
use crate::store::{self, StorePaths};
use crate::system::{Stat, System};

use super::cleanup::{finish, remove_nothing};
use super::commit_loop::{ATTEMPTS, ATTEMPTS_WITHOUT_LOCK, LockTimes};
use super::outcome::{Log, StoreFigures};
pub(crate) use super::plan::RemovedRun;
use super::prepared::{Committed, Preparation, Prepared};
use super::{
    Context, Options, Outcome, RemovedRuns, Request, Surveyed, no_store, outcome_of, survey,
    with_rights,
};

/// How long a commit waits for the store's lock. All writers of the process wait with it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A sweep in steps. Dropping it before the commit leaves no trace.
pub(crate) struct ExclusiveSweep<'s, S: System> {
    sweep: Context<'s, S>,
    started: Duration,
    attempts: u32,
    /// Known once a run is due.
    paths: Option<StorePaths>,
    lock: LockTimes,
    log: Log,
    state: State<'s, S>,
}

enum State<'s, S: System> {
    /// Nothing is prepared.
    Idle,
    /// Prepared. The store may have changed since.
    Prepared(Box<Prepared<'s, S>>),
    Committed(Box<Committed<'s, S>>),
    /// No run is to be removed.
    Nothing(Stat, StoreFigures),
    NoStore,
    Failed(Error),
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Commit inside the exclusive section.
    Ready,
    /// The store has changed: prepare again.
    Changed,
    /// The store was replaced: finish.
    Committed,
    /// Nothing is to be committed: finish.
    Ended,
}

/// How a commit changed the store's file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The removed runs.
    pub(crate) removed: Vec<RemovedRun>,
    /// The file that was read and replaced.
    pub(crate) before: Stat,
    /// The file that is the store now; `None` if it is not known.
    pub(crate) after: Option<Stat>,
}

impl<'s, S: System> ExclusiveSweep<'s, S> {
    pub(crate) fn new(
        system: &'s S,
        request: Request<'_>,
        options: &Options,
        cache: &SurveyCache,
    ) -> Self {
        Self {
            sweep: Context {
                lock_timeout: LOCK_TIMEOUT,
                removed_runs: RemovedRuns::Collect,
                ..Context::new(system, request, options, cache)
            },
            started: system.monotonic(),
            attempts: 0,
            paths: None,
            lock: LockTimes::default(),
            log: Log::default(),
            state: State::Idle,
        }
    }

    /// Writes the replacement of the store, if a run is to be removed. Takes no lock.
    pub(crate) fn prepare(&mut self) -> Step {
        self.with_rights(Self::try_prepare)
            .unwrap_or_else(|error| self.fail(error))
    }

    /// Replaces the store if it is still the one for which the sweep was prepared. The caller excludes
    /// all other writers of its process. Also returns how the store's file changed, if it did.
    pub(crate) fn commit(&mut self) -> (Step, Option<Change>) {
        self.with_rights(Self::try_commit)
            .unwrap_or_else(|error| (self.fail(error), None))
    }

    /// Ends the sweep with an error before a step. A commit is not undone.
    pub(crate) fn fail(&mut self, error: Error) -> Step {
        if matches!(self.state, State::Committed(_)) {
            return Step::Committed;
        }
        self.state = State::Failed(error);
        Step::Ended
    }

    /// Makes the commit durable and cleans up. Calls `report` as soon as the outcome is known. If the
    /// sweep is prepared and not committed, it is aborted.
    pub(crate) fn finish(self, report: impl FnOnce(Outcome)) {
        let Self {
            sweep,
            started,
            lock,
            mut log,
            state,
            ..
        } = self;
        let completed = with_rights(&sweep, || match state {
            State::Committed(committed) => finish(&sweep, committed, lock, &mut log),
            State::Nothing(store, figures) => {
                remove_nothing(&sweep, &store, &figures, lock, &mut log)
            }
            State::NoStore => no_store(&sweep, lock),
            State::Failed(error) => Err(error),
            State::Idle | State::Prepared(_) => Err(Error::Aborted),
        });
        let (outcome, old_store) = outcome_of(&sweep, completed, started, log);
        report(outcome);
        drop(old_store);
    }

    /// Does a step with the rights of the user who controls the path to the store. Each step runs on
    /// another thread.
    fn with_rights<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let rights = store::limit_rights(self.sweep.system, &self.sweep.store)?;
        step(self).map_err(|error| error.explained_by(&rights))
    }

    fn try_prepare(&mut self) -> Result<Step> {
        // Discards what was prepared for an earlier state of the store.
        self.state = State::Idle;
        let mut buffer = Buffer::new(READ_AT_ONCE);
        let paths = match self.paths.take() {
            Some(paths) => paths,
            None => match survey(&self.sweep, &mut buffer)? {
                Surveyed::Due(paths) => paths,
                Surveyed::NothingDue(store, figures) => {
                    return Ok(self.end(State::Nothing(store, figures)));
                }
                Surveyed::NoStore => return Ok(self.end(State::NoStore)),
            },
        };
        if self.attempts == ATTEMPTS {
            return Err(contended(&paths.named));
        }
        self.attempts += 1;
        if self.attempts > ATTEMPTS_WITHOUT_LOCK {
            // Other writers must not wait for a file system that the store's content names.
            self.sweep.lookups.end();
        }
        let preparation = Prepared::prepare(&self.sweep, &paths, &mut buffer)?;
        self.paths = Some(paths);
        Ok(match preparation {
            Preparation::Ready(prepared) => {
                self.state = State::Prepared(prepared);
                Step::Ready
            }
            Preparation::Changed => Step::Changed,
            Preparation::NothingToRemove(store, figures) => {
                self.end(State::Nothing(store, figures))
            }
            Preparation::NoStore => self.end(State::NoStore),
        })
    }

    fn try_commit(&mut self) -> Result<(Step, Option<Change>)> {
        let State::Prepared(mut prepared) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(Error::Aborted);
        };
        if !prepared.is_current(&self.sweep)? {
            return Ok(self.keep_stale(prepared));
        }
        let mut held = self.lock.acquire(&self.sweep, prepared.paths())?;
        if prepared.moves_files() {
            held.start_heartbeat();
        }
        if !prepared.may_commit(&self.sweep, &held.lock)? {
            // The next attempt finds out whether the lock was lost.
            let _ = self.lock.release(&self.sweep, held);
            return Ok(self.keep_stale(prepared));
        }
        let before = prepared.before();
        let removed = prepared.take_removed_runs();
        let real = prepared.paths().real.clone();
        let committed = prepared.commit(&self.sweep, &mut self.log);
        let released = self.lock.release(&self.sweep, held);
        match committed {
            Ok(Some(committed)) => {
                if let Err(error) = released {
                    self.log.failed_after_commit(&error);
                }
                let after = committed.after().copied();
                self.state = State::Committed(committed);
                let change = Change {
                    removed,
                    before,
                    after,
                };
                Ok((Step::Committed, Some(change)))
            }
            Ok(None) => Ok((Step::Changed, self.uncertain_change(&real, before))),
            Err(error) => {
                let change = self.uncertain_change(&real, before);
                Ok((self.fail(error), change))
            }
        }
    }

    fn end(&mut self, state: State<'s, S>) -> Step {
        self.state = state;
        Step::Ended
    }

    /// Keeps a preparation that does not fit the store any more. The next attempt discards it: freeing
    /// its blocks takes a while, which is better done outside the exclusive section.
    fn keep_stale(&mut self, prepared: Box<Prepared<'s, S>>) -> (Step, Option<Change>) {
        self.state = State::Prepared(prepared);
        (Step::Changed, None)
    }

    /// Returns the change of a commit that did not take place, if the store's file is not the one that
    /// was read. Another process may have replaced it, or an exchange was undone.
    fn uncertain_change(&self, store: &Path, before: Stat) -> Option<Change> {
        let is_unchanged = self
            .sweep
            .system
            .stat(store)
            .is_ok_and(|now| now.same_contents(&before));
        (!is_unchanged).then_some(Change {
            removed: Vec::new(),
            before,
            after: None,
        })
    }
}

fn contended(store: &Path) -> Error {
    Error::Contended {
        path: store.to_owned(),
        attempts: ATTEMPTS,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::sweep::outcome::Reason;
    use crate::testing::{Faulty, Tree};
    use std::fs;
    use std::io::ErrorKind;
    use std::path::PathBuf;

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

    fn outcome(sweep: ExclusiveSweep<'_, Faulty>) -> Outcome {
        let mut outcome = None;
        sweep.finish(|it| outcome = Some(it));
        outcome.unwrap()
    }

    #[test]
    fn a_commit_reports_the_removed_runs_and_both_files() {
        let store = Store::new(DUE);
        let system = Faulty::new(|_, _| None);
        let before = system.stat(&store.path).unwrap();
        let mut sweep = store.sweep(&system);
        assert_eq!(sweep.prepare(), Step::Ready);
        assert_eq!(store.text(), DUE);
        let (step, change) = sweep.commit();
        let change = change.unwrap();
        assert_eq!((step, store.text().as_str()), (Step::Committed, SWEPT));
        assert_eq!(change.before, before);
        assert!(
            change
                .after
                .unwrap()
                .same_contents(&system.stat(&store.path).unwrap())
        );
        let removed = RemovedRun {
            key: br#""agent:main:cron:j:run:1""#.to_vec(),
            session_id: Some("r".to_owned()),
        };
        assert_eq!(change.removed, [removed]);
        assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
    }

    #[test]
    fn a_sweep_dropped_before_the_commit_leaves_no_trace() {
        for unnamed in [None, Some(ErrorKind::Unsupported)] {
            let store = Store::new(DUE);
            let before = store.tree.all();
            let system = Faulty::new(move |name, _| unnamed.filter(|_| name == "create_unnamed"));
            let mut sweep = store.sweep(&system);
            assert_eq!(sweep.prepare(), Step::Ready);
            drop(sweep);
            assert_eq!(store.tree.all(), before);
        }
    }

    #[test]
    fn prepares_again_if_the_replacement_cannot_be_named() {
        let store = Store::new(DUE);
        let system = Faulty::new(|name, _| (name == "link").then_some(ErrorKind::Unsupported));
        let mut sweep = store.sweep(&system);
        assert_eq!(sweep.prepare(), Step::Ready);
        assert_eq!(sweep.commit(), (Step::Changed, None));
        assert_eq!(store.text(), DUE);
        assert_eq!(sweep.prepare(), Step::Ready);
        assert_eq!(sweep.commit().0, Step::Committed);
        assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
        assert_eq!(store.text(), SWEPT);
    }

    #[test]
    fn a_sweep_finished_before_the_commit_is_aborted() {
        let store = Store::new(DUE);
        let before = store.tree.all();
        let system = Faulty::new(|_, _| None);
        let mut sweep = store.sweep(&system);
        assert_eq!(sweep.prepare(), Step::Ready);
        assert!(outcome(sweep).result.is_err());
        assert_eq!(store.tree.all(), before);
    }

    #[test]
    fn a_store_that_changes_before_every_commit_ends_the_sweep() {
        let store = Store::new(DUE);
        let system = Faulty::new(|_, _| None);
        let mut sweep = store.sweep(&system);
        for attempt in 0..ATTEMPTS {
            assert_eq!(sweep.prepare(), Step::Ready, "{attempt}");
            let changed = DUE.replace(r#""updatedAt":1"#, &format!(r#""updatedAt":1{attempt}"#));
            let temp = store.tree.file_of("temp", changed.as_bytes());
            fs::rename(temp, &store.path).unwrap();
            assert_eq!(sweep.commit(), (Step::Changed, None));
        }
        assert_eq!(sweep.prepare(), Step::Ended);
        let failure = outcome(sweep).result.unwrap_err();
        assert_eq!(failure.failure.code, "ERR_SESSION_STORE_BUSY");
        assert!(system.calls("exchange").is_empty());
    }

    #[test]
    fn an_exchange_that_fails_reports_no_change() {
        let store = Store::new(DUE);
        let system =
            Faulty::new(|name, _| (name == "exchange").then_some(ErrorKind::PermissionDenied));
        let mut sweep = store.sweep(&system);
        assert_eq!(sweep.prepare(), Step::Ready);
        assert_eq!(sweep.commit(), (Step::Ended, None));
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
        let mut sweep = store.sweep(&system);
        assert_eq!(sweep.prepare(), Step::Ready);
        let (step, change) = sweep.commit();
        assert_eq!(step, Step::Changed);
        let change = change.unwrap();
        assert_eq!((change.removed.len(), change.after), (0, None));
        assert_eq!(store.text(), DUE);
        assert_eq!(
            (sweep.prepare(), sweep.commit().0),
            (Step::Ready, Step::Committed)
        );
        assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
    }

    #[test]
    fn a_sweep_with_nothing_to_remove_ends_without_a_commit() {
        let store = Store::new(SWEPT);
        let system = Faulty::new(|_, _| None);
        let mut sweep = store.sweep(&system);
        assert_eq!(sweep.prepare(), Step::Ended);
        let report = outcome(sweep).result.unwrap();
        assert_eq!(report.reason, Some(Reason::NothingExpired));
        assert!(system.calls("link").is_empty());
    }

    #[test]
    fn a_step_that_fails_after_the_commit_does_not_undo_it() {
        let store = Store::new(DUE);
        let system = Faulty::new(|_, _| None);
        let mut sweep = store.sweep(&system);
        sweep.prepare();
        sweep.commit();
        assert_eq!(sweep.fail(Error::NoStorePath), Step::Committed);
        assert_eq!(outcome(sweep).result.unwrap().pruned, 1);
    }
}
