//! Removes expired cron run sessions from the session store of an `OpenClaw` gateway: what the
//! gateway's own reaper does on the JavaScript thread, done on a separate thread, at the cost of
//! copying the file. What it does not understand it does not modify.
//!
//! ```text
//! sweepCronRunSessions(params)     index.js           reads the arguments and the clock
//!   begin                          binding            during the call: throttled? disabled? makes the path absolute
//!   run → Outcome                  sweep              on a separate thread, with the rights of the user who controls the path
//!     check_due                    sweep              is a run expired? takes no lock, writes nothing
//!       nothing_due                store/survey_cache   not due, if no run has expired since the last survey and the store is unchanged: one stat
//!       resolve → StorePaths       store                not due, if the store is missing
//!       survey → Survey            store/survey         not due, if no run is expired: one pass, constant memory
//!     prune                        sweep/commit_loop  repeats the next two steps while the store changes, at most eight times
//!       prepare → Prepared         sweep/prepared     the plan, and the new store, synced; attempts 1 and 2 without the lock, the others with it
//!       commit → Committed         sweep/prepared     with the lock: archives, exchanges the stores, removes leftovers
//!     make_room                    sweep/cleanup      if the disk was full: deletes old archives, then leftovers (with the lock), then prune once more
//!     finish                       sweep/cleanup      without the lock: syncs folders, removes the old store, deletes old archives
//!     finish_without_commit        sweep/cleanup      instead, if no run is to be removed: deletes old archives, then leftovers (with the lock)
//!     conclude → Outcome           sweep              the report, the log lines, the times; or the error
//!   replay                         index.js           replays the log lines, then settles the promise
//! ```
//!
//! `inspect` reports what is in a store and its folder; it writes nothing. `folder` counts the files of
//! the folder by class and deletes, on request, those that no sweep deletes. A
//! [`preview`](sweep::preview) makes the same plan as a sweep and does not apply it.
//! `sweep::exclusive` makes the same steps, one at a time, for a caller that excludes other writers.
//!
//! Dependencies point downwards only: `binding` → [`sweep`], `inspect`, `folder` → [`store`],
//! [`lock`], [`transcripts`] → [`gateway`], [`system`], [`error`], [`abort`]. Store, lock and transcripts do not depend on
//! each other. Every system call of the lock and the commit goes through [`system`], so that the
//! tests drive the code that runs in production.
//!
//! # Limitations
//! - Gateways from 2026.5.2 on do not lock their store: entries that a sweep removes outside their
//!   write queue (see `sweep::exclusive`) may reappear. From 2026.8.1 on the store is not a JSON file.
//! - Without `O_TMPFILE`, exchange or `flock` (see [`lock`] and [`store::replace`]) the nearest
//!   equivalent of the platform is used, with the guarantees of the gateway's own protocol.
//! - A process that writes the store in place, instead of replacing it, is detected by the file's
//!   time stamps only.

pub mod abort;
// The unit tests run without Node.js, which alone calls it.
#[cfg(not(test))]
mod binding;
pub mod error;
pub(crate) mod folder;
pub mod gateway;
pub(crate) mod inspect;
pub mod lock;
pub mod store;
pub mod sweep;
pub mod system;
#[cfg(test)]
mod testing;
pub mod transcripts;
