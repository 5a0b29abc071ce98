//! The sweep: the whole sequence, in the order in which it happens.
//!
//! ```text
//! survey    may a run be expired?             no lock, one pass; or one stat
//! prepare   plan + replacement, synced        no lock
//! commit    archive, then replace             with the lock, a few milliseconds
//! finish    sync, age archives, clean up
//! ```
//!
//! Each step takes the previous step's value and returns the next. The [`Outcome`] is computed from
//! these values at the end.

mod cleanup;
mod commit_loop;
pub(crate) mod exclusive;
pub mod options;
pub mod outcome;
mod plan;
mod prepared;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::gateway::js;
use crate::lock;
use crate::store::leftovers::Cleared;
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::replace::Naming;
use crate::store::rewrite::Rewritten;
use crate::store::scan::Entry;
use crate::store::survey::{self, Survey};
use crate::store::survey_cache::SurveyCache;
use crate::store::{self, Expiry, Store, StorePaths};
use crate::system::{Stat, System};
use crate::transcripts::listing::Listings;
use crate::transcripts::outside::OutsideLookups;
use crate::transcripts::{archive, archive_name};

pub use options::{Ageing, Options, Request};
pub use outcome::Outcome;

use cleanup::{finish, old_archives, remove_nothing};
use commit_loop::{LockTimes, Pruned};
use outcome::{Log, Mode, Removals, Report, StoreFigures, Times};
use plan::{Draft, RemovalPlan};
use prepared::Committed;

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
    let (outcome, _old_store) = complete(&Context::new(system, request, &options, cache));
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
    let (outcome, old_store) = complete(&Context::new(system, request, options, cache));
    report(outcome);
    drop(old_store);
}

/// Returns what a sweep would do now. Takes no lock, writes nothing, and neither uses nor changes
/// what the cache holds about the store's contents.
///
/// ```
/// use cron_session_reaper::{store::survey_cache::SurveyCache, sweep, system::Os};
///
/// let folder = tempfile::tempdir()?;
/// let store = folder.path().join("sessions.json");
/// std::fs::write(&store, r#"{"agent:main:cron:job:run:1":{"updatedAt":0},"agent:main:main":{}}"#)?;
///
/// let request = sweep::Request { store: &store, now_ms: 2e9, retention_ms: 1e9 };
/// let options = sweep::Options::default();
/// let outcome = sweep::preview(&Os, request, &options, &SurveyCache::new());
///
/// let report = outcome.result.expect("the store is valid");
/// assert_eq!((report.dry_run, report.pruned), (true, 1));
/// assert_eq!(report.bytes.before, std::fs::metadata(&store)?.len());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn preview<S: System>(
    system: &S,
    request: Request<'_>,
    options: &Options,
    cache: &SurveyCache,
) -> Outcome {
    let started = system.monotonic();
    let sweep = Context::new(system, request, options, cache);
    let mut log = Log::default();
    let rights = match store::limit_rights(system, request.store) {
        Ok(rights) => rights,
        Err(error) => return Outcome::failed(&error, log),
    };
    match preview_report(&sweep, &mut log) {
        Ok(report) => {
            let total = system.monotonic().saturating_sub(started);
            let ms = Times {
                surveying: total,
                total,
                ..Times::default()
            };
            Outcome::completed(Report { ms, ..report }, log)
        }
        Err(error) => Outcome::failed(&error.explained_by(&rights), log),
    }
}

/// What the steps of one sweep share.
struct Context<'a, S> {
    system: &'a S,
    /// See [`Request`], of which this and the next two fields are copies.
    store: PathBuf,
    now_ms: f64,
    retention_ms: f64,
    options: Options,
    cache: SurveyCache,
    /// How long a sweep waits for the store's lock.
    lock_timeout: Duration,
    removed_runs: RemovedRuns,
    /// Whether the caller has not swept this store before.
    is_first: bool,
    /// How many paths outside the store's folder may still be accessed.
    lookups: OutsideLookups,
    /// How the next replacement is created.
    naming: Cell<Naming>,
}

/// Whether the removed runs are collected. Only a store writer needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RemovedRuns {
    Ignore,
    Collect,
}

/// A sweep that ran to its end.
struct Completed<'a, S: System> {
    report: Report,
    lock: LockTimes,
    /// When the lock was released for the last time and only the cleanup remained.
    cleanup_since: Duration,
    /// Keeps the old store open: closing it may take long.
    committed: Option<Box<Committed<'a, S>>>,
}

