//! A prepared sweep: the plan, and the store's replacement on the disk.

use crate::error::{Error, Result};
use crate::gateway::js;
use crate::lock::Lock;
use crate::store::reading::Buffer;
use crate::store::replace::{Naming, Replaced, Replacement, Swap};
use crate::store::{Store, StorePaths};
use crate::system::System;
use crate::transcripts::Tally;
use crate::transcripts::archive::Archive;

use super::context::Context;
use super::outcome::{FailedFiles, Log, Mode, NothingToRemove};
use super::plan::{Draft, RemovalPlan};

/// The store may change while a sweep is prepared, which takes no lock. After so many attempts the
/// sweep is prepared with the lock held, so that it succeeds however busy the store is.
pub(super) const ATTEMPTS_WITHOUT_LOCK: u32 = 2;

/// With the lock held, only a process that ignores the lock can change the store. After so many
/// attempts in all, the sweep gives up.
pub(super) const ATTEMPTS: u32 = 8;

/// A sweep that only has to be committed. It may wait for that, and dropping it leaves no trace: the
/// store, its folder and its lock are untouched until [`commit`](Self::commit).
pub(super) struct Prepared<'a, S: System> {
    pub(super) paths: StorePaths,
    pub(super) plan: RemovalPlan,
    replacement: Replacement<'a, S>,
}

/// What came of preparing a sweep.
pub(super) enum Preparation<'a, S: System> {
    Ready(Box<Prepared<'a, S>>),
    Nothing(NothingToRemove),
    /// The store changed while it was read.
    Changed,
}

/// What came of committing a prepared sweep.
pub(super) enum Commit<'a, S: System> {
    Committed(Box<Committed<'a, S>>),
    /// The plan did not hold any more, and nothing was changed. Dropping the preparation frees its
    /// blocks, which takes a while.
    Stale(Box<Prepared<'a, S>>),
    /// The store changed just before it was replaced, and what was done is undone.
    Changed,
}

/// A sweep whose store is replaced. It is durable after [`make_durable`](Self::make_durable).
pub(super) struct Committed<'a, S: System> {
    pub(super) paths: StorePaths,
    pub(super) plan: RemovalPlan,
    pub(super) archive: Archive<'a, S>,
    /// The archived transcripts.
    pub(super) archived: Tally,
    /// Open until the lock is released, because closing them frees their blocks.
    _removed_temps: Vec<S::File>,
    pub(super) replaced: Box<Replaced<'a, S>>,
}

