//! Removes expired cron run sessions from the session store of an `OpenClaw` gateway: what the
//! gateway's own reaper does on the JavaScript thread, done on a separate thread, at the cost of
//! copying the file. What it does not understand it does not modify.
//!
//! ```text
//! sweepCronRunSessions(params)              index.js     reads arguments and the clock, replays the log lines
//!   └─ throttled? disabled?                 binding      per-environment state; a thread and a deferred promise
//!        └─ sweep                           sweep        the whole sequence
//!             StorePaths::resolve           store        the store's path, its folder and its lock: once
//!             survey  → due, or nothing due store        no lock, one pass, constant memory; or one stat
//!             prepare → Prepared            sweep        plan (removed, kept, transcripts) + replacement, synced
//!             commit  → Committed           sweep        with the lock file held: archive, then replace
//!             finish  → Outcome             sweep        folder synced, archives aged, leftovers removed
//! ```
//!
//! `inspect` reports what is in a store and its folder; it writes nothing. `folder` counts the files of
//! the folder by class and deletes, on request, those that no sweep deletes. A
//! [`preview`](sweep::preview) makes the same plan as a sweep and does not apply it.
//!
//! Dependencies point downwards only: `binding` → [`sweep`], `inspect`, `folder` → [`store`], [`lock`],
//! [`transcripts`] → [`gateway`], [`system`], [`error`]. Store, lock and transcripts do not depend on
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
