//! Writes a store without its expired runs to another file, in one pass. Kept entries are copied
//! byte for byte.
//!
//! - `ranges` decides which bytes are kept;
//! - `duplicate_keys` handles keys that occur more than once, which takes two more passes.
//!
//! Kept bytes are written directly from the chunk that was read, while it is in the processor's
//! cache. Only if a run turns out to be kept, and it began in an earlier chunk, is that part of the
//! store read again.

mod duplicate_keys;
mod ranges;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Context, Result};
use crate::system::System;

use self::duplicate_keys::{DuplicateKeys, KeyHashes};
use self::ranges::KeptRanges;
use super::Expiry;
use super::reading::{Buffer, Chunk, PAGE, Reading, Source, json_error};
use super::scan::{Broken, Entry, Key, SessionId, Visitor};

/// The number of bytes that are written before the kernel is asked to start writing them to the
/// disk.
const WRITE_BACK: u64 = 1 << 20;

/// A range with fewer bytes is moved to the end of the previous range, so that one call writes both.
const WORTH_A_WRITE: usize = 16 << 10;

/// The size of the buffer for bytes that are read again.
const READ_AGAIN: usize = 64 << 10;

/// The properties of an entry that decide whether it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts<'a> {
    /// The entry's key: the JSON string in the file, byte for byte.
    pub key: Cow<'a, [u8]>,
    is_object: bool,
    /// `None` also if the entry is not a run.
    updated_at: Option<f64>,
    /// The entry's `sessionId`.
    pub session_id: SessionId<'a>,
    /// The entry's `sessionFile`; see [`Entry::session_file`].
    pub session_file: Option<Cow<'a, str>>,
}

/// Decides which expired runs are removed, and receives the references of the kept entries.
pub trait RemovalPolicy {
    /// Returns whether an expired run is removed. A run whose transcript is still being written must
    /// be kept. Runs are passed in the order in which JavaScript enumerates them, each key once.
    fn removes(&mut self, run: &Facts<'_>) -> bool;

    /// Receives the `sessionId` and `sessionFile` of a kept entry. Entries that are not objects are
    /// not passed.
    fn keeps(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>);

    /// Discards all that was received: the rewrite starts again from the beginning.
    fn restart(&mut self);
}

/// The result of a rewrite.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewritten {
    /// The number of entries in the store. An entry with a duplicate key counts too.
    pub entries: u64,
    /// The number of kept entries. An entry with a duplicate key counts too.
    pub kept: u64,
    /// The number of removed runs. A duplicate key counts once.
    pub removed: u64,
    /// The number of bytes that were written or, without an output file, would have been written.
    pub bytes: u64,
    /// The smallest `updatedAt` of a kept run, in milliseconds since 1970; infinite if there is none.
    /// Includes expired runs that the [`RemovalPolicy`] kept.
    pub earliest: f64,
}

/// Reads a store and writes it to `out` without the expired runs that `policy` removes.
///
/// `out` is written from its start and is not synced; if it is `None`, the entries are only counted. `buffer`
/// is the memory that one read may fill. It must not be empty.
///
/// If the store changes during the rewrite, the output is not usable. The caller must check for that
/// before it replaces the store.
///
/// # Errors
/// [`Error::Json`](crate::error::Error::Json) if the store is not a JSON object,
/// [`Error::Io`](crate::error::Error::Io) if reading or writing fails,
/// [`Error::Aborted`](crate::error::Error::Aborted). The output is then not usable.
///
/// ```
/// use cron_session_reaper::abort::Abort;
/// use cron_session_reaper::store::reading::Source;
/// use cron_session_reaper::store::rewrite::{Facts, RemovalPolicy, rewrite};
/// use cron_session_reaper::store::scan::SessionId;
/// use cron_session_reaper::system::{Os, System};
///
/// struct RemoveAll;
/// impl RemovalPolicy for RemoveAll {
///     fn removes(&mut self, _: &Facts<'_>) -> bool {
///         true
///     }
///     fn keeps(&mut self, _: &SessionId<'_>, _: Option<&str>) {}
///     fn restart(&mut self) {}
/// }
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("sessions.json");
/// std::fs::write(&path, r#"{"agent:main:cron:nightly:run:7": {"updatedAt": 5}, "a": 1}"#)?;
/// let (file, abort) = (Os.open(&path)?, Abort::default());
/// let store = Source { system: &Os, file: &file, path: &path, abort: &abort };
/// let out = Os.create_new(&folder.path().join("new.json"))?;
/// let mut buffer = vec![0; 256 << 10];
/// let rewritten = rewrite(store, 6.0, Some(&out), &mut RemoveAll, &mut buffer)?;
/// assert_eq!(rewritten.removed, 1);
/// assert_eq!(std::fs::read_to_string(folder.path().join("new.json"))?, r#"{ "a": 1}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rewrite<S: System>(
    store: Source<'_, S>,
    expiry: impl Into<Expiry>,
    out: Option<&S::File>,
    policy: &mut impl RemovalPolicy,
    buffer: &mut [u8],
) -> Result<Rewritten> {
    let expiry = expiry.into();
    let mut hashes = KeyHashes::default();
    let selector = Selector {
        hashes: Some(&mut hashes),
        ..Selector::new(expiry, policy)
    };
    let rewritten = write_kept(Output::new(store, out), selector, buffer)?;
    // If nothing was removed, no last value of a duplicate key is expired.
    if rewritten.removed == 0 {
        return Ok(rewritten);
    }
    let Some(repeated) = hashes.repeated() else {
        return Ok(rewritten);
    };

    let duplicates = DuplicateKeys::read(store, &repeated, expiry.keys, buffer)?;
    policy.restart();
    if let Some(out) = out {
        let truncated = store.system.truncate(out);
        truncated.context("rewrite", store.path)?;
    }
    let selector = Selector {
        duplicates,
        ..Selector::new(expiry, policy)
    };
    write_kept(Output::new(store, out), selector, buffer)
}

