//! Writes what stays of a store to another file, in one pass, byte for byte.
//!
//! What stays is cut out so that the rest of a store as the gateway writes it is again exactly what
//! the gateway would write: with an entry goes the comma before it, or, where nothing before it
//! stays, the one after it, and with the last entry everything between the braces.
//!
//! What has been decided goes straight from the chunk that was read to the other file, while it is
//! still in the processor's cache. Only the part of an undecided run that lies in earlier chunks
//! has to be read again.
//!
//! # Keys that stand twice
//!
//! To JavaScript a key that stands twice has the place of the first and the value of the last. No
//! writer of stores makes such a thing, so the pass is made without regard to it, keeping a hash of
//! each key. If two of them are equal in the end, a second pass collects the values of these keys,
//! and a third one begins anew with that knowledge.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use crate::error::{Context, Result};
use crate::system::System;

use super::scan::{
    Broken, Buffer, Chunk, Entry, Key, PAGE, Reading, SessionId, Source, Visitor, json_error,
};

/// How much is written before the kernel is asked to bring it to the disk, in bytes.
const WRITE_BACK: u64 = 1 << 20;

/// Less than this is moved to what is written before it, so that one call writes both; in bytes.
const WORTH_A_WRITE: usize = 16 << 10;

/// How much is read again at once, in bytes.
const READ_AGAIN: usize = 64 << 10;

/// An expired run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The entry's `sessionId`.
    pub session_id: SessionId<'static>,
    /// The entry's `sessionFile`; see [`Entry::session_file`].
    pub session_file: Option<String>,
    /// When it was last used, in milliseconds since 1970.
    pub updated_at: f64,
}

/// Who has the last word on what goes, and hears what stays.
pub trait Judge {
    /// This run is expired. `true`: it goes. `false`: it stays all the same, since its transcript is
    /// being written. Runs come in the order in which JavaScript has them, each once.
    fn goes(&mut self, run: &Run) -> bool;

    /// This entry stays, here are its `sessionId` and `sessionFile`. Entries that are no object
    /// are passed over.
    fn stays(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>);

    /// Forget everything: the pass begins again.
    fn restart(&mut self);
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewrite {
    /// How many entries the store had, as they stood in the file.
    pub entries: u64,
    /// How many of them stay. One less for each that was removed, two for one whose key stands
    /// twice.
    pub kept: u64,
    /// How many runs went: those that [`Judge::goes`] agreed to.
    pub removed: u64,
    /// How many bytes were written, or would have been.
    pub bytes: u64,
    /// The smallest `updatedAt` of a run that stays, in milliseconds since 1970; infinite if there
    /// is none. Those that [`Judge::goes`] had stay are among them.
    pub earliest: f64,
}

/// Reads the store from its start, to its end, and writes what stays to `out`, from its start: all
/// but the runs whose `updatedAt` is less than `cutoff_ms`, milliseconds since 1970, if `judge`
/// agrees. `buffer` is what one read may fill; it must not be empty. Nothing is synced. Without
/// `out` nothing is written either: it only counts.
///
/// If the store changes meanwhile, what was written is worth nothing: whoever commits it must
/// look.
///
/// # Errors
/// [`Error::Json`](crate::error::Error::Json) if the store is no JSON object,
/// [`Error::Io`](crate::error::Error::Io) if reading or writing fails,
/// [`Error::Aborted`](crate::error::Error::Aborted). What `out` holds then is worth nothing.
///
/// ```
/// use cron_session_reaper::abort::Abort;
/// use cron_session_reaper::store::rewrite::{Judge, Run, rewrite};
/// use cron_session_reaper::store::scan::{SessionId, Source};
/// use cron_session_reaper::system::{Os, System};
///
/// struct Agree;
/// impl Judge for Agree {
///     fn goes(&mut self, _: &Run) -> bool {
///         true
///     }
///     fn stays(&mut self, _: &SessionId<'_>, _: Option<&str>) {}
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
/// let rewrite = rewrite(store, 6.0, Some(&out), &mut Agree, &mut buffer)?;
/// assert_eq!(rewrite.removed, 1);
/// assert_eq!(std::fs::read_to_string(folder.path().join("new.json"))?, r#"{ "a": 1}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rewrite<S: System>(
    store: Source<'_, S>,
    cutoff_ms: f64,
    out: Option<&S::File>,
    judge: &mut impl Judge,
    buffer: &mut [u8],
) -> Result<Rewrite> {
    let mut copy = Copy {
        store,
        out,
        written: 0,
        written_back: 0,
        again: Buffer::new(READ_AGAIN),
    };
    let mut keys = Keys::default();
    let mut sort = Sort::new(cutoff_ms, judge);
    sort.keys = Some(&mut keys);
    let rewrite = copy.what_stays(sort, buffer)?;
    // If nothing goes, no key's last value goes, and all is as it should be.
    if rewrite.removed == 0 || !keys.some_stand_twice() {
        return Ok(rewrite);
    }

    let mut doubles = Doubles {
        keys: &keys,
        last: HashMap::new(),
    };
    let mut reading = Reading::new(store, buffer);
    let mut visitor: &mut dyn Visitor = &mut doubles;
    while reading.next(&mut visitor)?.is_some() {}
    let last = doubles.last;

    judge.restart();
    if let Some(out) = out {
        let truncated = store.system.truncate(out);
        truncated.context("rewrite", store.path)?;
    }
    copy.written = 0;
    copy.written_back = 0;
    let mut sort = Sort::new(cutoff_ms, judge);
    sort.doubles = last;
    copy.what_stays(sort, buffer)
}

