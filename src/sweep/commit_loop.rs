//! When a prepared sweep is committed, and when it is prepared again.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use crate::error::Result;
use crate::lock::Lock;
use crate::store::StorePaths;
use crate::store::reading::Buffer;
use crate::system::System;

use super::context::Context;
use super::outcome::{Log, NothingToRemove};
use super::prepared::{ATTEMPTS_WITHOUT_LOCK, Commit, Committed, Preparation, Prepared};

/// How long a sweep waited for the store's lock and held it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LockTimes {
    pub(super) waiting: Duration,
    pub(super) holding: Duration,
}

/// The store's lock, and since when it is held.
pub(super) struct Held<'a, S: System> {
    pub(super) lock: Lock<'a, S>,
    since: Duration,
}

impl LockTimes {
    /// Returns a time without these times.
    pub(super) fn excluded_from(self, time: Duration) -> Duration {
        time.saturating_sub(self.waiting + self.holding)
    }

    pub(super) fn acquire<'a, S: System>(
        &mut self,
        sweep: &Context<'a, S>,
        paths: &StorePaths,
    ) -> Result<Held<'a, S>> {
        let asked = sweep.system.monotonic();
        let lock = Lock::acquire_within(
            sweep.lock_timeout,
            sweep.system,
            &paths.lock,
            &sweep.options.abort,
        )?;
        let since = sweep.system.monotonic();
        self.waiting += since.saturating_sub(asked);
        Ok(Held { lock, since })
    }

    pub(super) fn release<S: System>(
        &mut self,
        sweep: &Context<'_, S>,
        held: Held<'_, S>,
    ) -> Result<()> {
        let released = held.lock.release();
        self.holding += sweep.system.monotonic().saturating_sub(held.since);
        released
    }
}

/// Prepares without the lock and commits with it; again if the store changed in between.
pub(super) fn prune<'a, S: System>(
    sweep: &Context<'a, S>,
    paths: &StorePaths,
    buffer: &mut Buffer,
    times: &mut LockTimes,
    log: &mut Log,
) -> Result<ControlFlow<NothingToRemove, Box<Committed<'a, S>>>> {
    let mut held: Option<Held<'a, S>> = None;
    let mut attempt = 0;
    loop {
        attempt += 1;
        if attempt > ATTEMPTS_WITHOUT_LOCK && held.is_none() {
            held = Some(times.acquire(sweep, paths)?);
        }
        if let Some(held) = &mut held {
            // The preparation reads and writes the whole store.
            held.lock.start_heartbeat();
        }
        let prepared = match Prepared::prepare(sweep, paths, attempt, buffer)? {
            Preparation::Ready(prepared) => prepared,
            Preparation::Nothing(nothing) => return Ok(Break(nothing)),
            Preparation::Changed => continue,
        };
        let mut lock = match held.take() {
            Some(held) => held,
            // The preparation is discarded, which takes a while, so not with the lock held.
            None if !prepared.is_current(sweep)? => continue,
            None => times.acquire(sweep, paths)?,
        };
        let commit = prepared.commit(sweep, &mut lock.lock, log)?;
        if let Commit::Committed(committed) = commit {
            if let Err(error) = times.release(sweep, lock) {
                log.failed_after_sweep(&error);
            }
            return Ok(Continue(committed));
        }
        // Other processes get the lock while the sweep is prepared once more without it.
        if attempt < ATTEMPTS_WITHOUT_LOCK {
            // A lock that was lost is not in the way of the next attempt.
            let _ = times.release(sweep, lock);
        } else {
            held = Some(lock);
        }
    }
}
