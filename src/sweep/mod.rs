//! The sweep: the whole sequence, in the order in which it happens.
//!
//! ```text
//! check_due   may a run be expired?           no lock; one stat, or one pass
//! prepare     plan + replacement, synced      no lock
//! commit      archive, then replace           with the lock, a few milliseconds
//! finish      sync, age archives, clean up
//! ```
//!
//! Each step takes the previous step's value and returns the next. The [`Outcome`] is computed from
//! these values at the end. A sweep that has nothing to remove ends with `finish_without_commit`.

mod cleanup;
mod commit_loop;
mod context;
pub(crate) mod exclusive;
pub mod options;
mod other_stores;
pub mod outcome;
mod plan;
mod prepared;
mod preview;
mod run_transcripts;

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use crate::error::Result;
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::scan::Entry;
use crate::store::survey::{Survey, survey};
use crate::store::survey_cache::SurveyCache;
use crate::store::{Store, StorePaths};
use crate::system::System;

pub use options::{Ageing, Options, Request};
pub use outcome::Outcome;
pub use preview::preview;
pub(crate) use preview::removals;

use cleanup::{Completed, OldStore, finish, finish_without_commit, make_room};
use commit_loop::{LockTimes, prune};
use context::Context;
use outcome::{Log, NothingToRemove, Reason, Report, StoreFigures, Times};
use run_transcripts::RunTranscripts;

/// Removes the expired runs of one store and archives their transcripts, as the gateway does by
/// default.
///
/// `cache` holds what earlier sweeps by the same caller found.
///
/// ```
/// use cron_session_reaper::{store::survey_cache::SurveyCache, sweep, system::Os};
///
/// let folder = tempfile::tempdir()?;
/// let store = folder.path().join("sessions.json");
/// std::fs::write(&store, r#"{"agent:main:cron:job:run:1":{"updatedAt":0},"agent:main:main":{}}"#)?;
///
/// let request = sweep::Request { store: &store, now_ms: 2e9, retention_ms: 1e9 };
/// let outcome = sweep::sweep(&Os, request, &SurveyCache::new());
///
/// assert_eq!(outcome.result.map(|report| report.pruned), Ok(1));
/// assert_eq!(std::fs::read_to_string(&store)?, r#"{"agent:main:main":{}}"#);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sweep<S: System>(system: &S, request: Request<'_>, cache: &SurveyCache) -> Outcome {
    let options = Options::default();
    let (outcome, _old_store) = run(&Context::new(system, request, &options, cache));
    outcome
}

/// Like [`sweep`], with options. Calls `report` as soon as the outcome is known: freeing the old
/// store's blocks may take as long as the rest.
pub fn sweep_with<S: System>(
    system: &S,
    request: Request<'_>,
    options: &Options,
    cache: &SurveyCache,
    report: impl FnOnce(Outcome),
) {
    let (outcome, old_store) = run(&Context::new(system, request, options, cache));
    report(outcome);
    drop(old_store);
}

fn run<'a, S: System>(sweep: &Context<'a, S>) -> (Outcome, OldStore<'a, S>) {
    let started = sweep.system.monotonic();
    let mut log = Log::default();
    let completed = sweep.with_rights(|| complete(sweep, &mut log));
    conclude(sweep, completed, started, log)
}

/// The steps of a sweep.
fn complete<'a, S: System>(sweep: &Context<'a, S>, log: &mut Log) -> Result<Completed<'a, S>> {
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let mut lock = LockTimes::default();
    let pruned = match check_due(sweep, &mut buffer)? {
        Continue(paths) => match prune(sweep, &paths, &mut buffer, &mut lock, log) {
            Err(error) if error.is_disk_full() && make_room(sweep, &paths, &mut lock, log) => {
                prune(sweep, &paths, &mut buffer, &mut lock, log)?
            }
            pruned => pruned?,
        },
        Break(nothing) => Break(nothing),
    };
    match pruned {
        Continue(committed) => finish(sweep, committed, lock, log),
        Break(nothing) => finish_without_commit(sweep, &nothing, lock, log),
    }
}

/// Finds out whether a run may be expired, and if so, returns the paths of the store. Takes no lock
/// and writes nothing. A store that the cache knows costs one `stat`.
fn check_due<S: System>(
    sweep: &Context<'_, S>,
    buffer: &mut Buffer,
) -> Result<ControlFlow<NothingToRemove, StorePaths>> {
    let (system, named) = (sweep.system, &*sweep.store);
    if let Ok(stat) = system.stat_following(named)
        && let Some(entries) = sweep
            .cache
            .nothing_due(named, &stat, sweep.expiry.cutoff_ms)
    {
        let figures = StoreFigures::unchanged(Reason::Unchanged, stat.size, entries, 0);
        return Ok(Break(NothingToRemove::of(stat, figures)));
    }
    let read_at = system.now();
    let Some(paths) = StorePaths::resolve(system, named)? else {
        return Ok(Break(NothingToRemove::no_store()));
    };
    let Some(store) = Store::open(system, &paths)? else {
        return Ok(Break(NothingToRemove::no_store()));
    };
    let source = store.source(system, &sweep.options.abort);
    let mut runs = RunTranscripts::new(sweep, plan::folder_of(&paths));
    let is_locked = |run: &Entry<'_>| {
        let file = run.session_file();
        let found = runs.unlocked(run.session_id().text(), file.as_deref());
        found.is_none()
    };
    let surveyed = survey(source, sweep.expiry, buffer.bytes(), is_locked);
    if store.was_incomplete(system, &surveyed)? {
        // It is read again, finally with the lock held.
        return Ok(Continue(paths));
    }
    let Survey::NothingDue {
        entries,
        earliest,
        locked,
    } = surveyed?
    else {
        return Ok(Continue(paths));
    };
    let size = store.before.size;
    sweep.remember(&store.before, entries, earliest, read_at);
    let figures = StoreFigures::unchanged(Reason::NothingExpired, size, entries, locked);
    Ok(Break(NothingToRemove::of(store.before, figures)))
}

/// Computes the outcome of a sweep that began at `started`.
fn conclude<'a, S: System>(
    sweep: &Context<'a, S>,
    completed: Result<Completed<'a, S>>,
    started: Duration,
    log: Log,
) -> (Outcome, OldStore<'a, S>) {
    let Completed {
        report,
        lock: LockTimes { waiting, holding },
        surveyed,
        old_store,
    } = match completed {
        Ok(completed) => completed,
        Err(error) => return (Outcome::failed(&error, log), None),
    };
    let ms = Times {
        surveying: surveyed.saturating_sub(started),
        waiting,
        holding,
        total: sweep.system.monotonic().saturating_sub(started),
    };
    (Outcome::completed(Report { ms, ..report }, log), old_store)
}

#[cfg(test)]
mod exclusive_tests;
#[cfg(test)]
mod ordering_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod tests;
