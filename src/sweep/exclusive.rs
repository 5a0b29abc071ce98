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
//!         → Changed   prepare again, as above, also if the disk was full
//!         → Ended     finish
//! finish  → the outcome
//! ```

use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::gateway::js;
use crate::store::StorePaths;
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::survey_cache::SurveyCache;
use crate::system::{Stat, System};

use super::cleanup::{finish, finish_without_commit, make_room};
use super::commit_loop::LockTimes;
use super::context::{Context, RemovedRuns};
use super::options::{Options, Request};
use super::outcome::{Log, NothingToRemove, Outcome};
use super::plan::RemovedRun;
use super::prepared::{Commit, Committed, Preparation, Prepared};
use super::{check_due, conclude};

/// How long a commit waits for the store's lock. All writers of the process wait with it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A sweep between two steps. Each step takes it and returns it in its next stage. Dropping it before
/// the commit leaves no trace.
pub(crate) struct ExclusiveSweep<'s, S: System> {
    sweep: Context<'s, S>,
    started: Duration,
    lock: LockTimes,
    log: Log,
    stage: Stage<'s, S>,
}

/// How far a sweep has come.
enum Stage<'s, S: System> {
    /// To be prepared, for the first time or again.
    Unprepared {
        attempts: u32,
        /// Known once a run is due.
        paths: Option<StorePaths>,
        /// A preparation that does not fit the store any more. The next attempt discards it: freeing
        /// its blocks takes a while, which is better done outside the exclusive section.
        stale: Option<Box<Prepared<'s, S>>>,
        /// The commit failed because the disk is full. The next attempt first makes room.
        full: Option<Error>,
    },
    /// Prepared. The store may have changed since.
    Prepared {
        attempts: u32,
        prepared: Box<Prepared<'s, S>>,
    },
    Committed(Box<Committed<'s, S>>),
    Nothing(NothingToRemove),
    Failed(Error),
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    /// Commit inside the exclusive section.
    Ready,
    /// The store has changed, or the disk is full: prepare again.
    Changed,
    /// The store was replaced: finish.
    Committed,
    /// Nothing is to be committed: finish.
    Ended,
}

/// How a commit changed the store's file: the `StoreChange` of `index.d.ts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoreChange {
    /// The keys of the removed runs, as they are in the file, so that JavaScript decodes them as it
    /// decodes the store.
    pub(crate) removed: Vec<Box<RawValue>>,
    /// Their session ids.
    pub(crate) session_ids: Vec<Option<String>>,
    /// The file that was read and replaced.
    pub(crate) before: FileStamp,
    /// The file that is the store now; `None` if it is not known.
    pub(crate) after: Option<FileStamp>,
}

/// The `FileStamp` of `index.d.ts`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileStamp {
    mtime_ms: f64,
    size_bytes: u64,
    inode: u64,
}

impl From<&Stat> for FileStamp {
    fn from(stat: &Stat) -> Self {
        Self {
            mtime_ms: js::mtime_ms(stat.mtime),
            size_bytes: stat.size,
            inode: stat.ino,
        }
    }
}

impl StoreChange {
    fn new(removed: Vec<RemovedRun>, before: &Stat, after: Option<&Stat>) -> Self {
        let (keys, session_ids) = removed
            .into_iter()
            .map(|run| (run.key, run.session_id))
            .unzip();
        Self {
            removed: keys,
            session_ids,
            before: before.into(),
            after: after.map(FileStamp::from),
        }
    }
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
            lock: LockTimes::default(),
            log: Log::default(),
            stage: Stage::Unprepared {
                attempts: 0,
                paths: None,
                stale: None,
                full: None,
            },
        }
    }

    /// Returns what is to be done next.
    pub(crate) fn step(&self) -> Step {
        match self.stage {
            Stage::Unprepared { .. } => Step::Changed,
            Stage::Prepared { .. } => Step::Ready,
            Stage::Committed(_) => Step::Committed,
            Stage::Nothing(_) | Stage::Failed(_) => Step::Ended,
        }
    }

    /// Writes the replacement of the store, if a run is to be removed. Takes the store's lock only to
    /// delete leftovers if the disk is full.
    pub(crate) fn prepare(self) -> Self {
        let (next, ()) = self.advance(|sweep, stage, lock, log| {
            prepare(sweep, stage, lock, log).map(|stage| (stage, ()))
        });
        next
    }

    /// Replaces the store if it is still the one for which the sweep was prepared. The caller excludes
    /// all other writers of its process. Also returns how the store's file changed, if it did.
    pub(crate) fn commit(self) -> (Self, Option<StoreChange>) {
        self.advance(commit)
    }

    /// Makes a step with the rights of the user who controls the path. If it fails, so does the sweep.
    fn advance<T: Default>(
        self,
        work: impl FnOnce(
            &Context<'s, S>,
            Stage<'s, S>,
            &mut LockTimes,
            &mut Log,
        ) -> Result<(Stage<'s, S>, T)>,
    ) -> (Self, T) {
        let Self {
            sweep,
            mut lock,
            mut log,
            stage,
            ..
        } = self;
        let (stage, found) = sweep
            .with_rights(|| work(&sweep, stage, &mut lock, &mut log))
            .unwrap_or_else(|error| (Stage::Failed(error), T::default()));
        let next = Self {
            sweep,
            lock,
            log,
            stage,
            ..self
        };
        (next, found)
    }

    /// Ends the sweep with an error before a step. A commit is not undone.
    pub(crate) fn fail(self, error: Error) -> Self {
        let stage = match self.stage {
            committed @ Stage::Committed(_) => committed,
            _ => Stage::Failed(error),
        };
        Self { stage, ..self }
    }

    /// Makes the commit durable and cleans up. Calls `report` as soon as the outcome is known. If the
    /// sweep is prepared and not committed, it is aborted.
    pub(crate) fn finish(self, report: impl FnOnce(Outcome)) {
        let Self {
            sweep,
            started,
            lock,
            mut log,
            stage,
        } = self;
        let completed = sweep.with_rights(|| match stage {
            Stage::Committed(committed) => finish(&sweep, committed, lock, &mut log),
            Stage::Nothing(nothing) => finish_without_commit(&sweep, &nothing, lock, &mut log),
            Stage::Failed(error) => Err(error),
            Stage::Unprepared { .. } | Stage::Prepared { .. } => Err(Error::Aborted),
        });
        let (outcome, old_store) = conclude(&sweep, completed, started, log);
        report(outcome);
        drop(old_store);
    }
}

