//! Removes expired cron run sessions from the session store of an `OpenClaw` gateway: what the
//! gateway's own reaper does on the JavaScript thread, done on a thread of its own, at the cost of
//! copying the file, and without ever losing what it does not understand.
//!
//! ```text
//! sweepCronRunSessions(params), sweepSessionStore(options)
//!                                                   index.js      reads the clock, hands plain data over, replays the log lines, forms the report
//!   └─ throttled? disabled?                         binding       per-environment state; a thread of its own + a deferred promise
//!        └─ sweep                                   sweep         the story, top to bottom
//!             survey   may anything have expired?   store::survey     no lock, one pass, constant memory
//!             rewrite  what stays, to a synced temp store::rewrite    byte ranges, never re-serialised
//!             lock     the gateway's lock file      store::lock       held for what follows, a few ms
//!             archive  their transcripts            transcripts       before the commit; undone if the commit fails
//!             commit   compare and swap             store::commit     the store changed meanwhile? prepare again
//!             cleanup  aged archives, dead temps    transcripts::archive, store::temps
//!        └─ Report: plain data, log lines included  report        to JavaScript as JSON
//! ```
//!
//! What is in a store and its folder, for people who want to know before they sweep, is
//! [`inspect`]'s answer; it writes nothing.
//!
//! A sweep that finds nothing expired takes no lock and writes nothing. One that finds the store
//! unchanged since the last survey ([`store::survey_cache`]), with nothing due yet, does not even read
//! it. A dry run ([`sweep::dry_run`]) makes the rewrite's pass without a file to write to.
//!
//! Every system call that the lock and the commit are made of goes through one seam, [`system`],
//! so that tests drive the very code that runs in production.
//!
//! # Limitations
//! - Beside a gateway from 2026.5.2 on, which locks its store no more, what a sweep removes may
//!   come back; from 2026.8.1 on the store is no JSON file.
//! - Without `O_TMPFILE`, exchange or `flock` (see [`store::lock`] and [`store::commit`]) the
//!   nearest that the platform has is used, and the guarantees are those of the gateway's own
//!   protocol.
//! - A program that writes the store in place, rather than by rename, is noticed only by the time
//!   stamps of the file.

pub mod abort;
// The unit tests run without Node.js, which alone calls it.
#[cfg(not(test))]
mod binding;
pub mod error;
pub mod gateway;
pub mod inspect;
pub mod lock;
pub mod store;
pub mod sweep;
pub mod system;
pub mod transcripts;

// The unit tests share `tests/support` with the integration tests.
#[cfg(test)]
extern crate self as cron_session_reaper;
#[cfg(test)]
#[cfg(unix)]
#[path = "../tests/support/mod.rs"]
mod support;
