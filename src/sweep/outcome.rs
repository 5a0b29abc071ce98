//! The outcome of a sweep as plain data.
//!
//! [`Report`] serialises to the `SweepReport` of `index.d.ts`, [`SweepFailure`] to its `SweepError`.
//! The core never logs: `index.js` replays the [`LogLine`]s.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::mem;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::error::{Error, Failure};
use crate::store::leftovers::Cleared;
pub use crate::store::leftovers::Mode;
use crate::store::rewrite::Rewritten;
use crate::system::{Stat, path_text};
use crate::transcripts::Tally;

/// What one sweep or preview came to.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a failed sweep is reported only here"]
pub struct Outcome {
    /// The report, or why the sweep failed.
    pub result: Result<Report, SweepFailure>,
    /// What is to be logged, in this order.
    pub log: Vec<LogLine>,
}

/// What a sweep did, or would do. Sizes are in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// Whether the store was swept: not if the sweep was throttled, disabled, or a preview.
    pub swept: bool,
    /// Why no run was removed; `None` if some were.
    pub reason: Option<Reason>,
    /// Whether this was a preview.
    pub dry_run: bool,
    /// How many runs were removed from the store.
    pub pruned: u64,
    /// How long runs are kept, in milliseconds; `None` if they never expire.
    pub retention_ms: Option<f64>,
    /// The entries of the store.
    pub entries: Entries,
    /// The transcripts of removed runs.
    pub transcripts: Archived,
    /// The archives that were deleted because of their age.
    pub archives: Removed,
    /// The leftover temp files.
    pub temps: Leftover,
    /// The store's size, and what was freed.
    pub bytes: Sizes,
    /// How long the sweep took.
    pub ms: Times,
    /// What failed without failing the sweep, in order.
    pub warnings: Vec<Warning>,
}

/// Why a sweep removed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The last sweep of this store was less than five minutes ago.
    Throttled,
    /// The retention is disabled.
    Disabled,
    /// The store does not exist.
    NoStore,
    /// The store has not changed since a sweep found nothing that is expired by now.
    Unchanged,
    /// No run is expired, or the transcript of each expired run is locked by a live process.
    NothingExpired,
    /// A sweep would remove runs, but this was a preview.
    DryRun,
}

/// The entries of a store. Each occurrence of a duplicate key counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Entries {
    /// How many the store had.
    pub seen: u64,
    /// How many it has now.
    pub kept: u64,
    /// How many runs were removed.
    pub pruned: u64,
    /// How many of the kept entries are expired runs whose transcript a live process holds locked.
    pub locked: u64,
}

/// Transcripts that were archived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// How many.
    pub archived: u64,
    /// Their size.
    pub bytes: u64,
}

/// Files that were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// How many.
    pub removed: u64,
    /// Their size.
    pub bytes: u64,
}

/// Leftover temp files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// How many were deleted.
    pub removed: u64,
    /// Their size.
    pub bytes: u64,
    /// Where those are now that may be the only copy of something.
    #[serde(serialize_with = "paths_as_text")]
    pub kept: Vec<PathBuf>,
}

/// The size of a store, and what a sweep freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// The store's size before the sweep.
    pub before: u64,
    /// The store's size after it.
    pub after: u64,
    /// What was freed: by the store, by deleted archives and by deleted temp files. Archived
    /// transcripts still take their space.
    pub reclaimed: u64,
}

/// How long a sweep took. Serialised in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Reading the store and writing its replacement, without the lock.
    #[serde(serialize_with = "as_ms")]
    pub surveying: Duration,
    /// Waiting for the lock.
    #[serde(serialize_with = "as_ms")]
    pub waiting: Duration,
    /// Holding the lock.
    #[serde(serialize_with = "as_ms")]
    pub holding: Duration,
    /// The whole sweep, including what follows the release of the lock.
    #[serde(serialize_with = "as_ms")]
    pub total: Duration,
}

/// Why a sweep failed, and what failed before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweepFailure {
    /// Why it failed.
    #[serde(flatten)]
    pub failure: Failure,
    /// As [`Report::warnings`], and one that says what was deleted. The last is this failure, unless the
    /// caller aborted the sweep.
    pub warnings: Vec<Warning>,
}

/// What a logger receives as `log.warn({ err: error }, message)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What failed in general.
    pub message: String,
    /// What failed in particular: `Error: …`.
    pub error: String,
}

/// One call of the gateway's logger: `log[level](fields, message)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogLine {
    /// The logger's method: `info` or `warn`.
    pub level: &'static str,
    /// `{ err }`, an error as `String(error)` prints it, or `{ pruned, retentionMs }`.
    pub fields: Value,
    /// The second argument.
    pub message: String,
}

/// Serialises paths as JavaScript can hold them: U+FFFD replaces what is not Unicode.
fn paths_as_text<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path_text(path)))
}

fn as_ms<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1000.0)
}

/// What a sweep found in the store, and what it removes from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreFigures {
    entries: Entries,
    /// The store's size before and after.
    before: u64,
    after: u64,
    /// Why nothing is removed, if that is so.
    unchanged: Reason,
}