/// Makes one pass over the store and writes what `selector` keeps.
fn write_kept<S: System, P: RemovalPolicy>(
    mut output: Output<'_, S>,
    mut selector: Selector<'_, P>,
    buffer: &mut [u8],
) -> Result<Rewritten> {
    let mut again = Buffer::new(READ_AGAIN);
    let mut reading = Reading::new(output.store, buffer);
    while let Some(mut chunk) = reading.next(&mut selector)? {
        let ranges = selector.ranges.drain_to(chunk.end());
        output.copy(ranges, &mut chunk, &mut again)?;
    }
    Ok(Rewritten {
        bytes: output.written,
        ..selector.decisions.result
    })
}

impl<'a> Facts<'a> {
    fn of(entry: &'a Entry<'_>, is_run: bool) -> Self {
        Self {
            key: Cow::Borrowed(entry.key().json()),
            is_object: entry.is_object(),
            updated_at: is_run.then(|| entry.updated_at()).flatten(),
            session_id: entry.session_id(),
            session_file: entry.session_file(),
        }
    }

    pub(super) fn into_owned(self) -> Facts<'static> {
        Facts {
            key: Cow::Owned(self.key.into_owned()),
            session_id: self.session_id.into_owned(),
            session_file: self.session_file.map(|file| Cow::Owned(file.into_owned())),
            ..self
        }
    }
}

/// Decides about one entry after the other.
struct Decisions<'a, P> {
    expiry: Expiry,
    policy: &'a mut P,
    /// The result so far; `bytes` is not counted here.
    result: Rewritten,
}

impl<P: RemovalPolicy> Decisions<'_, P> {
    /// Returns whether an entry is kept, and records the decision.
    fn decide(&mut self, facts: &Facts<'_>) -> bool {
        if let Some(updated_at) = facts.updated_at {
            if self.expiry.expires(updated_at) && self.policy.removes(facts) {
                self.result.removed += 1;
                return false;
            }
            // `min` ignores NaN.
            self.result.earliest = self.result.earliest.min(updated_at);
        }
        if facts.is_object {
            self.policy
                .keeps(&facts.session_id, facts.session_file.as_deref());
        }
        true
    }
}

/// Selects the kept bytes while the store is scanned.
struct Selector<'a, P> {
    decisions: Decisions<'a, P>,
    /// The hashes of the keys that were read, if they are needed.
    hashes: Option<&'a mut KeyHashes>,
    /// Empty in the first pass.
    duplicates: DuplicateKeys,
    /// Whether the current entry is a run.
    is_run: bool,
    ranges: KeptRanges,
}

impl<'a, P: RemovalPolicy> Selector<'a, P> {
    fn new(expiry: Expiry, policy: &'a mut P) -> Self {
        Self {
            decisions: Decisions {
                expiry,
                policy,
                result: Rewritten {
                    entries: 0,
                    kept: 0,
                    removed: 0,
                    bytes: 0,
                    earliest: f64::INFINITY,
                },
            },
            hashes: None,
            duplicates: DuplicateKeys::default(),
            is_run: false,
            ranges: KeptRanges::default(),
        }
    }
}