impl<'a, S: System> Prepared<'a, S> {
    /// Writes the kept entries to a new file and waits until it is on the disk. Takes no lock: the
    /// commit detects a store that changed since. `attempt` is counted from 1.
    pub(super) fn prepare(
        sweep: &Context<'a, S>,
        paths: &StorePaths,
        attempt: u32,
        buffer: &mut Buffer,
    ) -> Result<Preparation<'a, S>> {
        if attempt > ATTEMPTS {
            return Err(Error::Contended {
                path: paths.named.clone(),
                attempts: ATTEMPTS,
            });
        }
        if attempt > ATTEMPTS_WITHOUT_LOCK {
            // No other process is to wait for a file system that the store's content names.
            sweep.lookups.end();
        }
        let read_at = sweep.system.now();
        let Some(store) = Store::open(sweep.system, paths)? else {
            return Ok(Preparation::Nothing(NothingToRemove::no_store()));
        };
        let replacement = Replacement::create(sweep.system, store, sweep.naming.get())?;
        let store = replacement.store();
        let draft = Draft::read(sweep, paths, store, Some(replacement.file()), buffer);
        if store.was_incomplete(sweep.system, &draft)? {
            return Ok(Preparation::Changed);
        }
        let mut draft = draft?;
        let before = store.before;
        let rewrite = &draft.rewrite;
        if rewrite.removed == 0 {
            sweep.remember(&before, rewrite.entries, rewrite.earliest, read_at);
            let nothing = NothingToRemove::of(before, draft.figures);
            return Ok(Preparation::Nothing(nothing));
        }
        let bytes = rewrite.bytes;
        // Before the sync: if it fails, nothing was written to the disk.
        draft.add_other_stores(paths, before.uid, buffer)?;
        if attempt > ATTEMPTS_WITHOUT_LOCK {
            // The commit follows at once, and other stores are written without this lock.
            draft.other_stores.clear();
        }
        replacement.sync(bytes)?;
        // After the sync, which takes a while: a link may have been made that protects a transcript.
        let plan = draft.into_plan(sweep, paths, before)?;
        Ok(Preparation::Ready(Box::new(Self {
            paths: paths.clone(),
            plan,
            replacement,
        })))
    }

    /// Returns whether the store is still the one for which this was prepared.
    pub(super) fn is_current(&self, sweep: &Context<'a, S>) -> Result<bool> {
        self.replacement.store().is_current(sweep.system)
    }

    /// Archives the transcripts and replaces the store, with the lock held, if the plan still holds.
    ///
    /// The transcripts are archived first: after a crash in between, the store still has their
    /// entries, and the next sweep completes the work. In the other order nothing would ever refer
    /// to them again.
    pub(super) fn commit(
        self: Box<Self>,
        sweep: &Context<'a, S>,
        lock: &mut Lock<'a, S>,
        log: &mut Log,
    ) -> Result<Commit<'a, S>> {
        if self.moves_files() {
            lock.start_heartbeat();
        }
        sweep.options.abort.check()?;
        lock.verify()?;
        let system = sweep.system;
        if !self.is_current(sweep)? || self.plan.is_locked(system) || self.plan.is_outdated(system)
        {
            return Ok(Commit::Stale(self));
        }
        let Self {
            paths,
            mut plan,
            replacement,
        } = *self;
        let mut archive = Archive::new(system);
        let mut archived = Tally::default();
        for transcript in &plan.transcripts {
            if archive.add(&transcript.path, js::epoch_ms(system.now()).max(0)) {
                archived.add(transcript.bytes);
            }
        }
        let replaced = match replacement.replace() {
            Ok(Swap::Replaced(replaced)) => replaced,
            Ok(Swap::Changed { kept }) => {
                log.not_restored(archive.undo());
                log.kept(kept);
                return Ok(Commit::Changed);
            }
            Ok(Swap::Unnameable) => {
                log.not_restored(archive.undo());
                sweep.naming.set(Naming::AtCreation);
                return Ok(Commit::Changed);
            }
            Err(error) => {
                log.not_restored(archive.undo());
                return Err(error);
            }
        };
        plan.listings.ignore_abort();
        if let Some(after) = replaced.after() {
            sweep.remember_replaced(&plan.rewrite, plan.written_at, after);
        }
        plan.leftovers.new_store = replaced.after().copied();
        let mut removed_temps = Vec::new();
        match plan
            .leftovers
            .clear(system, Mode::Apply, &mut removed_temps)
        {
            Ok(cleared) => log.cleared(cleared),
            Err(error) => log.failed_after_sweep(&error),
        }
        Ok(Commit::Committed(Box::new(Committed {
            paths,
            plan,
            archive,
            archived,
            _removed_temps: removed_temps,
            replaced,
        })))
    }

    /// Returns whether the commit also moves or removes other files than the store. There may be
    /// thousands of them.
    fn moves_files(&self) -> bool {
        !self.plan.transcripts.is_empty() || !self.plan.leftovers.is_empty()
    }
}

impl<S: System> Committed<'_, S> {
    /// Waits until the archives and the new store are on the disk, then removes the old store.
    pub(super) fn make_durable(&mut self, log: &mut Log) -> Result<()> {
        let failures = [&*self.plan.failures, self.archive.warnings()].concat();
        log.not_cleaned_up(FailedFiles::Transcripts, failures);
        self.archive.sync_outside(self.replaced.folder())?;
        log.kept(self.replaced.finish()?);
        Ok(())
    }
}
