//! Looks for expired runs, without a lock and without writing.

use crate::error::Result;
use crate::system::System;

use super::scan::{Entry, Reading, Source, Visitor};

/// What a look at the store found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Survey {
    /// There is an expired run, and so a reason to rewrite the store.
    ///
    /// The survey ends at the first. It may be a key's earlier value, which a later one replaces:
    /// only the rewrite, which reads the whole store, knows.
    Due,
    /// No run is expired.
    NothingDue {
        /// How many entries there are, as they stand in the file.
        entries: u64,
        /// The smallest `updatedAt` of a run, in milliseconds since 1970: as soon as `now - retention`
        /// is greater, a sweep is due. Infinite if there is none.
        earliest: f64,
    },
}

/// Reads the store from its start and says whether a run's `updatedAt` is less than `cutoff_ms`,
/// milliseconds since 1970. `buffer` is what one read may fill; it must not be empty.
///
/// Memory does not grow with the store. If the file changes meanwhile, the answer is one for some
/// mixture of its states, or an error: whoever acts on it must look whether it changed.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) if it cannot be read,
/// [`Error::Json`](crate::error::Error::Json) if it is no JSON object,
/// [`Error::Aborted`](crate::error::Error::Aborted).
///
/// ```
/// use cron_session_reaper::abort::Abort;
/// use cron_session_reaper::store::scan::Source;
/// use cron_session_reaper::store::survey::{Survey, survey};
/// use cron_session_reaper::system::{Os, System};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("sessions.json");
/// std::fs::write(&path, r#"{"agent:main:cron:nightly:run:7": {"updatedAt": 5000}}"#)?;
/// let (file, abort) = (Os.open(&path)?, Abort::default());
/// let store = Source { system: &Os, file: &file, path: &path, abort: &abort };
/// let mut buffer = vec![0; 256 << 10];
/// assert_eq!(survey(store, 5001.0, &mut buffer)?, Survey::Due);
/// assert_eq!(
///     survey(store, 5000.0, &mut buffer)?,
///     Survey::NothingDue { entries: 1, earliest: 5000.0 }
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn survey<S: System>(
    store: Source<'_, S>,
    cutoff_ms: f64,
    buffer: &mut [u8],
) -> Result<Survey> {
    let mut look = Look {
        entries: 0,
        earliest: f64::INFINITY,
    };
    let mut reading = Reading::new(store, buffer);
    while reading.next(&mut look)?.is_some() {
        if look.earliest < cutoff_ms {
            return Ok(Survey::Due);
        }
    }
    Ok(Survey::NothingDue {
        entries: look.entries,
        earliest: look.earliest,
    })
}

struct Look {
    entries: u64,
    earliest: f64,
}

impl Visitor for Look {
    #[inline]
    fn entry(&mut self, entry: &Entry<'_>, _: u64) {
        self.entries += 1;
        let Some(updated_at) = entry.updated_at() else {
            return;
        };
        // NaN, which never expires, is less than nothing.
        if updated_at < self.earliest && entry.key().is_run() {
            self.earliest = updated_at;
        }
    }
}
