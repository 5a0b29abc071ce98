//! What can go wrong in a sweep: the operation, the path it was for, and what the user can do.

use std::io;
use std::path::{Path, PathBuf};

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a sweep failed. The store is as it was before the sweep; only if a folder could not be synced
/// after the commit it is the new one, and a power cut may bring the old one back.
///
/// The text names what happened and to which path; [`code`](Error::code) is for programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: `read`, `lock`, `replace`.
        operation: &'static str,
        /// What it was being done to.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },

    /// The store is no JSON object. It was left as it is.
    #[error(
        "{}:{line}:{column}: {reason}; the store was left as it is: mend it or restore a backup",
        path.display()
    )]
    Json {
        /// The store.
        path: PathBuf,
        /// Line of the first byte that does not fit, counted from 1.
        line: u64,
        /// Column of that byte, in bytes, counted from 1.
        column: u64,
        /// What is wrong there.
        reason: String,
    },

    /// Something other than a regular file stands where a file was expected. It was left alone.
    #[error("{} is {found}, not a regular file; move it away", path.display())]
    NotAFile {
        /// Where it stands.
        path: PathBuf,
        /// What was found: `a folder`, `a symbolic link`, …
        found: &'static str,
    },

    /// Another process held the store's lock for longer than a sweep waits.
    ///
    /// The text is the gateway's own, since people search for it.
    #[error(
        "session file locked (timeout {timeout_ms}ms): {} {}",
        pid.map_or_else(|| "unknown".to_owned(), |pid| format!("pid={pid}")),
        lock.display()
    )]
    Locked {
        /// How long the sweep waited, in milliseconds.
        timeout_ms: u64,
        /// The holder, as far as the lock file tells.
        pid: Option<u64>,
        /// The lock file.
        lock: PathBuf,
    },

    /// The lock was taken from this sweep while it held it. Nothing was committed after that.
    #[error("the lock {} was taken away during the sweep; it will be tried again at the next one", lock.display())]
    LockLost {
        /// The lock file.
        lock: PathBuf,
    },

    /// The store was written in place while it was read without its lock, again and again.
    #[error("{} kept being written while it was read; try again when that is done", path.display())]
    BeingWritten {
        /// The store.
        path: PathBuf,
    },

    /// The store kept changing while the sweep held its lock: something writes it without the lock.
    #[error("{} is being written by a program that ignores its lock; the sweep gave way", path.display())]
    Contended {
        /// The store.
        path: PathBuf,
    },

    /// No store was named.
    #[error("no session store path was given")]
    NoStorePath,

    /// Whoever asked for the work asked for it to stop.
    #[error("the operation was aborted")]
    Aborted,
}

/// Is something not there? `ENOTDIR` counts: a file in the place of a folder leaves no room for
/// anything in it.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Error {
    /// A short name for programs, in Node.js's manner: the operating system's own (`ENOENT`,
    /// `ENOSPC`, …), or one of `ELOCKED`, `ELOCKLOST`, `ECONTENDED`, `EJSON`, `ENOTFILE`,
    /// `EINVAL`, `ABORT_ERR`.
    ///
    /// ```
    /// use cron_session_reaper::error::Error;
    /// assert_eq!(Error::NoStorePath.code(), "EINVAL");
    /// ```
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Io { source, .. } => crate::system::errno_name(source),
            Self::Json { .. } => "EJSON".to_owned(),
            Self::NotAFile { .. } => "ENOTFILE".to_owned(),
            Self::Locked { .. } => "ELOCKED".to_owned(),
            Self::LockLost { .. } => "ELOCKLOST".to_owned(),
            Self::BeingWritten { .. } | Self::Contended { .. } => "ECONTENDED".to_owned(),
            Self::NoStorePath => "EINVAL".to_owned(),
            Self::Aborted => "ABORT_ERR".to_owned(),
        }
    }

    /// What it is about: the store, its lock, a folder, ….
    ///
    /// ```
    /// use std::path::Path;
    /// use cron_session_reaper::error::Error;
    ///
    /// let error = Error::Contended { path: "/s/sessions.json".into() };
    /// assert_eq!(error.path(), Some(Path::new("/s/sessions.json")));
    /// ```
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Json { path, .. }
            | Self::NotAFile { path, .. }
            | Self::BeingWritten { path }
            | Self::Contended { path } => Some(path),
            Self::Locked { lock, .. } | Self::LockLost { lock } => Some(lock),
            Self::NoStorePath | Self::Aborted => None,
        }
    }
}

/// Gives an [`io::Error`] the operation and the path that it lacks.
pub(crate) trait Context<T> {
    /// `operation` is a verb that reads well after "cannot": `read`, `replace`.
    fn context(self, operation: &'static str, path: &Path) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| io_error(operation, path, source))
    }
}

/// Made in one place and not in each that may fail, of which there are many.
#[cold]
#[inline(never)]
fn io_error(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}
