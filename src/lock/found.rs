//! A lock file that exists at the lock's path, with everything that is known about it.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::gateway::js;
use crate::system::{Kind, Stat, System};

use super::is_at;
use super::payload::{MAX_LENGTH, Payload};
use super::staleness::{Evidence, Flock, created_ms};

/// What exists at a lock's path.
pub(super) enum AtPath<F> {
    /// Nothing.
    Vacant,
    /// The lock of a live native holder, or one that changed while it was examined.
    Busy,
    /// A lock that no native sweep holds, or one that cannot be read.
    Lock(FoundLock<F>),
}

/// A lock whose staleness can be decided. While its flock is held, no other native sweep examines it.
pub(super) struct FoundLock<F> {
    pub(super) stat: Stat,
    flock: Flock,
    /// `None` if this process is not permitted to read it.
    payload: Option<Payload>,
    /// Keeps the flock.
    _file: Option<F>,
}

impl<F: Send + Sync> AtPath<F> {
    pub(super) fn examine<S: System<File = F>>(system: &S, path: &Path) -> Result<Self> {
        let stat = match system.stat(path) {
            Ok(stat) => stat,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Vacant),
            Err(error) => return Err(error).context("examine", path),
        };
        // Before the file is opened: opening a device may have side effects.
        require_regular_file(stat.kind, path)?;
        let file = match system.open_no_follow(path) {
            Ok(file) => file,
            // Another user's lock of mode 0600.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Ok(Self::Lock(FoundLock {
                    stat,
                    flock: Flock::Unsupported,
                    payload: None,
                    _file: None,
                }));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Vacant),
            Err(error) => return Err(error).context("open", path),
        };
        let Some((file, flock)) = flock(system, file, path).context("lock", path)? else {
            return Ok(Self::Busy);
        };
        let stat = system.stat_open(&file).context("examine", path)?;
        require_regular_file(stat.kind, path)?;
        // Its holder may have removed it before the flock was acquired. Then it says nothing about
        // the file that is at the path now.
        if !is_at(system, &stat, path).context("examine", path)? {
            return Ok(Self::Busy);
        }
        Ok(Self::Lock(FoundLock {
            stat,
            flock,
            payload: Some(read_payload(system, &file).context("read", path)?),
            _file: Some(file),
        }))
    }
}

impl<F> FoundLock<F> {
    /// Creates a lock without valid contents.
    pub(super) fn invalid(stat: Stat) -> Self {
        Self {
            stat,
            flock: Flock::Unsupported,
            payload: Some(Payload::default()),
            _file: None,
        }
    }

    fn pid(&self) -> Option<u64> {
        self.payload.as_ref()?.pid
    }

    /// Returns what is known about the lock. `watched` is how long this process has seen it.
    pub(super) fn evidence<S: System>(&self, system: &S, watched: Duration) -> Evidence<'_> {
        Evidence {
            payload: self.payload.as_ref(),
            process: self.pid().map(|pid| system.process(pid)),
            flock: self.flock,
            boot_id: system.boot_id(),
            now_ms: js::epoch_ms(system.now()),
            created_ms: created_ms(&self.stat),
            watched,
        }
    }
}

/// Flocks the open file at `path`. Returns `None` if another process holds the flock.
fn flock<S: System>(
    system: &S,
    file: S::File,
    path: &Path,
) -> io::Result<Option<(S::File, Flock)>> {
    match system.try_flock(&file) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        flocked => return Ok(flocked?.then_some((file, Flock::Acquired))),
    }
    // NFS supports flock only on a descriptor for writing.
    if let Ok(writable) = system.open_for_update(path) {
        match system.try_flock(&writable) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            flocked => return Ok(flocked?.then_some((writable, Flock::Acquired))),
        }
    }
    Ok(Some((file, Flock::Unsupported)))
}

/// Returns the pid in the lock file at `path`, if it can be read.
pub(super) fn pid_at<S: System>(system: &S, path: &Path) -> Option<u64> {
    let file = system.open_no_follow(path).ok()?;
    read_payload(system, &file).ok()?.pid
}

fn read_payload<S: System>(system: &S, file: &S::File) -> io::Result<Payload> {
    // One byte more than a payload may have, so that a longer file is recognised without reading
    // all of it.
    let mut buffer = [0; MAX_LENGTH + 1];
    let mut length = 0;
    while length < buffer.len() {
        match system.read_at(file, &mut buffer[length..], length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(Payload::parse(&buffer[..length]))
}

fn require_regular_file(kind: Kind, path: &Path) -> Result<()> {
    if kind == Kind::File {
        return Ok(());
    }
    Err(Error::NotAFile {
        operation: "lock",
        path: path.to_owned(),
        found: kind.name(),
        advice: "move it away",
    })
}
