//! What a sweep did, as plain data: the core never logs, its caller replays these lines.

use std::fmt::Display;

use crate::error::Error;
use crate::store::temps::Temps;

/// The outcome of one sweep.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The sweep ran to its end. False when it failed, was throttled or is disabled.
    pub swept: bool,
    /// How many entries were removed from the store.
    pub pruned: u64,
    /// What is to be logged, in this order.
    pub log: Vec<LogLine>,
}

/// One line for the gateway's logger: `log[level](fields, message)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Which of the logger's methods.
    pub level: Level,
    /// The first argument.
    pub fields: Fields,
    /// The second argument.
    pub message: String,
}

/// Which of the logger's methods a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `log.info`
    Info,
    /// `log.warn`
    Warn,
}

/// The structured part of a log line.
#[derive(Debug, Clone, PartialEq)]
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
        retention_ms: f64,
    },
}

impl Report {
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

    /// The sweep failed; the store is as it was.
    pub(crate) fn failed(&mut self, error: &Error) {
        self.swept = false;
        self.pruned = 0;
        self.warn(error, "cron-reaper: failed to sweep session store");
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
        self.warn(error, "cron-reaper: swept, but something else went wrong");
    }

    /// Transcripts that could not be renamed back after a commit that did not come about.
    pub(crate) fn undone(&mut self, failures: Vec<String>) {
        for failure in failures {
            self.warn(&failure, "cron-reaper: a transcript could not be restored");
        }
    }

    /// Left-over temp files that were removed are no news; those that may be the only copy of
    /// something were kept, and their owner must know.
    pub(crate) fn cleared(&mut self, temps: &Temps) {
        for warning in temps.warnings() {
            self.warn(&warning, "cron-reaper: kept a left-over temp file");
        }
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