impl StoreFigures {
    /// A store from which nothing is removed, for this reason.
    pub(super) fn unchanged(reason: Reason, bytes: u64, entries: u64, locked: u64) -> Self {
        Self {
            entries: Entries {
                seen: entries,
                kept: entries,
                pruned: 0,
                locked,
            },
            before: bytes,
            after: bytes,
            unchanged: reason,
        }
    }

    /// A store that was read to its end.
    pub(super) fn of_rewrite(bytes: u64, rewrite: &Rewritten, locked: u64) -> Self {
        let entries = rewrite.entries;
        let mut figures = Self::unchanged(Reason::NothingExpired, bytes, entries, locked);
        if rewrite.removed > 0 {
            figures.entries.kept = rewrite.kept;
            figures.entries.pruned = rewrite.removed;
            figures.after = rewrite.bytes;
        }
        figures
    }
}

/// A store from which nothing is to be removed.
pub(super) struct NothingToRemove {
    /// Its attributes; `None` if it does not exist.
    pub(super) store: Option<Stat>,
    pub(super) figures: StoreFigures,
}

impl NothingToRemove {
    pub(super) fn of(store: Stat, figures: StoreFigures) -> Self {
        Self {
            store: Some(store),
            figures,
        }
    }

    pub(super) fn no_store() -> Self {
        Self {
            store: None,
            figures: StoreFigures::unchanged(Reason::NoStore, 0, 0, 0),
        }
    }
}

/// What a sweep archived, or a preview would archive and delete, beside the entries. What a sweep deletes
/// is in its [`Log`].
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// Archived transcripts.
    pub(super) archived: Tally,
    /// Deleted archives.
    pub(super) archives: Tally,
    /// Leftover temp files.
    pub(super) leftovers: Cleared,
}

impl Report {
    /// Computes the report of a sweep. The durations and warnings are added
    /// once they are known.
    pub(super) fn new(
        mode: Mode,
        retention_ms: f64,
        figures: &StoreFigures,
        removed: Removals,
    ) -> Self {
        let StoreFigures {
            entries,
            before,
            after,
            unchanged,
        } = *figures;
        let Removals {
            archived,
            archives,
            leftovers,
        } = removed;
        let freed = before.saturating_sub(after);
        Self {
            swept: mode == Mode::Apply,
            reason: match mode {
                _ if entries.pruned == 0 => Some(unchanged),
                Mode::DryRun => Some(Reason::DryRun),
                Mode::Apply => None,
            },
            dry_run: mode == Mode::DryRun,
            pruned: entries.pruned,
            retention_ms: Some(retention_ms),
            entries,
            transcripts: Archived {
                archived: archived.files,
                bytes: archived.bytes,
            },
            archives: Removed {
                removed: archives.files,
                bytes: archives.bytes,
            },
            bytes: Sizes {
                before,
                after,
                // Cannot overflow: all these files were on one disk.
                reclaimed: freed + archives.bytes + leftovers.bytes,
            },
            temps: Leftover {
                removed: leftovers.removed,
                bytes: leftovers.bytes,
                kept: leftovers.kept.into_iter().map(|(_, to)| to).collect(),
            },
            ..Self::default()
        }
    }
}

impl Outcome {
    /// Returns the outcome of a call that did not even look at the store.
    pub fn not_swept(mode: Mode, reason: Reason, retention_ms: Option<f64>) -> Self {
        Self {
            result: Ok(Report {
                reason: Some(reason),
                dry_run: mode == Mode::DryRun,
                retention_ms,
                ..Report::default()
            }),
            log: Vec::new(),
        }
    }

    /// Returns the outcome of a sweep that could not begin.
    pub fn failed_to_begin(error: &Error) -> Self {
        Self::failed(error, Log::default())
    }

    /// Returns the outcome of a sweep that ended with `report`. The messages are the gateway's.
    pub(super) fn completed(mut report: Report, mut log: Log) -> Self {
        log.add_failures();
        let mut lines = log.lines();
        if report.swept && report.pruned > 0 {
            lines.push(LogLine {
                level: "info",
                fields: json!({ "pruned": report.pruned, "retentionMs": report.retention_ms }),
                message: format!(
                    "cron-reaper: pruned {} expired cron run session(s)",
                    report.pruned
                ),
            });
        }
        report.warnings = log.warnings;
        report.temps.kept.append(&mut log.kept);
        let Log {
            archives, temps, ..
        } = log;
        report.archives.removed += archives.files;
        report.archives.bytes += archives.bytes;
        report.temps.removed += temps.files;
        report.temps.bytes += temps.bytes;
        report.bytes.reclaimed += archives.bytes + temps.bytes;
        Self {
            result: Ok(report),
            log: lines,
        }
    }