fn prepare<'s, S: System>(
    sweep: &Context<'s, S>,
    stage: Stage<'s, S>,
    times: &mut LockTimes,
    log: &mut Log,
) -> Result<Stage<'s, S>> {
    let (attempts, paths, full) = match stage {
        Stage::Unprepared {
            attempts,
            paths,
            stale,
            full,
        } => {
            drop(stale);
            (attempts + 1, paths, full)
        }
        other => return Ok(other),
    };
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let paths = match paths {
        Some(paths) => paths,
        None => match check_due(sweep, &mut buffer)? {
            Continue(paths) => paths,
            Break(nothing) => return Ok(Stage::Nothing(nothing)),
        },
    };
    if let Some(error) = full
        && !make_room(sweep, &paths, times, log)
    {
        return Err(error);
    }
    let preparation = match Prepared::prepare(sweep, &paths, attempts, &mut buffer) {
        Err(error) if error.is_disk_full() && make_room(sweep, &paths, times, log) => {
            Prepared::prepare(sweep, &paths, attempts, &mut buffer)?
        }
        preparation => preparation?,
    };
    Ok(match preparation {
        Preparation::Ready(prepared) => Stage::Prepared { attempts, prepared },
        Preparation::Nothing(nothing) => Stage::Nothing(nothing),
        Preparation::Changed => Stage::Unprepared {
            attempts,
            paths: Some(paths),
            stale: None,
            full: None,
        },
    })
}

fn commit<'s, S: System>(
    sweep: &Context<'s, S>,
    stage: Stage<'s, S>,
    times: &mut LockTimes,
    log: &mut Log,
) -> Result<(Stage<'s, S>, Option<StoreChange>)> {
    let (attempts, prepared) = match stage {
        Stage::Prepared { attempts, prepared } => (attempts, prepared),
        other => return Ok((other, None)),
    };
    let paths = prepared.paths.clone();
    let again = |stale, full| Stage::Unprepared {
        attempts,
        paths: Some(paths.clone()),
        stale,
        full,
    };
    if !prepared.is_current(sweep)? {
        return Ok((again(Some(prepared), None), None));
    }
    let before = prepared.plan.before;
    let mut held = match times.acquire(sweep, &paths) {
        Err(error) if error.is_disk_full() => {
            return Ok((again(Some(prepared), Some(error)), None));
        }
        held => held?,
    };
    let commit = prepared.commit(sweep, &mut held.lock, log);
    let released = times.release(sweep, held);
    let stage = match commit {
        Ok(Commit::Committed(mut committed)) => {
            if let Err(error) = released {
                log.failed_after_sweep(&error);
            }
            let removed = std::mem::take(&mut committed.plan.removed_runs);
            let change = StoreChange::new(removed, &before, committed.replaced.after());
            return Ok((Stage::Committed(committed), Some(change)));
        }
        // The next attempt finds out whether the lock was lost.
        Ok(Commit::Stale(prepared)) => return Ok((again(Some(prepared), None), None)),
        Ok(Commit::Changed) => again(None, None),
        Err(error) if error.is_disk_full() => again(None, Some(error)),
        Err(error) => Stage::Failed(error),
    };
    // Another process may have replaced the store, or an exchange was undone.
    let now = sweep.system.stat(&paths.real);
    let is_unchanged = now.is_ok_and(|now| now.same_contents(&before));
    let uncertain = || StoreChange::new(Vec::new(), &before, None);
    Ok((stage, (!is_unchanged).then(uncertain)))
}
