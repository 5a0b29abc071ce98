//! A prepared sweep: the plan, and the store's replacement on the disk.

use crate::error::Result;
use crate::gateway::js;
use crate::lock::Lock;
use crate::store::leftovers::Cleared;
use crate::store::reading::Buffer;
use crate::store::replace::{Naming, Replaced, Replacement, Swap};
use crate::store::{Store, StorePaths};
use crate::system::{Stat, System};
use crate::transcripts::Tally;
use crate::transcripts::archive::Archive;

use super::Context;
use super::outcome::{Log, Mode, StoreFigures};
use super::plan::{Draft, RemovalPlan, RemovedRun, is_any_locked};

/// A sweep that only has to be committed. It may wait for that, and dropping it leaves no trace: the
/// store, its folder and its lock are untouched until [`commit`](Self::commit).
pub(super) struct Prepared<'a, S: System> {
    paths: StorePaths,
    plan: RemovalPlan,
    replacement: Replacement<'a, S>,
}

/// What came of preparing a sweep.
pub(super) enum Preparation<'a, S: System> {
    Ready(Box<Prepared<'a, S>>),
    /// Nothing is to be removed.
    NothingToRemove(Stat, StoreFigures),
    /// The store no longer exists.
    NoStore,
    /// The store changed while it was read.
    Changed,
}

/// A sweep whose store is replaced. It is durable after [`finish`](Self::finish).
pub(super) struct Committed<'a, S: System> {
    pub(super) paths: StorePaths,
    pub(super) plan: RemovalPlan,
    pub(super) archive: Archive<'a, S>,
    /// The archived transcripts.
    pub(super) archived: Tally,
    /// What became of the leftover temp files.
    pub(super) cleared: Cleared,
    replaced: Box<Replaced<'a, S>>,
}

impl<'a, S: System> Prepared<'a, S> {
    /// Writes the kept entries to a new file and waits until it is on the disk. Takes no lock: the
    /// commit detects a store that changed since.
    pub(super) fn prepare(
        sweep: &Context<'a, S>,
        paths: &StorePaths,
        buffer: &mut Buffer,
    ) -> Result<Preparation<'a, S>> {
        let read_at = sweep.system.now();
        let Some(store) = Store::open(sweep.system, paths)? else {
            return Ok(Preparation::NoStore);
        };
        let replacement = Replacement::create(sweep.system, store, sweep.naming.get())?;
        let store = replacement.store();
        let draft = Draft::read(sweep, paths, store, Some(replacement.file()), buffer);
        if store.was_incomplete(sweep.system, &draft)? {
            return Ok(Preparation::Changed);
        }
        let draft = draft?;
        let before = store.before;
        let rewrite = draft.rewrite();
        if rewrite.removed == 0 {
            sweep.remember(&before, rewrite.entries, rewrite.earliest, read_at);
            return Ok(Preparation::NothingToRemove(before, draft.figures(&before)));
        }
        replacement.sync(rewrite.bytes)?;
        // After the sync, which takes a while: a link may have been made that protects a transcript.
        let plan = draft.into_plan(sweep, paths, before, buffer)?;
        Ok(Preparation::Ready(Box::new(Self {
            paths: paths.clone(),
            plan,
            replacement,
        })))
    }

    pub(super) fn paths(&self) -> &StorePaths {
        &self.paths
    }

    /// Returns the attributes of the store for which this was prepared.
    pub(super) fn before(&self) -> Stat {
        self.plan.before
    }

    /// Takes the removed runs out of the plan.
    pub(super) fn take_removed_runs(&mut self) -> Vec<RemovedRun> {
        std::mem::take(&mut self.plan.removed_runs)
    }

    /// Returns whether the store is still the one for which this was prepared.
    pub(super) fn is_current(&self, sweep: &Context<'a, S>) -> Result<bool> {
        self.replacement.store().is_current(sweep.system)
    }

    /// Returns whether the commit also moves or removes other files than the store. There may be
    /// thousands of them.
    pub(super) fn moves_files(&self) -> bool {
        let leftovers = self.plan.leftovers.as_ref();
        !self.plan.transcripts.is_empty() || leftovers.is_some_and(|it| !it.is_empty())
    }

    /// Returns whether the plan still holds: `lock` is ours, the store is unchanged, and no process
    /// has locked one of the transcripts since.
    pub(super) fn may_commit(&self, sweep: &Context<'a, S>, lock: &Lock<'a, S>) -> Result<bool> {
        sweep.options.abort.check()?;
        lock.verify()?;
        Ok(self.is_current(sweep)? && !is_any_locked(sweep.system, &self.plan.transcripts))
    }

    /// Archives the transcripts and replaces the store. Returns `None`, with the archives undone, if
    /// the sweep must be prepared again: the store changed since it was read, or the replacement
    /// cannot be given a name. The caller holds the lock and has asked
    /// [`may_commit`](Self::may_commit).
    ///
    /// The transcripts are archived first: after a crash in between, the store still has their
    /// entries, and the next sweep completes the work. In the other order nothing would ever refer
    /// to them again.
    pub(super) fn commit(
        self,
        sweep: &Context<'a, S>,
        log: &mut Log,
    ) -> Result<Option<Box<Committed<'a, S>>>> {
        let Self {
            paths,
            plan,
            replacement,
        } = self;
        let system = sweep.system;
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
                return Ok(None);
            }
            Ok(Swap::Unnameable) => {
                log.not_restored(archive.undo());
                sweep.naming.set(Naming::AtCreation);
                return Ok(None);
            }
            Err(error) => {
                log.not_restored(archive.undo());
                return Err(error);
            }
        };
        if let Some(after) = replaced.after() {
            sweep.remember_replaced(&plan, after);
        }
        let mut cleared = plan
            .leftovers
            .as_ref()
            .map_or_else(Cleared::default, |leftovers| {
                leftovers
                    .clear(system, Mode::Apply)
                    .unwrap_or_else(|error| {
                        log.failed_after_commit(&error);
                        Cleared::default()
                    })
            });
        log.kept(cleared.kept.drain(..));
        Ok(Some(Box::new(Committed {
            paths,
            plan,
            archive,
            archived,
            cleared,
            replaced,
        })))
    }
}

impl<S: System> Committed<'_, S> {
    /// Returns the attributes of the new store, if they are known.
    pub(super) fn after(&self) -> Option<&Stat> {
        self.replaced.after()
    }

    /// Waits until the archives and the new store are on the disk, then removes the old store.
    pub(super) fn finish(&mut self, log: &mut Log) -> Result<()> {
        log.not_archived(self.archive.warnings());
        self.archive.sync_outside(self.replaced.folder())?;
        log.kept(self.replaced.finish()?);
        Ok(())
    }
}