/// Decides about entry after entry.
struct Sort<'a, J> {
    cutoff_ms: f64,
    judge: &'a mut J,
    /// Where to note the keys, to find out which may stand twice.
    keys: Option<&'a mut Keys>,
    /// Those that may, once that is known.
    doubles: HashMap<Vec<u8>, Double>,
    /// The current entry's.
    is_run: bool,
    cut: Cut,
    entries: u64,
    kept: u64,
    removed: u64,
    earliest: f64,
}

/// What an entry is judged by.
struct Facts<'a> {
    is_object: bool,
    /// `None` as well if the entry is no run.
    updated_at: Option<f64>,
    session_id: SessionId<'a>,
    session_file: Option<Cow<'a, str>>,
}

impl<'a> Facts<'a> {
    fn of(entry: &'a Entry<'_>, is_run: bool) -> Self {
        Self {
            is_object: entry.is_object(),
            updated_at: is_run.then(|| entry.updated_at()).flatten(),
            session_id: entry.session_id(),
            session_file: entry.session_file(),
        }
    }

    fn into_owned(self) -> Facts<'static> {
        Facts {
            session_id: self.session_id.into_owned(),
            session_file: self.session_file.map(|file| Cow::Owned(file.into_owned())),
            ..self
        }
    }
}

/// A key that may stand twice.
enum Double {
    /// Its last value.
    Undecided(Facts<'static>),
    /// Whether it stays, as was decided at the first of its places.
    Decided(bool),
}

impl<'a, J: Judge> Sort<'a, J> {
    fn new(cutoff_ms: f64, judge: &'a mut J) -> Self {
        Self {
            cutoff_ms,
            judge,
            keys: None,
            doubles: HashMap::new(),
            is_run: false,
            cut: Cut::default(),
            entries: 0,
            kept: 0,
            removed: 0,
            earliest: f64::INFINITY,
        }
    }

    /// Does the entry stay?
    fn decide(&mut self, facts: Facts<'_>) -> bool {
        if let Some(updated_at) = facts.updated_at {
            if updated_at < self.cutoff_ms {
                return self.decide_expired(facts, updated_at);
            }
            // This passes over NaN.
            self.earliest = self.earliest.min(updated_at);
        }
        if facts.is_object {
            self.judge
                .stays(&facts.session_id, facts.session_file.as_deref());
        }
        true
    }

    fn decide_expired(&mut self, facts: Facts<'_>, updated_at: f64) -> bool {
        let run = Run {
            session_id: facts.session_id.into_owned(),
            session_file: facts.session_file.map(Cow::into_owned),
            updated_at,
        };
        if self.judge.goes(&run) {
            self.removed += 1;
            return false;
        }
        self.earliest = self.earliest.min(updated_at);
        if facts.is_object {
            self.judge
                .stays(&run.session_id, run.session_file.as_deref());
        }
        true
    }