    /// Returns the outcome of a sweep that failed: the store is as it was (but see [`Error`]).
    pub(super) fn failed(error: &Error, mut log: Log) -> Self {
        log.add_failures();
        log.add_deletions();
        // A caller that aborts the sweep knows about it.
        if !matches!(error, Error::Aborted) {
            log.warn(error, "cron-reaper: failed to sweep session store");
        }
        Self {
            log: log.lines(),
            result: Err(SweepFailure {
                failure: Failure::from(error),
                warnings: log.warnings,
            }),
        }
    }
}

/// Files that could not be archived, deleted or kept. Those of one kind have one warning together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailedFiles {
    Transcripts,
    Archives,
    Temps,
    /// Temp files that can be the only copy of something.
    OnlyCopies,
}

/// What has failed so far, and which files were kept or deleted.
#[derive(Debug, Default)]
pub(super) struct Log {
    warnings: Vec<Warning>,
    failures: BTreeMap<FailedFiles, Vec<String>>,
    kept: Vec<PathBuf>,
    /// Deleted archives.
    archives: Tally,
    /// Deleted temp files.
    temps: Tally,
}

impl Log {
    /// The runs are removed, but old archives could not be deleted.
    pub(super) fn cleanup_failed(&mut self, error: &Error) {
        self.warn(error, "cron-reaper: transcript cleanup failed");
    }

    /// These files could not be cleaned up. Replaces the failures of an earlier attempt, which tried the
    /// same files.
    pub(super) fn not_cleaned_up(&mut self, files: FailedFiles, failures: Vec<String>) {
        self.failures.insert(files, failures);
    }

    /// Adds one warning for each kind of files, however many there are: nearly always they fail for the
    /// same reason.
    fn add_failures(&mut self) {
        for failures in mem::take(&mut self.failures).into_values() {
            let Some(first) = failures.first() else {
                continue;
            };
            let others = match failures.len() - 1 {
                0 => String::new(),
                others => format!(" (and {others} more like this)"),
            };
            let message = "cron-reaper: transcript cleanup failed";
            self.warn(&format_args!("{first}{others}"), message);
        }
    }

    /// Adds a warning that says what a sweep that failed had deleted: it has no report.
    fn add_deletions(&mut self) {
        let deleted = [
            ("old archive", self.archives),
            ("leftover temp file", self.temps),
        ];
        let deleted = deleted.into_iter().filter(|(_, it)| it.files > 0);
        let deleted: Vec<_> = deleted
            .map(|(noun, Tally { files, bytes })| {
                let plural = if files == 1 { "" } else { "s" };
                format!("{files} {noun}{plural} ({bytes} bytes)")
            })
            .collect();
        if !deleted.is_empty() {
            let text = format!("deleted {}", deleted.join(" and "));
            self.warn(&text, "cron-reaper: deleted files before the sweep failed");
        }
    }

    /// Something failed after the commit, or without one, that does not affect the result.
    pub(super) fn failed_after_sweep(&mut self, error: &Error) {
        // A folder that cannot be listed is reported once, not for archives and for temp files.
        let text = format!("Error: {error}");
        if self.warnings.last().is_none_or(|last| last.error != text) {
            self.warn(error, "cron-reaper: sweep succeeded, but cleanup failed");
        }
    }

    /// Transcripts could not be renamed back after a commit that did not take place.
    pub(super) fn not_restored(&mut self, failures: Vec<String>) {
        for failure in failures {
            self.warn(&failure, "cron-reaper: a transcript could not be restored");
        }
    }

    /// Old archives were deleted, except those that failed.
    pub(super) fn deleted_archives(&mut self, archives: Tally, failures: Vec<String>) {
        self.archives += archives;
        self.not_cleaned_up(FailedFiles::Archives, failures);
    }

    /// Leftovers were removed or kept.
    pub(super) fn cleared(&mut self, leftovers: Cleared) {
        self.temps += Tally {
            files: leftovers.removed,
            bytes: leftovers.bytes,
        };
        self.kept(leftovers.kept);
        self.not_cleaned_up(FailedFiles::Temps, leftovers.failures);
        self.not_cleaned_up(FailedFiles::OnlyCopies, leftovers.not_kept);
    }

    /// Returns how many files were deleted so far.
    pub(super) fn deleted(&self) -> u64 {
        self.archives.files + self.temps.files
    }

    /// Files that may be the only copy of something were kept: their paths before and now.
    pub(super) fn kept(&mut self, kept: impl IntoIterator<Item = (PathBuf, PathBuf)>) {
        for (from, to) in kept {
            let warning = format!(
                "{} may contain sessions that the store lacks; it was kept as {}",
                path_text(&from),
                path_text(&to)
            );
            self.warn(&warning, "cron-reaper: kept a leftover temp file");
            self.kept.push(to);
        }
    }

    fn warn(&mut self, error: &impl Display, message: &str) {
        self.warnings.push(Warning {
            message: message.to_owned(),
            error: format!("Error: {error}"),
        });
    }

    fn lines(&self) -> Vec<LogLine> {
        let line = |warning: &Warning| LogLine {
            level: "warn",
            fields: json!({ "err": warning.error }),
            message: warning.message.clone(),
        };
        self.warnings.iter().map(line).collect()
    }
}
