//! What can fail: the operation, the path, the cause, and what the user can do.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::system::{self, Kind, Obstacle, Refusal, Rights, path_text};

/// The result of every function of this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a sweep or an inspection failed.
///
/// The store is as it was before the sweep, with one exception: if its folder could not be synced
/// after the commit, the new store is in place and a power cut may bring the old one back.
///
/// The text is for people; [`code`](Error::code) is for programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("cannot {operation} {}: {}", path_text(path), system::describe(source))]
    Io {
        /// What was attempted, as a verb: `read`, `lock`, `replace`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },

    /// The store is not a JSON object. It was not modified.
    #[error(
        "{}:{line}:{column}: invalid JSON: {reason} (store not modified; repair it or restore a backup)",
        path_text(path)
    )]
    Json {
        /// The store.
        path: PathBuf,
        /// The line of the first invalid byte, counted from 1.
        line: u64,
        /// Its column in bytes, counted from 1.
        column: u64,
        /// What was expected and what was found.
        reason: String,
    },

    /// The store has more duplicate run keys than fit into the memory that a sweep uses. It was not
    /// modified.
    #[error(
        "{} has too many duplicate keys (store not modified; repair it or restore a backup)",
        path_text(path)
    )]
    TooManyDuplicateKeys {
        /// The store.
        path: PathBuf,
    },

    /// The store or its lock is not a regular file. It was not modified.
    #[error(
        "cannot {operation} the session store: expected a regular file at {}, found {found}; {advice}",
        path_text(path)
    )]
    NotAFile {
        /// What was attempted, as a verb: `read`, `lock`.
        operation: &'static str,
        /// Where it was found.
        path: PathBuf,
        /// What was found: `a directory`, `a symbolic link`, ….
        found: &'static str,
        /// What the user can do.
        advice: &'static str,
    },

    /// Another process held the store's lock for longer than a sweep waits.
    ///
    /// The text is the gateway's own, because users search for it.
    #[error(
        "session file locked (timeout {timeout_ms}ms): {} {}",
        pid.map_or_else(|| "unknown".to_owned(), |pid| format!("pid={pid}")),
        path_text(lock)
    )]
    Locked {
        /// How long the sweep waited, in milliseconds.
        timeout_ms: u64,
        /// The holder's process id, if the lock file contains it.
        pid: Option<u64>,
        /// The lock file.
        lock: PathBuf,
    },

    /// Another process removed or replaced this sweep's lock. Nothing was committed after that.
    #[error(
        "lost the lock {} during the sweep; the next sweep will retry",
        path_text(lock)
    )]
    LockLost {
        /// The lock file.
        lock: PathBuf,
    },

    /// The store was written in place each time it was read.
    #[error(
        "{} was modified while being read ({attempts} attempts); try again later",
        path_text(path)
    )]
    ModifiedWhileRead {
        /// The store.
        path: PathBuf,
        /// How often it was read.
        attempts: u32,
    },

    /// The store changed each time a sweep was about to replace it: another process writes it
    /// without the lock.
    #[error(
        "{} is being replaced by a process that ignores its lock ({attempts} attempts); the next sweep will retry",
        path_text(path)
    )]
    Contended {
        /// The store.
        path: PathBuf,
        /// How often the sweep tried to replace it.
        attempts: u32,
    },

    /// This user must not access the store. Nothing was modified.
    #[error("cannot {operation} {}: EPERM: {refusal}", path_text(path))]
    Refused {
        /// What was attempted, as a verb: `access`, `replace`.
        operation: &'static str,
        /// The store or its folder.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },

    /// No user can replace the store, or change its folder. Nothing was modified.
    #[error("cannot {operation} {}: {obstacle}", path_text(path))]
    Obstructed {
        /// What was attempted, as a verb: `replace`, `change`.
        operation: &'static str,
        /// The store or its folder.
        path: PathBuf,
        /// Why.
        obstacle: Obstacle,
    },

    /// The store's path is empty.
    #[error("no session store path was given")]
    NoStorePath,

    /// The caller aborted the work.
    #[error("the operation was aborted")]
    Aborted,
}

/// The operation of reading another store in the folder.
pub(crate) const OTHER_STORE: &str = "read the other store";

