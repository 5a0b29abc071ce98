//! How a contender gets the lock: it creates the lock file, or takes the place of a stale one.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::{Context, Error, Result};
use crate::system::{Process, Stat, System};

use super::found::{AtPath, FoundLock, pid_at};
use super::staleness::{Staleness, WaitReason, staleness};
use super::{is_at, payload};

/// How long a JavaScript contender that has read a stale lock may take until it removes the file at
/// the path. Measured: 7 ms at the 99th percentile, 20 ms at most.
const SETTLE_TIME: Duration = Duration::from_millis(35);

/// How often a lock that was displaced by mistake is put back before the contender gives up.
const PUT_BACK_ATTEMPTS: u32 = 16;

/// How often this process tries to flock its own lock file while contenders flock it to examine it.
const FLOCK_ATTEMPTS: u32 = 200;

/// The attempts of one caller to get a lock.
pub(super) struct Contender<'a, S: System> {
    system: &'a S,
    path: &'a Path,
    /// The lock that was at the path at the last attempt, and since when, on the monotonic clock.
    watched: Option<(Stat, Duration)>,
    /// Whether a stale lock was seen: JavaScript may be about to remove it, or its successor.
    saw_stale: bool,
}

impl<'a, S: System> Contender<'a, S> {
    pub(super) fn new(system: &'a S, path: &'a Path) -> Self {
        Self {
            system,
            path,
            watched: None,
            saw_stale: false,
        }
    }

    /// Tries once. Returns `None` if the lock is, or may be, another process's.
    pub(super) fn attempt(&mut self) -> Result<Option<LockFile<S::File>>> {
        let found = match AtPath::examine(self.system, self.path)? {
            AtPath::Vacant => return self.claim(),
            AtPath::Busy => return Ok(None),
            AtPath::Lock(found) => found,
        };
        let watched = self.watch(&found.stat);
        match staleness(&found.evidence(self.system, watched)) {
            Staleness::Wait(WaitReason::TooYoung) => self.saw_stale = true,
            Staleness::Wait(_) => {}
            Staleness::Stale(_) => {
                self.saw_stale = true;
                return self.take_over(&found);
            }
        }
        Ok(None)
    }

    /// Returns how long this contender has seen this file at the path, unchanged.
    fn watch(&mut self, stat: &Stat) -> Duration {
        let now = self.system.monotonic();
        match self.watched {
            Some((seen, since)) if seen == *stat => now.saturating_sub(since),
            _ => {
                self.watched = Some((*stat, now));
                Duration::ZERO
            }
        }
    }

    /// Creates the lock at the vacant path.
    fn claim(&self) -> Result<Option<LockFile<S::File>>> {
        let own = publish(self.system, self.path).context("create", self.path)?;
        match own {
            Some(own) if self.saw_stale => self.settle(own),
            own => Ok(own),
        }
    }

    /// Puts a lock of this process in the place of a stale one.
    fn take_over(&self, stale: &FoundLock<S::File>) -> Result<Option<LockFile<S::File>>> {
        let beside = self.path_beside();
        let Some(own) = publish(self.system, &beside).context("create", &beside)? else {
            return Ok(None);
        };
        if let Err(error) = self.system.exchange(&beside, self.path) {
            let _ = self.system.unlink(&beside);
            return match error.kind() {
                ErrorKind::Unsupported => self.replace(stale, &beside),
                // JavaScript removed the stale lock.
                ErrorKind::NotFound => Ok(None),
                _ => Err(error).context("take over", self.path),
            };
        }
        // Since the stale lock was examined, JavaScript may have put a live one in its place.
        if !matches!(is_at(self.system, &stale.stat, &beside), Ok(true)) {
            self.put_back(&beside, own.stat);
            own.disown(self.system);
            return Ok(None);
        }
        let _ = self.system.unlink(&beside);
        self.settle(own)
    }

    /// Puts a lock that was displaced by mistake, now at `beside`, back to the lock's path, where
    /// the lock `own` is.
    ///
    /// A process that removes `own` from the path intended to remove the displaced lock: it is that
    /// lock's holder, or a contender that considers it stale. Then the displaced lock has ended, and
    /// putting it back would block every contender for minutes.
    fn put_back(&self, beside: &Path, own: Stat) {
        let discard = || drop(self.system.unlink(beside));
        let mut expected = own;
        for _ in 0..PUT_BACK_ATTEMPTS {
            let Ok(displaced) = self.system.stat(beside) else {
                return;
            };
            // Checked before the exchange: otherwise a crash right after any exchange could leave
            // an ended lock at the path.
            if matches!(is_at(self.system, &expected, self.path), Ok(false)) {
                return discard();
            }
            match self.system.exchange(beside, self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return,
                Ok(()) if !matches!(is_at(self.system, &expected, beside), Ok(true)) => {}
                _ => return discard(),
            }
            // The exchange displaced the lock of a process that claimed the path after `own` was
            // removed. That lock is put back in turn.
            expected = displaced;
        }
    }

