//! What a sweep did, as plain data: the core never logs, its caller replays these lines.
//!
//! JavaScript gets it as JSON, in which `index.js` knows the fields by their names here.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::store::leftovers::Cleared;
use crate::transcripts::Tally;

/// The outcome of one sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The sweep ran to its end. False when it failed, was throttled or is disabled, and after a
    /// dry run.
    pub swept: bool,
    /// Why no entry was removed. `None` if some were, or if it failed.
    pub reason: Option<Reason>,
    /// How many entries were removed from the store, or would have been in a dry run.
    pub pruned: u64,
    /// What else is known of the entries.
    pub entries: Entries,
    /// Transcripts that were archived.
    pub transcripts: Tally,
    /// Archives that were deleted because of their age.
    pub archives: Tally,
    /// Left-over temp files.
    pub temps: Cleared,
    /// The store's size in bytes.
    pub size: Size,
    /// Where the time went.
    pub times: Times,
    /// What is to be logged, in this order.
    pub log: Vec<LogLine>,
    /// Why it failed, if it did. It is in the log too, unless it was aborted. A sweep that failed
    /// tells none of the figures above.
    pub failure: Option<Failure>,
}

/// Why a sweep removed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is too soon after the last sweep.
    Throttled,
    /// Runs are kept for ever.
    Disabled,
    /// There is no store.
    NoStore,
    /// The store is still the one in which an earlier sweep found nothing that is expired by now.
    Unchanged,
    /// No run is expired, or all that are have a transcript that a live process holds locked.
    NothingExpired,
    /// It was a dry run; otherwise runs would have been removed.
    DryRun,
}

/// The entries of a store, as they stand in the file: a key that stands twice counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Entries {
    /// How many there were.
    pub seen: u64,
    /// How many stay.
    pub kept: u64,
    /// How many of these are expired, and stay because a live process holds their transcript
    /// locked.
    pub locked: u64,
}

/// The size of a store in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// When it was read.
    pub before: u64,
    /// Once the sweep was over, or would have been. The same if no entry was removed.
    pub after: u64,
}

/// Where the time of a sweep went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Reading the store and writing what stays, without the lock.
    pub surveying: Duration,
    /// Waiting for the lock.
    pub waiting: Duration,
    /// Holding it.
    pub holding: Duration,
    /// All of it, what came after the lock included.
    pub total: Duration,
}

/// Why a sweep failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What happened and what can be done, as a sentence.
    pub message: String,
    /// See [`Error::code`].
    pub code: String,
    /// What it is about.
    #[serde(serialize_with = "path_as_text")]
    pub path: Option<PathBuf>,
    /// For a store that is no JSON: where, as line and column (in bytes), counted from 1.
    pub position: Option<(u64, u64)>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            message: error.to_string(),
            code: error.code(),
            path: error.path().map(Path::to_owned),
            position: match error {
                Error::Json { line, column, .. } => Some((*line, *column)),
                _ => None,
            },
        }
    }
}

/// One line for the gateway's logger: `log[level](fields, message)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogLine {
    /// Which of the logger's methods.
    pub level: Level,
    /// The first argument.
    pub fields: Fields,
    /// The second argument.
    pub message: String,
}

/// Which of the logger's methods a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `log.info`
    Info,
    /// `log.warn`
    Warn,
}

/// The structured part of a log line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Fields {
    /// `{ err }`: what went wrong.
    Failure {
        /// As `String(error)` gives it: `Error: …`
        err: String,
    },
    /// `{ pruned, retentionMs }`: what was removed.
    Pruned {
        /// Entries removed.
        pruned: u64,
        /// The retention in force, in milliseconds.
        #[serde(rename = "retentionMs")]
        retention_ms: f64,
    },
}

/// A path as JavaScript can hold it: U+FFFD stands for what is no Unicode.
#[allow(clippy::ref_option, reason = "serde hands fields over by reference")]
fn path_as_text<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref()
        .map(Path::to_string_lossy)
        .serialize(serializer)
}

impl Report {
    /// Nothing was done, not even a look at the store.
    #[must_use]
    pub fn of_no_sweep(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }

    /// How many bytes were freed on the disk, by the sizes of the files: of the store, of archives
    /// and of temp files. What was archived still takes its place.
    #[must_use]
    pub fn reclaimed(&self) -> u64 {
        // Every file fits the disk, and so do all of them.
        self.size.before.saturating_sub(self.size.after) + self.archives.bytes + self.temps.bytes
    }

    /// The sweep ran to its end. Texts are the gateway's own.
    pub(crate) fn succeeded(&mut self, retention_ms: f64) {
        self.swept = true;
        let pruned = self.pruned;
        if pruned > 0 {
            self.log.push(LogLine {
                level: Level::Info,
                fields: Fields::Pruned {
                    pruned,
                    retention_ms,
                },
                message: format!("cron-reaper: pruned {pruned} expired cron run session(s)"),
            });
        }
    }

    /// The report of a sweep that could not even begin.
    #[must_use]
    pub fn of_failure(error: &Error) -> Self {
        let mut report = Self::default();
        report.failed(error);
        report
    }

    /// The sweep failed; the store is as it was (but see [`Error`]). What went before is of no
    /// interest any more, save for its warnings.
    pub(crate) fn failed(&mut self, error: &Error) {
        *self = Self {
            log: std::mem::take(&mut self.log),
            failure: Some(Failure::from(error)),
            ..Self::default()
        };
        // Who aborted it knows.
        if !matches!(error, Error::Aborted) {
            self.warn(error, "cron-reaper: failed to sweep session store");
        }
    }

    /// The runs are gone, but some old archives could not be deleted.
    pub(crate) fn cleanup_failed(&mut self, error: &Error) {
        self.warn(error, "cron-reaper: transcript cleanup failed");
    }

    /// Transcripts that stay under their own names although their runs are gone. One line, however
    /// many: they nearly always fail for one reason.
    pub(crate) fn not_archived(&mut self, failures: &[String]) {
        let Some(first) = failures.first() else {
            return;
        };
        let others = match failures.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more like this)"),
        };
        let message = "cron-reaper: transcript cleanup failed";
        self.warn(&format_args!("{first}{others}"), message);
    }

    /// Something odd that did no harm to this sweep.
    pub(crate) fn noticed(&mut self, error: &Error) {
        self.warn(error, "cron-reaper: sweep succeeded, but cleanup failed");
    }

    /// Transcripts that could not be renamed back after a commit that did not come about.
    pub(crate) fn undone(&mut self, failures: Vec<String>) {
        for failure in failures {
            self.warn(&failure, "cron-reaper: a transcript could not be restored");
        }
    }

    /// Left-over temp files that were removed are no news; those that may be the only copy of
    /// something were kept, and their owner must know.
    pub(crate) fn cleared(&mut self, temps: Cleared) {
        for warning in temps.warnings() {
            self.warn(&warning, "cron-reaper: kept a left-over temp file");
        }
        self.temps.removed += temps.removed;
        self.temps.bytes += temps.bytes;
        self.temps.kept.extend(temps.kept);
    }

    fn warn(&mut self, error: &impl Display, message: &str) {
        self.log.push(LogLine {
            level: Level::Warn,
            fields: Fields::Failure {
                err: format!("Error: {error}"),
            },
            message: message.to_owned(),
        });
    }
}
