//! Looks for expired runs without a lock and without writing.

use crate::error::Result;
use crate::system::System;

use super::Expiry;
use super::reading::{Reading, Source};
use super::scan::{Entry, Visitor};

/// The result of a survey.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Survey {
    /// The store contains an expired run and should be rewritten.
    ///
    /// The survey stops at the first one. It may be an earlier value of a duplicate key, which is not
    /// removed; only a rewrite, which reads the whole store, detects that.
    Due,
    /// No run is expired.
    NothingDue {
        /// The number of entries. An entry with a duplicate key counts too.
        entries: u64,
        /// The smallest `updatedAt` of a run, in milliseconds since 1970; infinite if there is none.
        /// A sweep is due as soon as `now - retention` is greater.
        earliest: f64,
        /// How many runs are expired but must be kept.
        locked: u64,
    },
}

/// Reads a store from its start and returns whether a run is expired. `buffer` is the memory that one
/// read may fill. It must not be empty. `must_be_kept` is asked about each expired run: a store from
/// which no run can be removed should not be rewritten.
///
/// The memory used does not grow with the store. If the file changes during the survey, the result
/// may belong to no state of the store, and an error may be reported. A caller that acts on the result
/// must check for that.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) if the store cannot be read,
/// [`Error::Json`](crate::error::Error::Json) if it is not a JSON object,
/// [`Error::Aborted`](crate::error::Error::Aborted).
///
/// ```
/// use cron_session_reaper::abort::Abort;
/// use cron_session_reaper::store::reading::Source;
/// use cron_session_reaper::store::survey::{Survey, survey};
/// use cron_session_reaper::system::{Os, System};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("sessions.json");
/// std::fs::write(&path, r#"{"agent:main:cron:nightly:run:7": {"updatedAt": 5000}}"#)?;
/// let (file, abort) = (Os.open(&path)?, Abort::default());
/// let store = Source { system: &Os, file: &file, path: &path, abort: &abort };
/// let mut buffer = vec![0; 256 << 10];
/// assert_eq!(survey(store, 5001.0, &mut buffer, |_| false)?, Survey::Due);
/// assert_eq!(
///     survey(store, 5000.0, &mut buffer, |_| false)?,
///     Survey::NothingDue { entries: 1, earliest: 5000.0, locked: 0 }
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn survey<S: System>(
    store: Source<'_, S>,
    expiry: impl Into<Expiry>,
    buffer: &mut [u8],
    must_be_kept: impl FnMut(&Entry<'_>) -> bool,
) -> Result<Survey> {
    let mut found = Found {
        expiry: expiry.into(),
        must_be_kept,
        entries: 0,
        earliest: f64::INFINITY,
        locked: 0,
        is_due: false,
    };
    let mut reading = Reading::new(store, buffer);
    while reading.next(&mut found)?.is_some() {
        if found.is_due {
            return Ok(Survey::Due);
        }
    }
    Ok(Survey::NothingDue {
        entries: found.entries,
        earliest: found.earliest,
        locked: found.locked,
    })
}

struct Found<F> {
    expiry: Expiry,
    must_be_kept: F,
    entries: u64,
    earliest: f64,
    locked: u64,
    is_due: bool,
}

impl<F: FnMut(&Entry<'_>) -> bool> Visitor for Found<F> {
    #[inline]
    fn entry(&mut self, entry: &Entry<'_>, _: u64) {
        self.entries += 1;
        let Some(updated_at) = entry.updated_at() else {
            return;
        };
        let is_expired = self.expiry.expires(updated_at);
        if (is_expired || updated_at < self.earliest) && entry.key().is_run(self.expiry.keys) {
            self.earliest = self.earliest.min(updated_at);
            if is_expired && !self.is_due {
                let is_kept = (self.must_be_kept)(entry);
                self.locked += u64::from(is_kept);
                self.is_due = !is_kept;
            }
        }
    }
}
