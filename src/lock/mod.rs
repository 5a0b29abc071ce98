//! The gateway's lock on a session store, as a guard.
//!
//! # How it works
//!
//! To the gateway, the lock is its own lock file: `<store>.lock`, created only if nothing exists at
//! that path, with the holder's pid, date and start time as JSON, and removed on release. Between
//! native sweeps it is also an exclusive `flock` on the same file, held from before the file is
//! visible until after it is removed. A contender that cannot get the flock knows that the holder is
//! alive. One that gets it, and reads a native lock of this boot, knows that the holder is dead. In
//! both cases the pid and the date in the file do not matter.
//!
//! - **Published complete.** The file is named after its contents are written. No process reads an
//!   incomplete lock, which the gateway would remove.
//! - **Staleness** is decided by the kernel's knowledge of the holder first and by dates last: see
//!   `staleness.rs`.
//! - **Taken over by exchange.** The path is never vacant. If the exchange displaces another lock
//!   than the stale one, that lock is put back. Then the new holder waits for a moment: a JavaScript
//!   contender may have read the stale lock and be about to remove the file at the path.
//! - **Verified.** [`Lock::verify`] checks before every step that cannot be undone that the lock is
//!   still held. The commit's compare-and-swap covers a lock that is lost after that.
//! - **Kept fresh.** A holder that starts the [heartbeat](Lock::start_heartbeat) rewrites the date
//!   every 5 s, for 5 minutes.
//!
//! # Fallbacks
//!
//! All of them are chosen in this module, where [`System`] returns `Unsupported`:
//!
//! | missing | instead | consequence |
//! |---|---|---|
//! | unnamed files (macOS, Windows, NFS, FUSE) | the file is created at its path and filled with one write | a crash in between leaves an empty lock for 30 s |
//! | exchange (Windows, NFS, FUSE) | the stale lock is moved aside and a new one is created | the path is vacant for an instant, and a JavaScript contender may take it |
//! | flock (Windows, NFS without locks) | no `flock` field; treated like a JavaScript lock | a crashed sweep is detected by its pid, after 1 s instead of immediately |
//! | start times (macOS, Windows) | `"starttime":0` | a reused pid blocks until the lock is 5 minutes old |
//! | boot id (macOS, Windows) | no `flock` field | as without flock, but a live native holder is still detected by its flock |
//!
//! # Limitations
//!
//! - JavaScript in another PID namespace cannot see our pid, considers us dead and steals the lock.
//!   It does the same to other JavaScript. [`Lock::verify`] detects it.
//! - JavaScript that is suspended between reading a stale lock and removing it, for longer than the
//!   new holder waits, removes the new holder's lock. [`Lock::verify`] detects it.
//! - A crash while a take-over is undone, at the moment when JavaScript releases the displaced lock,
//!   may leave a released lock of a live process behind, for 5 minutes. A crash during a take-over
//!   may leave a file `<store>.lock.<pid>-<n>.tmp`.
//! - Where `flock` does not reach other machines (NFS mounted with `local_lock`), this lock does not
//!   either: the pids of other machines mean nothing here.
//! - An unreadable lock whose time stamps are all in the future (the clock was set back) blocks until
//!   that time.

mod found;
mod heartbeat;
mod payload;
mod staleness;
mod takeover;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::abort::Abort;
use crate::error::{Context, Error, Result};
use crate::system::{Heartbeat, Stat, System};

use found::AtPath;
use takeover::{Contender, LockFile};

/// How long [`Lock::acquire`] waits for a holder: as long as the gateway.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a waiting contender tries again. JavaScript sleeps at least 50 ms between two attempts,
/// so a native contender gets its turn.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Returns whether a live process holds the lock at `lock_path`, which is a transcript's lock and not
/// a store's.
///
/// Modifies nothing. In doubt the answer is `true`: for anything but a regular file, for a file that
/// cannot be read, and for a young file without valid contents.
pub fn is_held_by_live_process<S: System>(system: &S, lock_path: &Path) -> bool {
    match AtPath::examine(system, lock_path) {
        Ok(AtPath::Vacant) => false,
        Ok(AtPath::Lock(found)) => {
            staleness::protects_transcript(&found.evidence(system, Duration::ZERO))
        }
        Ok(AtPath::Busy) | Err(_) => true,
    }
}