    /// Takes over where two names cannot be exchanged: moves the stale lock to `beside`, then creates
    /// a lock at the vacant path.
    fn replace(
        &self,
        stale: &FoundLock<S::File>,
        beside: &Path,
    ) -> Result<Option<LockFile<S::File>>> {
        match self.system.rename(self.path, beside) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Windows does not rename a file that another process has open.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(error).context("take over", self.path),
        }
        if !matches!(is_at(self.system, &stale.stat, beside), Ok(true)) {
            let put_back = self.system.rename_no_replace(beside, self.path);
            let _ = match put_back.map_err(|error| error.kind()) {
                Ok(()) => Ok(()),
                Err(ErrorKind::Unsupported) => self.system.rename(beside, self.path),
                // Another lock is at the path already. The displaced lock's holder detects the loss.
                Err(_) => self.system.unlink(beside),
            };
            return Ok(None);
        }
        let _ = self.system.unlink(beside);
        self.claim()
    }

    /// Waits until no JavaScript contender can still be about to remove what it read as a stale
    /// lock. Returns `None` if the new lock was removed in this time.
    fn settle(&self, own: LockFile<S::File>) -> Result<Option<LockFile<S::File>>> {
        self.system.sleep(SETTLE_TIME);
        own.if_at(self.system, self.path)
            .context("check", self.path)
    }

    /// Returns an unused path beside the lock. Its name is `<store>.*.tmp`, so that a file that
    /// remains there after a crash is removed with the store's temp files.
    fn path_beside(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut path = self.path.as_os_str().to_owned();
        path.push(format!(".{}-{count}.tmp", self.system.pid()));
        path.into()
    }

    /// Returns the gateway's timeout error, with the holder's pid if it can be read.
    pub(super) fn locked(&self, timeout: Duration) -> Error {
        Error::Locked {
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            pid: pid_at(self.system, self.path),
            lock: self.path.to_owned(),
        }
    }
}

/// A complete lock file that this process created.
#[derive(Debug)]
pub(super) struct LockFile<F> {
    /// Stays open while the lock is held: the flock ends when it is closed.
    pub(super) file: F,
    pub(super) stat: Stat,
    /// The offset of the date in the file, in bytes.
    pub(super) date_offset: u64,
}

impl<F: Send + Sync> LockFile<F> {
    /// Writes the payload to a new file, which is empty and not yet visible or only just.
    fn complete<S: System<File = F>>(system: &S, file: F) -> io::Result<Self> {
        let boot_id = match flock_own(system, &file) {
            Ok(()) => system.boot_id(),
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        let pid = system.pid();
        let starttime = match system.process(pid) {
            Process::Alive { starttime, .. } => starttime,
            Process::Gone => None,
        };
        // Without a start time, the gateway treats a lock of its own pid as orphaned and steals it.
        // Where the gateway cannot determine start times, any number is accepted.
        let starttime = starttime.unwrap_or(0);
        let payload = payload::compose(pid, starttime, boot_id.as_deref(), system.now());
        system.write_all_at(&file, &payload.bytes, 0)?;
        Ok(Self {
            stat: system.stat_open(&file)?,
            file,
            date_offset: payload.date_offset,
        })
    }

    /// Returns the lock file if it is at `path`. Otherwise disowns it.
    fn if_at<S: System<File = F>>(self, system: &S, path: &Path) -> io::Result<Option<Self>> {
        let is_ours = is_at(system, &self.stat, path);
        if matches!(is_ours, Ok(true)) {
            return Ok(Some(self));
        }
        self.disown(system);
        is_ours.map(|_| None)
    }

    /// Sets the date of a lock that is no longer held to 1970. A contender that has moved the file
    /// aside may put it back later, and without flock it would look like a live holder's lock.
    pub(super) fn disown<S: System<File = F>>(&self, system: &S) {
        let date = payload::date(SystemTime::UNIX_EPOCH);
        let _ = system.write_all_at(&self.file, date.as_bytes(), self.date_offset);
    }
}

/// Creates a complete lock file at `path`. Returns `None` if a file exists there.
fn publish<S: System>(system: &S, path: &Path) -> io::Result<Option<LockFile<S::File>>> {
    match publish_unnamed(system, path) {
        Err(error) if error.kind() == ErrorKind::Unsupported => publish_named(system, path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        result => result.map(Some),
    }
}

/// Completes an unnamed file, then names it: no process sees an incomplete lock.
fn publish_unnamed<S: System>(system: &S, path: &Path) -> io::Result<LockFile<S::File>> {
    let folder = path.parent().unwrap_or(path);
    let own = LockFile::complete(system, system.create_unnamed(folder)?)?;
    // Last: an error after this call would leave a lock behind.
    system.link(&own.file, path)?;
    Ok(own)
}

/// Creates the file at its path and fills it with one write, as the gateway does.
fn publish_named<S: System>(system: &S, path: &Path) -> io::Result<Option<LockFile<S::File>>> {
    let file = match system.create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        result => result?,
    };
    let own = LockFile::complete(system, file).inspect_err(|_| {
        // For example on a full disk: an empty lock would block every contender for 30 s.
        let _ = system.unlink(path);
    })?;
    // While it was empty it may have been moved away: by a contender that was suspended after it
    // examined a stale lock, or by any contender if this process was suspended for 30 s.
    own.if_at(system, path)
}

/// Flocks a file that this process created. If the file is visible already, a contender may hold the
/// flock for the microseconds in which it examines the file.
fn flock_own<S: System>(system: &S, file: &S::File) -> io::Result<()> {
    for _ in 0..FLOCK_ATTEMPTS {
        if system.try_flock(file)? {
            return Ok(());
        }
        system.sleep(Duration::from_millis(1));
    }
    Err(ErrorKind::WouldBlock.into())
}