/// What the survey found.
enum Surveyed {
    NoStore,
    NothingDue(Stat, StoreFigures),
    Due(StorePaths),
}

/// Sweeps. Returns the outcome and, if the store was replaced, what keeps the old one open.
fn complete<'a, S: System>(sweep: &Context<'a, S>) -> (Outcome, Option<Box<Committed<'a, S>>>) {
    let started = sweep.system.monotonic();
    let mut log = Log::default();
    let completed = with_rights(sweep, || run(sweep, &mut log));
    outcome_of(sweep, completed, started, log)
}

/// Returns the outcome of a sweep that was started at `started` and, if the store was replaced, what
/// keeps the old one open.
fn outcome_of<'a, S: System>(
    sweep: &Context<'a, S>,
    completed: Result<Completed<'a, S>>,
    started: Duration,
    log: Log,
) -> (Outcome, Option<Box<Committed<'a, S>>>) {
    match completed {
        Ok(completed) => {
            let ms = completed.times(started, sweep.system.monotonic());
            let report = Report {
                ms,
                ..completed.report
            };
            (Outcome::completed(report, log), completed.committed)
        }
        Err(error) => (Outcome::failed(&error, log), None),
    }
}

/// Does a part of a sweep with the rights of the user who controls the path to the store.
fn with_rights<S: System, T>(
    sweep: &Context<'_, S>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let rights = store::limit_rights(sweep.system, &sweep.store)?;
    work().map_err(|error| error.explained_by(&rights))
}

fn run<'a, S: System>(sweep: &Context<'a, S>, log: &mut Log) -> Result<Completed<'a, S>> {
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let paths = match survey(sweep, &mut buffer)? {
        Surveyed::NoStore => return no_store(sweep, LockTimes::default()),
        Surveyed::NothingDue(store, figures) => {
            return remove_nothing(sweep, &store, &figures, LockTimes::default(), log);
        }
        Surveyed::Due(paths) => paths,
    };
    let (pruned, lock) = commit_loop::prune(sweep, &paths, &mut buffer, log)?;
    match pruned {
        Pruned::NoStore => no_store(sweep, lock),
        Pruned::Nothing(store, figures) => remove_nothing(sweep, &store, &figures, lock, log),
        Pruned::Committed(committed) => finish(sweep, committed, lock, log),
    }
}

/// Finds out whether a run may be expired. Takes no lock and writes nothing. A store that the cache
/// knows costs one `stat`.
fn survey<S: System>(sweep: &Context<'_, S>, buffer: &mut Buffer) -> Result<Surveyed> {
    let (named, cutoff_ms) = (&*sweep.store, sweep.request().cutoff_ms());
    if let Ok(stat) = sweep.system.stat_following(named)
        && let Some(entries) = sweep.cache.nothing_due(named, &stat, cutoff_ms)
    {
        let figures = StoreFigures::of_cached(stat.size, entries);
        return Ok(Surveyed::NothingDue(stat, figures));
    }
    let read_at = sweep.system.now();
    let Some(paths) = StorePaths::resolve(sweep.system, named)? else {
        return Ok(Surveyed::NoStore);
    };
    let Some(store) = Store::open(sweep.system, &paths)? else {
        return Ok(Surveyed::NoStore);
    };
    let source = store.source(sweep.system, &sweep.options.abort);
    let is_locked = |run: &Entry<'_>| plan::is_run_locked(sweep, &paths, run);
    let survey = survey::survey(source, sweep.expiry(), buffer.bytes(), is_locked);
    if store.was_incomplete(sweep.system, &survey)? {
        // It is read again, finally with the lock held.
        return Ok(Surveyed::Due(paths));
    }
    let Survey::NothingDue {
        entries,
        earliest,
        locked,
    } = survey?
    else {
        return Ok(Surveyed::Due(paths));
    };
    sweep.remember(&store.before, entries, earliest, read_at);
    let figures = StoreFigures::of_read(store.before.size, entries, locked);
    Ok(Surveyed::NothingDue(store.before, figures))
}

fn no_store<'a, S: System>(sweep: &Context<'a, S>, lock: LockTimes) -> Result<Completed<'a, S>> {
    sweep.options.abort.check()?;
    Ok(Completed {
        report: Report::of_no_store(Mode::Apply, sweep.retention_ms),
        lock,
        cleanup_since: sweep.system.monotonic(),
        committed: None,
    })
}