/// The lock, held. Dropping it releases the lock, also during a panic.
///
/// ```
/// use cron_session_reaper::lock::Lock;
/// use cron_session_reaper::system::Os;
///
/// # let folder = tempfile::tempdir()?;
/// let lock = Lock::acquire(&Os, &folder.path().join("sessions.json.lock"))?;
/// // … archive the transcripts …
/// lock.verify()?;
/// // … commit …
/// lock.release()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the lock is released when this is dropped"]
#[derive(Debug)]
pub struct Lock<'s, S: System> {
    system: &'s S,
    path: PathBuf,
    file: LockFile<S::File>,
    /// When the lock was acquired, on the monotonic clock.
    since: Duration,
    heartbeat: Option<Heartbeat>,
    released: bool,
}

impl<'s, S: System> Lock<'s, S> {
    /// Acquires the lock at `lock_path`. Waits up to 10 s for a live holder; takes over from a dead
    /// one.
    ///
    /// # Errors
    /// - [`Error::Locked`] if the holder does not release the lock within 10 s.
    /// - [`Error::NotAFile`] if anything but a regular file exists at the path.
    /// - [`Error::Io`] if a system call fails.
    pub fn acquire(system: &'s S, lock_path: &Path) -> Result<Self> {
        Self::acquire_unless(system, lock_path, &Abort::default())
    }

    /// Like [`acquire`](Self::acquire), but stops when `abort` is requested.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire), and [`Error::Aborted`].
    pub fn acquire_unless(system: &'s S, lock_path: &Path, abort: &Abort) -> Result<Self> {
        Self::acquire_within(TIMEOUT, system, lock_path, abort)
    }

    /// Like [`acquire_unless`](Self::acquire_unless), but waits for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`acquire_unless`](Self::acquire_unless).
    pub(crate) fn acquire_within(
        timeout: Duration,
        system: &'s S,
        lock_path: &Path,
        abort: &Abort,
    ) -> Result<Self> {
        let mut contender = Contender::new(system, lock_path);
        let started = system.monotonic();
        loop {
            abort.check()?;
            if let Some(file) = contender.attempt()? {
                return Ok(Self {
                    system,
                    path: lock_path.to_owned(),
                    file,
                    since: system.monotonic(),
                    heartbeat: None,
                    released: false,
                });
            }
            if system.monotonic().saturating_sub(started) >= timeout {
                return Err(contender.locked(timeout));
            }
            system.sleep(POLL_INTERVAL);
        }
    }

    /// Returns the lock file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the lock's date fresh from now on: rewrites it every 5 s on another thread, for 5
    /// minutes. Further calls have no effect.
    ///
    /// Call this before work under the lock whose duration is not bounded by a few seconds: the
    /// gateway steals a lock whose date is more than 30 s old. Shorter holds need no thread.
    pub fn start_heartbeat(&mut self) {
        let held = self.system.monotonic().saturating_sub(self.since);
        self.heartbeat
            .get_or_insert_with(|| heartbeat::start(self.system, &self.file, held));
    }

    /// Checks that the lock is still held. To be called before every step that cannot be undone.
    ///
    /// # Errors
    /// [`Error::LockLost`] if another process removed or replaced the lock; [`Error::Io`] if that
    /// cannot be determined.
    pub fn verify(&self) -> Result<()> {
        if is_at(self.system, &self.file.stat, &self.path).context("check", &self.path)? {
            return Ok(());
        }
        Err(self.lost())
    }

    /// Releases the lock.
    ///
    /// # Errors
    /// [`Error::LockLost`] if another process removed or replaced the lock before, in which case
    /// nothing is removed; [`Error::Io`] if the lock could not be removed: the next sweep detects
    /// that it has no holder.
    pub fn release(mut self) -> Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        self.released = true;
        // If the lock was replaced, the file at the path is another holder's.
        let removed = self
            .verify()
            .and_then(|()| match self.system.unlink(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Err(self.lost()),
                result => result.context("remove", &self.path),
            });
        if removed.is_err() {
            // First, so that no beat overwrites the date that is written next.
            self.heartbeat = None;
            self.file.disown(self.system);
        }
        // After a success the heartbeat ends when this is dropped. No contender waits for it.
        removed
    }

    fn lost(&self) -> Error {
        Error::LockLost {
            lock: self.path.clone(),
        }
    }
}

impl<S: System> Drop for Lock<'_, S> {
    fn drop(&mut self) {
        if !self.released {
            // An error cannot be reported here. The next contender takes over a lock that remains.
            let _ = self.remove();
        }
    }
}

/// Returns whether the file at `path` is this one.
fn is_at<S: System>(system: &S, file: &Stat, path: &Path) -> io::Result<bool> {
    match system.stat(path) {
        Ok(stat) => Ok(stat.same_file(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
#[cfg(unix)]
mod tests;
#[cfg(test)]
#[cfg(unix)]
mod virtual_time;