impl<P: RemovalPolicy> Visitor for Selector<'_, P> {
    fn open(&mut self, end: u64) {
        self.ranges.begin_object(end);
    }

    #[inline]
    fn key(&mut self, key: Key<'_>, start: u64) {
        self.decisions.result.entries += 1;
        self.is_run = key.is_run(self.decisions.expiry.keys);
        self.ranges.begin_entry(start);
        if !self.is_run {
            self.ranges.keep_begun_entry();
        }
        match &mut self.hashes {
            Some(hashes) if self.is_run => hashes.add_run(key),
            Some(hashes) => hashes.add_other(key),
            None => {}
        }
    }

    #[inline]
    fn entry(&mut self, entry: &Entry<'_>, end: u64) {
        let decide = |facts: &Facts<'_>| self.decisions.decide(facts);
        let is_kept = match self.duplicates.is_kept(entry.key(), decide) {
            Some(is_kept) => is_kept,
            None => self.decisions.decide(&Facts::of(entry, self.is_run)),
        };
        if is_kept {
            self.decisions.result.kept += 1;
            self.ranges.keep_entry(end);
        } else {
            self.ranges.remove_entry(end);
        }
    }

    fn close(&mut self, start: u64) {
        self.ranges.end_object(start);
    }
}

/// The file that is written, or only the number of its bytes.
struct Output<'a, S: System> {
    /// The store that is copied.
    store: Source<'a, S>,
    /// `None` if the bytes are only counted.
    file: Option<&'a S::File>,
    /// The number of bytes written.
    written: u64,
    /// The number of bytes that the kernel was asked to write to the disk.
    written_back: u64,
}

impl<'a, S: System> Output<'a, S> {
    fn new(store: Source<'a, S>, file: Option<&'a S::File>) -> Self {
        Self {
            store,
            file,
            written: 0,
            written_back: 0,
        }
    }

    /// Writes `ranges` of the store. They end in `chunk`; the first may begin before it. `again` is
    /// the buffer for bytes that are read again.
    fn copy(
        &mut self,
        ranges: impl Iterator<Item = Range<u64>>,
        chunk: &mut Chunk<'_>,
        again: &mut Buffer,
    ) -> Result<()> {
        // The part of the chunk that is written next.
        let mut next = 0..0;
        for range in ranges {
            if range.start < chunk.offset {
                self.copy_again(range.start..range.end.min(chunk.offset), again)?;
            }
            let range = chunk.index(range.start)..chunk.index(range.end);
            if !next.is_empty() && range.len() < WORTH_A_WRITE {
                let end = next.end + range.len();
                chunk.bytes.copy_within(range, next.end);
                next.end = end;
                continue;
            }
            self.write(&chunk.bytes[next])?;
            next = range;
        }
        self.write(&chunk.bytes[next])
    }

    /// Writes a range of the store that is no longer in memory.
    fn copy_again(&mut self, range: Range<u64>, again: &mut Buffer) -> Result<()> {
        if self.file.is_none() {
            self.written += range.end - range.start;
            return Ok(());
        }
        let Source {
            system, file, path, ..
        } = self.store;
        let mut offset = range.start;
        while offset < range.end {
            let wanted =
                usize::try_from(range.end - offset).map_or(READ_AGAIN, |n| n.min(READ_AGAIN));
            let bytes = &mut again.bytes()[..wanted];
            let read = system.read_at(file, bytes, offset).context("read", path)?;
            if read == 0 {
                let reason = "the file became shorter while it was being read".to_owned();
                return Err(json_error(self.store, Broken { offset, reason }));
            }
            self.write(&bytes[..read])?;
            offset += read as u64;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(file) = self.file {
            let Source { system, path, .. } = self.store;
            let written = system.write_all_at(file, bytes, self.written);
            written.context("rewrite", path)?;
        }
        self.written += bytes.len() as u64;
        self.start_write_back();
        Ok(())
    }

    /// Asks the kernel to start writing to the disk once enough bytes are waiting.
    fn start_write_back(&mut self) {
        let Some(file) = self.file else {
            return;
        };
        // Only whole pages: a page that is modified again after that would be written twice.
        let pages = self.written - self.written % PAGE as u64;
        let waiting = pages - self.written_back;
        if waiting >= WRITE_BACK {
            let system = self.store.system;
            system.start_write_back(file, self.written_back, waiting);
            self.written_back = pages;
        }
    }
}
