//! What the steps of one sweep share.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::lock;
use crate::store::replace::Naming;
use crate::store::rewrite::Rewritten;
use crate::store::survey_cache::SurveyCache;
use crate::store::{self, Expiry};
use crate::system::{Stat, System};
use crate::transcripts::outside::OutsideLookups;

use super::options::{Options, Request};
use super::outcome::{Mode, Removals, Report, StoreFigures};

/// What one sweep is asked to do, and what it does it with.
pub(super) struct Context<'a, S> {
    pub(super) system: &'a S,
    /// See [`Request::store`].
    pub(super) store: PathBuf,
    /// See [`Request::retention_ms`].
    pub(super) retention_ms: f64,
    /// Which runs are expired.
    pub(super) expiry: Expiry,
    /// An archive that was made before this is old, in milliseconds since 1970.
    pub(super) archive_cutoff_ms: f64,
    pub(super) options: Options,
    pub(super) cache: SurveyCache,
    /// How long a sweep waits for the store's lock.
    pub(super) lock_timeout: Duration,
    pub(super) removed_runs: RemovedRuns,
    /// Whether the caller has not swept this store before.
    pub(super) is_first: bool,
    /// How many paths outside the store's folder may still be accessed.
    pub(super) lookups: OutsideLookups,
    /// How the next replacement is created.
    pub(super) naming: Cell<Naming>,
}

/// Whether the removed runs are collected. Only a store writer needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RemovedRuns {
    Ignore,
    Collect,
}

impl<'a, S: System> Context<'a, S> {
    pub(super) fn new(
        system: &'a S,
        request: Request<'_>,
        options: &Options,
        cache: &SurveyCache,
    ) -> Self {
        Self {
            system,
            store: request.store.to_owned(),
            retention_ms: request.retention_ms,
            expiry: Expiry {
                cutoff_ms: request.cutoff_ms(),
                keys: options.run_keys,
            },
            archive_cutoff_ms: options.ageing.cutoff_ms(request),
            options: options.clone(),
            cache: cache.clone(),
            lock_timeout: lock::TIMEOUT,
            removed_runs: RemovedRuns::Ignore,
            is_first: !cache.knows(request.store),
            lookups: OutsideLookups::new(),
            naming: Cell::default(),
        }
    }

    pub(super) fn with_rights<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        store::with_rights(self.system, &self.store, work)
    }

    pub(super) fn report(&self, mode: Mode, figures: &StoreFigures, removed: Removals) -> Report {
        Report::new(mode, self.retention_ms, figures, removed)
    }

    /// Returns when the contents of this state of the store were last written by any process but a
    /// sweep, in nanoseconds since 1970.
    pub(super) fn written_at(&self, store: &Stat) -> i128 {
        let derived_from = self.cache.derived_from(&self.store, store);
        derived_from.unwrap_or(store.mtime)
    }

    /// Remembers a store from which nothing is to be removed.
    pub(super) fn remember(&self, store: &Stat, entries: u64, earliest: f64, read_at: SystemTime) {
        let changed = store.mtime.max(store.ctime);
        self.cache
            .remember(&self.store, store, entries, earliest, changed, read_at);
    }

    /// Remembers the result of a rewrite, which replaced a store that was written at `written_at`.
    pub(super) fn remember_replaced(&self, rewrite: &Rewritten, written_at: i128, after: &Stat) {
        let Rewritten { kept, earliest, .. } = *rewrite;
        let (named, now) = (&*self.store, self.system.now());
        self.cache
            .remember(named, after, kept, earliest, after.mtime, now);
        self.cache.mark_derived(named, after, written_at);
    }
}