    /// The same for a key that stands twice; `None` if it does not.
    fn decide_double(&mut self, key: Key<'_>) -> Option<bool> {
        if self.doubles.is_empty() {
            return None;
        }
        let key = key.wtf8()?;
        let decided = Double::Decided(true);
        let stays = match std::mem::replace(self.doubles.get_mut(&key)?, decided) {
            Double::Decided(stays) => stays,
            Double::Undecided(facts) => self.decide(facts),
        };
        self.doubles.insert(key, Double::Decided(stays));
        Some(stays)
    }
}

impl<J: Judge> Visitor for Sort<'_, J> {
    fn open(&mut self, end: u64) {
        self.cut.open(end);
    }

    #[inline]
    fn key(&mut self, key: Key<'_>, start: u64) {
        self.entries += 1;
        if let Some(keys) = &mut self.keys {
            keys.note(key);
        }
        self.is_run = key.is_run();
        self.cut.begin(start);
        if !self.is_run {
            self.cut.stays();
        }
    }

    #[inline]
    fn entry(&mut self, entry: &Entry<'_>, end: u64) {
        let stays = match self.decide_double(entry.key()) {
            Some(stays) => stays,
            None => self.decide(Facts::of(entry, self.is_run)),
        };
        self.kept += u64::from(stays);
        self.cut.end(end, stays);
    }

    fn close(&mut self, start: u64) {
        self.cut.close(start);
    }
}

/// Which bytes of the store stay. Offsets are from its start.
#[derive(Debug)]
struct Cut {
    /// What stays and is not written yet, in order, no two adjacent.
    ranges: Vec<Range<u64>>,
    /// Where that which comes next begins.
    from: u64,
    /// It is certain to stay, although its end was not read yet.
    certain: bool,
    some_stay: bool,
    some_go: bool,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            from: 0,
            certain: true, // What stands before the object.
            some_stay: false,
            some_go: false,
        }
    }
}

impl Cut {
    /// The root's `{` ends at `end`.
    fn open(&mut self, end: u64) {
        self.keep_to(end);
        self.certain = false;
    }

    /// An entry begins; the comma before it, or the `{`, ends at `start`.
    fn begin(&mut self, start: u64) {
        // The first that stays leaves behind the comma that parted it from those that went.
        if self.some_go && !self.some_stay {
            self.from = start;
        }
    }

    /// The entry that began stays.
    fn stays(&mut self) {
        self.certain = true;
    }

    /// The entry's value ends at `end`.
    fn end(&mut self, end: u64, stays: bool) {
        self.certain = false;
        if stays {
            self.keep_to(end);
            self.some_stay = true;
        } else {
            self.from = end;
            self.some_go = true;
        }
    }

    /// The root's `}` stands at `start`.
    fn close(&mut self, start: u64) {
        if self.some_go && !self.some_stay {
            self.from = start;
        }
        self.certain = true;
    }

    /// What stays up to `offset`, where a chunk ends.
    fn up_to(&mut self, offset: u64) -> std::vec::Drain<'_, Range<u64>> {
        if self.certain {
            self.keep_to(offset);
        }
        self.ranges.drain(..)
    }

    fn keep_to(&mut self, end: u64) {
        match self.ranges.last_mut() {
            Some(last) if last.end == self.from => last.end = end,
            _ => self.ranges.push(self.from..end),
        }
        self.from = end;
    }
}

/// A hash of each key.
#[derive(Default)]
struct Keys {
    hash: RandomState,
    hashes: Vec<u64>,
}

impl Keys {
    #[inline]
    fn note(&mut self, key: Key<'_>) {
        self.hashes.extend(self.of(key));
    }

    /// `None` if the key is too long to be told from others.
    #[inline]
    fn of(&self, key: Key<'_>) -> Option<u64> {
        // Equal keys have equal texts. A few texts stand for different keys, which costs no more
        // than the time to find out.
        key.text().map(|text| self.hash.hash_one(&*text))
    }

    /// Forgets all but those that there are twice, and says whether there are any.
    fn some_stand_twice(&mut self) -> bool {
        self.hashes.sort_unstable();
        let mut kept = 0;
        for at in 1..self.hashes.len() {
            let hash = self.hashes[at];
            let is_known = kept > 0 && self.hashes[kept - 1] == hash;
            if hash == self.hashes[at - 1] && !is_known {
                self.hashes[kept] = hash;
                kept += 1;
            }
        }
        self.hashes.truncate(kept);
        kept > 0
    }

