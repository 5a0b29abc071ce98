//! What a sweep does after the commit, or where nothing is to be committed: leftovers, old archives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::StorePaths;
use crate::store::leftovers::Cleared;
use crate::system::{Stat, System};
use crate::transcripts::archive;
use crate::transcripts::links::linked_names;
use crate::transcripts::listing::Listings;

use super::commit_loop::LockTimes;
use super::context::Context;
use super::options::Ageing;
use super::outcome::{Log, Mode, NothingToRemove, Removals, Report};
use super::plan::{self, Search};
use super::prepared::Committed;

/// What keeps a replaced store open. Closing it may take long.
pub(super) type OldStore<'a, S> = Option<Box<Committed<'a, S>>>;

/// A sweep that ran to its end.
pub(super) struct Completed<'a, S: System> {
    pub(super) report: Report,
    pub(super) lock: LockTimes,
    /// When only the cleanup remained, without the time for which the sweep waited for the lock and held
    /// it until then.
    pub(super) surveyed: Duration,
    pub(super) old_store: OldStore<'a, S>,
}

/// Makes a commit durable, then deletes old archives.
pub(super) fn finish<'a, S: System>(
    sweep: &Context<'a, S>,
    mut committed: Box<Committed<'a, S>>,
    lock: LockTimes,
    log: &mut Log,
) -> Result<Completed<'a, S>> {
    let surveyed = lock.excluded_from(sweep.system.monotonic());
    committed
        .make_durable(log)
        // The old store may still exist under its other name. The next sweep searches for it.
        .inspect_err(|_| sweep.cache.forget(&sweep.store))?;
    let Committed {
        paths,
        plan,
        archive,
        ..
    } = &mut *committed;
    // With `now` in the future, an archive may be old at once. Its folder was listed before.
    let mut failures = Vec::new();
    let expired = archive.expired(sweep.archive_cutoff_ms);
    let mut archives = archive::remove(sweep.system, expired, &mut failures);
    let old = old_archives(sweep, paths, archive.folders(), &mut plan.listings, log);
    archives += archive::remove(sweep.system, old, &mut failures);
    log.deleted_archives(archives, failures);
    let removed = Removals {
        archived: committed.archived,
        ..Removals::default()
    };
    Ok(Completed {
        report: sweep.report(Mode::Apply, &committed.plan.figures, removed),
        lock,
        surveyed,
        old_store: Some(committed),
    })
}

/// Deletes old archives and removes leftovers where no run is removed.
pub(super) fn finish_without_commit<'a, S: System>(
    sweep: &Context<'a, S>,
    nothing: &NothingToRemove,
    mut lock: LockTimes,
    log: &mut Log,
) -> Result<Completed<'a, S>> {
    sweep.options.abort.check()?;
    let looks_at_folder =
        Search::of(sweep, 0) != Search::None || matches!(sweep.options.ageing, Ageing::After(_));
    let paths = match &nothing.store {
        Some(_) if looks_at_folder => StorePaths::resolve(sweep.system, &sweep.store)?,
        // A store that the cache knows costs one `stat`.
        _ => None,
    };
    let surveyed = lock.excluded_from(sweep.system.monotonic());
    if let Some((paths, store)) = paths.as_ref().zip(nothing.store.as_ref()) {
        let mut listings = Listings::new(sweep.archive_cutoff_ms, &sweep.options.abort);
        // Before the leftovers: on a full disk this makes room for the lock file.
        delete_old_archives(sweep, paths, &mut listings, log);
        let cleared = clear_leftovers(sweep, paths, store, 0, &mut listings, &mut lock, log);
        if let Err(error) = cleared {
            // The next sweep searches again.
            sweep.cache.forget(&sweep.store);
            if matches!(error, Error::Aborted) {
                return Err(error);
            }
            log.failed_after_sweep(&error);
        }
    }
    Ok(Completed {
        report: sweep.report(Mode::Apply, &nothing.figures, Removals::default()),
        lock,
        surveyed,
        old_store: None,
    })
}

/// Deletes, after the disk was full, what the sweep would delete after its commit: leftovers, and with
/// an archive retention old archives in the store's folder. Returns whether anything was deleted, so that
/// the sweep can try again.
pub(super) fn make_room<S: System>(
    sweep: &Context<'_, S>,
    paths: &StorePaths,
    times: &mut LockTimes,
    log: &mut Log,
) -> bool {
    let deleted = log.deleted();
    let mut listings = Listings::new(sweep.archive_cutoff_ms, &sweep.options.abort);
    // Before the leftovers, because the lock file needs room as well.
    delete_old_archives(sweep, paths, &mut listings, log);
    if let Ok(store) = sweep.system.stat(&paths.real) {
        // If this fails, the sweep fails because the disk is full.
        let _ = clear_leftovers(sweep, paths, &store, 1, &mut listings, times, log);
    }
    log.deleted() > deleted
}

/// Removes dead leftovers of a store from which `removed` runs are removed, with the lock held if there
/// are any.
fn clear_leftovers<S: System>(
    sweep: &Context<'_, S>,
    paths: &StorePaths,
    store: &Stat,
    removed: u64,
    listings: &mut Listings,
    times: &mut LockTimes,
    log: &mut Log,
) -> Result<()> {
    let leftovers = plan::find_leftovers(sweep, paths, store, removed, listings)?;
    if leftovers.clear(sweep.system, Mode::DryRun, &mut Vec::new())? == Cleared::default() {
        return Ok(());
    }
    let mut held = times.acquire(sweep, paths)?;
    held.lock.start_heartbeat();
    // Closed after the release.
    let mut removed = Vec::new();
    log.cleared(leftovers.clear(sweep.system, Mode::Apply, &mut removed)?);
    times.release(sweep, held)
}

/// Deletes the old archives in the store's folder, with an archive retention.
fn delete_old_archives<S: System>(
    sweep: &Context<'_, S>,
    paths: &StorePaths,
    listings: &mut Listings,
    log: &mut Log,
) {
    let old = old_archives(sweep, paths, [], listings, log);
    let mut failures = Vec::new();
    let archives = archive::remove(sweep.system, old, &mut failures);
    log.deleted_archives(archives, failures);
}

/// Returns the archives to delete in the folders of `archived_in` and, with an archive retention, in
/// the store's.
pub(super) fn old_archives<'f, S: System>(
    sweep: &Context<'_, S>,
    paths: &'f StorePaths,
    archived_in: impl IntoIterator<Item = &'f Path>,
    listings: &mut Listings,
    log: &mut Log,
) -> Vec<PathBuf> {
    let mut folders: BTreeSet<&Path> = match sweep.options.ageing {
        Ageing::Never => return Vec::new(),
        Ageing::WithRuns => BTreeSet::new(),
        Ageing::After(_) => BTreeSet::from([&*paths.folder]),
    };
    folders.extend(archived_in);
    let mut old = Vec::new();
    for folder in folders {
        match listings.of(folder) {
            Ok(listing) if listing.expired_archives.is_empty() => {}
            Ok(listing) => {
                // A link can be the transcript of a kept entry, or another store.
                let linked = linked_names(sweep.system, folder, &listing.links);
                let archives = listing.expired_archives.iter();
                let archives = archives.filter(|name| !linked.contains(*name));
                // The store itself may be named like an archive, too.
                let archives = archives.map(|name| folder.join(name));
                old.extend(archives.filter(|archive| !paths.is_store(archive)));
            }
            // What follows reports it.
            Err(Error::Aborted) => {}
            Err(error) => log.cleanup_failed(&error),
        }
    }
    old
}