/// Returns whether the error means that a path does not exist. `ENOTDIR` counts: below a file there
/// can be no other file.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Error {
    /// Returns the error for a store that is not a regular file.
    pub(crate) fn not_a_store(path: &Path, found: Kind) -> Self {
        Self::NotAFile {
            operation: "read",
            path: path.to_owned(),
            found: found.name(),
            advice: match found {
                Kind::Folder => "name its sessions.json",
                _ => "name a sessions.json",
            },
        }
    }

    /// Returns a code for programs: the operating system's own (`ENOENT`, `ENOSPC`, …), or one in
    /// Node.js's scheme: `ERR_SESSION_STORE_INVALID`, `ERR_SESSION_STORE_NOT_A_FILE`,
    /// `ERR_SESSION_STORE_LOCKED`, `ERR_SESSION_STORE_LOCK_LOST`, `ERR_SESSION_STORE_BUSY`,
    /// `ERR_INVALID_ARG_VALUE`, `ABORT_ERR`.
    ///
    /// ```
    /// use cron_session_reaper::error::Error;
    /// assert_eq!(Error::NoStorePath.code(), "ERR_INVALID_ARG_VALUE");
    /// ```
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Io { source, .. } => return system::errno_name(source),
            Self::Obstructed {
                obstacle: Obstacle::MountPoint,
                ..
            } => "EBUSY",
            Self::Refused { .. } | Self::Obstructed { .. } => "EPERM",
            Self::Json { .. } | Self::TooManyDuplicateKeys { .. } => "ERR_SESSION_STORE_INVALID",
            Self::NotAFile { .. } => "ERR_SESSION_STORE_NOT_A_FILE",
            Self::Locked { .. } => "ERR_SESSION_STORE_LOCKED",
            Self::LockLost { .. } => "ERR_SESSION_STORE_LOCK_LOST",
            Self::ModifiedWhileRead { .. } | Self::Contended { .. } => "ERR_SESSION_STORE_BUSY",
            Self::NoStorePath => "ERR_INVALID_ARG_VALUE",
            Self::Aborted => "ABORT_ERR",
        }
        .to_owned()
    }

    /// Returns whether the disk, or the user's part of it, is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        let Self::Io { source, .. } = self else {
            return false;
        };
        matches!(source.kind(), StorageFull | QuotaExceeded)
    }

    /// Returns the error with the reason of a missing permission, if the thread's rights are limited.
    pub(crate) fn explained_by(self, rights: &Rights) -> Self {
        let Self::Io {
            source, operation, ..
        } = &self
        else {
            return self;
        };
        if *operation == OTHER_STORE {
            // The owner of the store cannot read it either.
            return self;
        }
        match (rights.refusal(source), self) {
            (
                Some(refusal),
                Self::Io {
                    operation, path, ..
                },
            ) => Self::Refused {
                operation,
                path,
                refusal,
            },
            (_, error) => error,
        }
    }

    /// Returns the store, lock file or folder that the error is about.
    ///
    /// ```
    /// use std::path::Path;
    /// use cron_session_reaper::error::Error;
    ///
    /// let error = Error::Contended { path: "/s/sessions.json".into(), attempts: 8 };
    /// assert_eq!(error.path(), Some(Path::new("/s/sessions.json")));
    /// ```
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Json { path, .. }
            | Self::TooManyDuplicateKeys { path }
            | Self::NotAFile { path, .. }
            | Self::ModifiedWhileRead { path, .. }
            | Self::Refused { path, .. }
            | Self::Obstructed { path, .. }
            | Self::Contended { path, .. } => Some(path),
            Self::Locked { lock, .. } | Self::LockLost { lock } => Some(lock),
            Self::NoStorePath | Self::Aborted => None,
        }
    }
}

/// An [`Error`] as plain data, with the fields of the errors in `index.d.ts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The error's text.
    pub message: String,
    /// See [`Error::code`].
    pub code: String,
    /// See [`Error::path`]. U+FFFD replaces what is not Unicode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// For invalid JSON, the line of the first invalid byte, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// For invalid JSON, the column of that byte, in bytes, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let (line, column) = match error {
            Error::Json { line, column, .. } => (Some(*line), Some(*column)),
            _ => (None, None),
        };
        Self {
            message: error.to_string(),
            code: error.code(),
            path: error.path().map(|path| path_text(path).into_owned()),
            line,
            column,
        }
    }
}

/// Adds to an [`io::Error`] the operation and the path that it lacks.
pub(crate) trait Context<T> {
    /// `operation` is a verb that reads well after "cannot": `read`, `replace`.
    fn context(self, operation: &'static str, path: &Path) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            operation,
            path: path.to_owned(),
            source,
        })
    }
}