    fn may_stand_twice(&self, key: Key<'_>) -> bool {
        self.of(key)
            .is_some_and(|hash| self.hashes.binary_search(&hash).is_ok())
    }
}

/// Collects the last values of the keys that stand twice.
struct Doubles<'a> {
    keys: &'a Keys,
    last: HashMap<Vec<u8>, Double>,
}

impl Visitor for Doubles<'_> {
    fn entry(&mut self, entry: &Entry<'_>, _: u64) {
        let key = entry.key();
        if !self.keys.may_stand_twice(key) {
            return;
        }
        if let Some(units) = key.wtf8() {
            let facts = Facts::of(entry, key.is_run()).into_owned();
            self.last.insert(units, Double::Undecided(facts));
        }
    }
}

/// The way from one file to the other.
struct Copy<'a, S: System> {
    store: Source<'a, S>,
    /// Where to, if it is to be written and not only counted.
    out: Option<&'a S::File>,
    /// How many bytes, and how many of these are on their way to the disk.
    written: u64,
    written_back: u64,
    /// For what is read again.
    again: Buffer,
}

impl<S: System> Copy<'_, S> {
    fn what_stays<J: Judge>(
        &mut self,
        mut sort: Sort<'_, J>,
        buffer: &mut [u8],
    ) -> Result<Rewrite> {
        let mut reading = Reading::new(self.store, buffer);
        while let Some(mut chunk) = reading.next(&mut sort)? {
            self.write(sort.cut.up_to(chunk.end()), &mut chunk)?;
        }
        Ok(Rewrite {
            entries: sort.entries,
            kept: sort.kept,
            removed: sort.removed,
            bytes: self.written,
            earliest: sort.earliest,
        })
    }

    /// Writes the `ranges` of the source. They lie in `chunk`, the first also before it.
    fn write(
        &mut self,
        ranges: impl Iterator<Item = Range<u64>>,
        chunk: &mut Chunk<'_>,
    ) -> Result<()> {
        // What lies in the chunk and is to be written next.
        let mut next = 0..0;
        for range in ranges {
            if range.start < chunk.offset {
                self.write_again(range.start..range.end.min(chunk.offset))?;
            }
            let range = chunk.index(range.start)..chunk.index(range.end);
            if !next.is_empty() && range.len() < WORTH_A_WRITE {
                let end = next.end + range.len();
                chunk.bytes.copy_within(range, next.end);
                next.end = end;
                continue;
            }
            self.write_bytes(&chunk.bytes[next])?;
            next = range;
        }
        self.write_bytes(&chunk.bytes[next])
    }

    /// Writes a range of the source that is no longer in memory.
    fn write_again(&mut self, range: Range<u64>) -> Result<()> {
        if self.out.is_none() {
            self.written += range.end - range.start;
            return Ok(());
        }
        let mut again = std::mem::replace(&mut self.again, Buffer::new(0));
        let mut offset = range.start;
        while offset < range.end {
            let wanted =
                usize::try_from(range.end - offset).map_or(READ_AGAIN, |n| n.min(READ_AGAIN));
            let bytes = &mut again.bytes()[..wanted];
            let Source { system, path, .. } = self.store;
            let read = system.read_at(self.store.file, bytes, offset);
            let read = read.context("read", path)?;
            if read == 0 {
                let reason = "the file became shorter while it was being read".to_owned();
                let broken = Broken { offset, reason };
                return Err(json_error(self.store, broken));
            }
            self.write_bytes(&again.bytes()[..read])?;
            offset += read as u64;
        }
        self.again = again;
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(out) = self.out else {
            self.written += bytes.len() as u64;
            return Ok(());
        };
        let Source { system, path, .. } = self.store;
        let written = system.write_all_at(out, bytes, self.written);
        written.context("rewrite", path)?;
        self.written += bytes.len() as u64;
        // Whole pages, where they are as large as on most machines: one that is on its way to the
        // disk and written to goes there twice.
        let pages = self.written - self.written % PAGE as u64;
        let waiting = pages - self.written_back;
        if waiting >= WRITE_BACK {
            system.start_write_back(out, self.written_back, waiting);
            self.written_back = pages;
        }
        Ok(())
    }
}
