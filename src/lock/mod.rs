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
//!   than the stale one, that lock is put back, unless it was released in between: its holder would
//!   have removed the new lock. Then the new holder waits for a moment: a JavaScript contender may
//!   have read the stale lock and be about to remove the file at the path.
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
//! | exchange (NFS, FUSE) | the stale lock is rewritten in place, with its flock held | none: no other lock can be displaced |
//! | exchange and flock, or write permission (Windows) | the new lock is renamed over the stale one | a lock that JavaScript creates between examination and rename is replaced; [`Lock::verify`] detects it when JavaScript releases that lock |
//! | flock (Windows, NFS without locks) | no `flock` field; treated like a JavaScript lock | a crashed sweep is detected by its pid, after 1 s instead of immediately |
//! | start times (macOS, Windows) | `"starttime":0` | a reused pid blocks until the lock is 5 minutes old |
//! | boot id (macOS, Windows) | no `flock` field | as without flock, but a live native holder is still detected by its flock |
//!
//! # Limitations
//!
//! - JavaScript in another PID namespace cannot see our pid, considers us dead and steals the lock.
//!   It does the same to other JavaScript. [`Lock::verify`] detects it. We cannot see its pid either,
//!   and take its lock when it is a second old.
//! - JavaScript that is suspended between reading a stale lock and removing it, for longer than the
//!   new holder waits, removes the new holder's lock. [`Lock::verify`] detects it.
//! - If an exchange displaces a live JavaScript lock and the process crashes before it has put that
//!   lock back, the next contender takes over while JavaScript believes to hold the lock. If
//!   JavaScript releases it just then, a released lock of a live process may remain for 5 minutes.
//! - A crash during a take-over may leave a file `<store>.lock.<pid>-<n>.tmp`.
//! - Where `flock` does not reach other machines (NFS mounted with `local_lock`), this lock does not
//!   either: the pids of other machines mean nothing here.
//! - A lock without a valid pid or date, or one that this process is not permitted to read, is dated
//!   by its time stamps. If they are in the future (the clock was set back), it blocks until then.

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

use found::{AtPath, FoundLock};
use staleness::Staleness;
use takeover::{Contender, LockFile};

/// How long [`Lock::acquire`] waits for a holder: as long as the gateway.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a waiting contender tries again. JavaScript sleeps at least 50 ms between two attempts,
/// so a native contender gets its turn.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How often the release tries again to remove a lock file that another process has open.
const UNLINK_RETRIES: u32 = 100;

/// How often a lock is examined again that another process holds a flock of, and how long that process
/// takes if it only examines the lock, too.
const EXAMINED_AGAIN: u32 = 5;
const EXAMINATION: Duration = Duration::from_millis(1);

/// Returns whether a live process holds the lock at `lock_path`, which is a transcript's lock and not
/// a store's.
///
/// Modifies nothing. In doubt the answer is `true`: after an error, and while a lock without valid
/// contents, or one that this process is not permitted to read, is young.
pub fn is_held_by_live_process<S: System>(system: &S, lock_path: &Path) -> bool {
    let mut examined = AtPath::examine(system, lock_path);
    for _ in 0..EXAMINED_AGAIN {
        if !matches!(examined, Ok(AtPath::Busy)) {
            break;
        }
        system.sleep(EXAMINATION);
        examined = AtPath::examine(system, lock_path);
    }
    let found = match examined {
        Ok(AtPath::Vacant) => return false,
        Ok(AtPath::Lock(found)) => found,
        // No file can have this name.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::InvalidFilename => {
            return false;
        }
        // Not a gateway's lock, which is always a regular file. Its contents, or those of the file that
        // a link leads to, do not count.
        Err(Error::NotAFile { .. }) => match system.stat(lock_path) {
            Ok(stat) => FoundLock::invalid(stat),
            Err(_) => return true,
        },
        Ok(AtPath::Busy) | Err(_) => return true,
    };
    staleness::protects_transcript(&found.evidence(system, Duration::ZERO))
}

/// Returns whether the lock at `lock_path` is one that no process will release: its holder is gone, or
/// it never got valid contents. Modifies nothing. In doubt the answer is `false`.
pub(crate) fn is_dead<S: System>(system: &S, lock_path: &Path) -> bool {
    let Ok(AtPath::Lock(found)) = AtPath::examine(system, lock_path) else {
        return false;
    };
    let evidence = found.evidence(system, Duration::ZERO);
    matches!(staleness::staleness(&evidence), Staleness::Stale(_))
        && !staleness::protects_transcript(&evidence)
}

/// Removes a lock for which [`is_dead`] holds: takes it over, so that no live lock is removed, and
/// releases it. Returns whether it was removed; `false` if it is no longer dead.
///
/// # Errors
/// Those of [`Lock::acquire`] and [`Lock::release`].
pub(crate) fn remove_dead<S: System>(system: &S, lock_path: &Path) -> Result<bool> {
    if !is_dead(system, lock_path) {
        return Ok(false);
    }
    let lock = Lock::acquire_within(Duration::ZERO, system, lock_path, &Abort::default());
    match lock {
        Err(Error::Locked { .. }) => Ok(false),
        lock => lock?.release().map(|()| true),
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
            let attempt = contender.attempt();
            let is_timeout = system.monotonic().saturating_sub(started) >= timeout;
            match attempt {
                Ok(Some(file)) => {
                    return Ok(Self {
                        system,
                        path: lock_path.to_owned(),
                        file,
                        since: system.monotonic(),
                        heartbeat: None,
                        released: false,
                    });
                }
                Ok(None) if is_timeout => return Err(contender.locked(timeout)),
                Ok(None) => {}
                // On Windows: another contender, or a virus scanner, has the lock file open.
                Err(Error::Io { source, .. }) if !is_timeout && system.is_in_use(&source) => {}
                Err(error) => return Err(error),
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
        let removed = self.verify().and_then(|()| match self.unlink() {
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

    /// Removes the lock file. On Windows, a virus scanner may have it open for some milliseconds.
    fn unlink(&self) -> io::Result<()> {
        for _ in 0..UNLINK_RETRIES {
            match self.system.unlink(&self.path) {
                Err(error) if self.system.is_in_use(&error) => self.system.sleep(POLL_INTERVAL),
                result => return result,
            }
        }
        self.system.unlink(&self.path)
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
