//! A dry run: the plan of a sweep, counted or named and not applied.

use std::path::PathBuf;

use crate::error::Result;
use crate::gateway::js;
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::replace;
use crate::store::survey_cache::SurveyCache;
use crate::store::{Store, StorePaths};
use crate::system::System;
use crate::transcripts::{archive, archive_name};

use super::cleanup::old_archives;
use super::context::{Context, RemovedRuns};
use super::options::{Options, Request};
use super::outcome::{Log, Mode, NothingToRemove, Outcome, Removals, Report, Times};
use super::plan::{self, Draft, RemovalPlan, RemovedRun};

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
    match sweep.with_rights(|| count(&sweep, &mut log)) {
        Ok(report) => {
            let total = system.monotonic().saturating_sub(started);
            let ms = Times {
                surveying: total,
                total,
                ..Times::default()
            };
            Outcome::completed(Report { ms, ..report }, log)
        }
        Err(error) => Outcome::failed(&error, log),
    }
}

/// What a sweep would remove, by name.
#[derive(Debug, Default)]
pub(crate) struct RemovalNames {
    /// The runs, which are removed from the store.
    pub(crate) runs: Vec<RemovedRun>,
    /// The transcripts, which are archived.
    pub(crate) transcripts: Vec<PathBuf>,
    /// The old archives, which are deleted.
    pub(crate) archives: Vec<PathBuf>,
    /// The leftover temp files, which are deleted.
    pub(crate) temps: Vec<PathBuf>,
}

/// Returns by name what a sweep would remove now. Writes nothing, like [`preview`].
///
/// # Errors
/// As a sweep's.
pub(crate) fn removals<S: System>(
    system: &S,
    request: Request<'_>,
    options: &Options,
) -> Result<RemovalNames> {
    let sweep = Context {
        removed_runs: RemovedRuns::Collect,
        ..Context::new(system, request, options, &SurveyCache::new())
    };
    sweep.with_rights(|| name(&sweep))
}

fn name<S: System>(sweep: &Context<'_, S>) -> Result<RemovalNames> {
    let Some((paths, mut plan)) = dry_plan(sweep)? else {
        return Ok(RemovalNames::default());
    };
    let temps = plan.leftovers.removable(sweep.system)?;
    let (_, folders) = plan::tally(&plan.transcripts);
    let mut log = Log::default();
    let archives = old_archives(sweep, &paths, folders, &mut plan.listings, &mut log);
    Ok(RemovalNames {
        runs: plan.removed_runs,
        transcripts: plan.transcripts.into_iter().map(|it| it.path).collect(),
        archives,
        temps: temps.into_iter().map(|(path, _)| path).collect(),
    })
}

/// Counts what a sweep would remove.
fn count<S: System>(sweep: &Context<'_, S>, log: &mut Log) -> Result<Report> {
    let Some((paths, mut plan)) = dry_plan(sweep)? else {
        let figures = NothingToRemove::no_store().figures;
        return Ok(sweep.report(Mode::DryRun, &figures, Removals::default()));
    };

    let leftovers = plan
        .leftovers
        .clear(sweep.system, Mode::DryRun, &mut Vec::new())?;
    let (archived, folders) = plan::tally(&plan.transcripts);
    let old = old_archives(sweep, &paths, folders, &mut plan.listings, log);
    let mut aged = archive::count(old);
    // With `now` in the future, an archive may be old at once.
    let now_ms = js::epoch_ms(sweep.system.now()).max(0);
    if archive_name::is_expired(now_ms, sweep.archive_cutoff_ms) {
        aged += archived;
    }
    let removed = Removals {
        archived,
        archives: aged,
        leftovers,
    };
    Ok(sweep.report(Mode::DryRun, &plan.figures, removed))
}

/// Reads the store once, as the preparation of a sweep does, and plans what that would remove. Returns
/// `None` if the store does not exist.
fn dry_plan<S: System>(sweep: &Context<'_, S>) -> Result<Option<(StorePaths, RemovalPlan)>> {
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let read = Store::read(sweep.system, &sweep.store, |paths, store| {
        Draft::read(sweep, paths, store, None, &mut buffer)
    })?;
    let Some((paths, store, mut draft)) = read else {
        return Ok(None);
    };
    if draft.rewrite.removed > 0 {
        replace::check_obstacles(sweep.system, &paths.real)?;
    }
    draft.add_other_stores(&paths, store.before.uid, &mut buffer)?;
    let plan = draft.into_plan(sweep, &paths, store.before)?;
    Ok(Some((paths, plan)))
}