/// Reads the store once, as the preparation of a sweep does, and counts what that would remove.
fn preview_report<S: System>(sweep: &Context<'_, S>, log: &mut Log) -> Result<Report> {
    let no_store = || Ok(Report::of_no_store(Mode::DryRun, sweep.retention_ms));
    let Some(paths) = StorePaths::resolve(sweep.system, &sweep.store)? else {
        return no_store();
    };
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let read = Store::read(sweep.system, &paths, |store| {
        Draft::read(sweep, &paths, store, None, &mut buffer)
    })?;
    let Some((store, draft)) = read else {
        return no_store();
    };
    let mut plan = draft.into_plan(sweep, &paths, store.before, &mut buffer)?;

    let leftovers = match &plan.leftovers {
        Some(leftovers) => leftovers.clear(sweep.system, Mode::DryRun)?,
        None => Cleared::default(),
    };
    let (archived, folders) = plan::tally(&plan.transcripts);
    let old = old_archives(sweep, &paths, folders, &mut plan.listings, log);
    let mut aged = archive::count(old);
    // With `now` in the future, an archive may be old at once.
    if archive_name::is_expired(
        js::epoch_ms(sweep.system.now()).max(0),
        sweep.archive_cutoff_ms(),
    ) {
        aged += archived;
    }
    let removed = Removals {
        archived,
        archives: aged,
        leftovers,
    };
    Ok(sweep.report(Mode::DryRun, &plan.figures(), removed))
}

impl<S: System> Completed<'_, S> {
    fn times(&self, started: Duration, ended: Duration) -> Times {
        let LockTimes { waiting, holding } = self.lock;
        let before_cleanup = self.cleanup_since.saturating_sub(started);
        Times {
            surveying: before_cleanup.saturating_sub(waiting + holding),
            waiting,
            holding,
            total: ended.saturating_sub(started),
        }
    }
}

impl<'a, S: System> Context<'a, S> {
    fn new(system: &'a S, request: Request<'_>, options: &Options, cache: &SurveyCache) -> Self {
        Self {
            system,
            store: request.store.to_owned(),
            now_ms: request.now_ms,
            retention_ms: request.retention_ms,
            options: options.clone(),
            cache: cache.clone(),
            lock_timeout: lock::TIMEOUT,
            removed_runs: RemovedRuns::Ignore,
            is_first: !cache.knows(request.store),
            lookups: OutsideLookups::new(),
            naming: Cell::default(),
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            store: &self.store,
            now_ms: self.now_ms,
            retention_ms: self.retention_ms,
        }
    }

    /// Returns which runs are expired.
    fn expiry(&self) -> Expiry {
        self.options.expiry(self.request())
    }

    fn archive_cutoff_ms(&self) -> f64 {
        self.options.ageing.cutoff_ms(self.request())
    }

    /// Returns listings of which none is made yet.
    fn listings(&self) -> Listings {
        Listings::new(self.archive_cutoff_ms())
    }

    fn report(&self, mode: Mode, figures: &StoreFigures, removed: Removals) -> Report {
        Report::new(mode, self.retention_ms, figures, removed)
    }

    /// Returns when the contents of this state of the store were last written by any process but a
    /// sweep, in nanoseconds since 1970.
    fn written_at(&self, store: &Stat) -> i128 {
        let derived_from = self.cache.derived_from(&self.store, store);
        derived_from.unwrap_or(store.mtime)
    }

    /// Remembers a store from which nothing is to be removed.
    fn remember(&self, store: &Stat, entries: u64, earliest_ms: f64, read_at: SystemTime) {
        let changed = store.mtime.max(store.ctime);
        self.cache
            .remember(&self.store, store, entries, earliest_ms, changed, read_at);
    }

    /// Remembers the store that replaced the one for which `plan` was made.
    fn remember_replaced(&self, plan: &RemovalPlan, after: &Stat) {
        let Rewritten { kept, earliest, .. } = plan.rewrite;
        let (named, now) = (&*self.store, self.system.now());
        self.cache
            .remember(named, after, kept, earliest, after.mtime, now);
        self.cache.mark_derived(named, after, plan.written_at);
    }
}

#[cfg(test)]
mod ordering_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod tests;
