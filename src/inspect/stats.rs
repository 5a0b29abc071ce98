//! Counts what is in a store: which kinds of sessions, which jobs, which entries are the largest.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde::Serialize;

use crate::error::Result;
use crate::gateway::session_key;
use crate::system::System;

use crate::store::reading::{Reading, Source};
use crate::store::scan::{Entry, Key, Visitor};

/// More kinds than this are no channels but somebody's own keys: the smallest count as `other`.
const MOST_KINDS: usize = 24;

/// How many different kinds are told apart while a store is read.
const KINDS_REMEMBERED: usize = 1024;

/// Of how many entries a [`Stats`] can name the largest.
pub const MOST_LISTED: usize = 1000;

/// A key or the name of a job is cut to so many characters, and ends in `…` then.
const LONGEST_SHOWN: usize = 1000;

/// Entries, and the bytes that they take in the file.
///
/// An entry's bytes are those from the comma or brace before it to the end of its value: its key
/// and the white space before it are counted, the comma is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many.
    pub entries: u64,
    /// What they take, in bytes.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }

    fn add_all(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// The runs of one cron job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Job {
    /// All of them.
    pub runs: Sum,
    /// Those that a sweep would remove.
    pub expired: Sum,
}

/// What is in a store. A key that stands twice counts twice, as it does in the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stats {
    /// Everything.
    pub all: Sum,
    /// By [kind](session_key::kind), what takes the most bytes first, `other` last.
    pub kinds: Vec<(String, Sum)>,
    /// The runs of all jobs.
    pub runs: Job,
    /// The least and the greatest `updatedAt` of a run that is a time after 1970, in milliseconds
    /// since then.
    pub updated_at_ms: Option<(f64, f64)>,
    /// The largest entries, the largest first: key and bytes.
    pub biggest_entries: Vec<(String, u64)>,
    /// The jobs whose runs take the most bytes, the largest first.
    pub biggest_jobs: Vec<(String, Job)>,
}

/// Reads the whole store and counts. `cutoff_ms`, milliseconds since 1970: a run whose `updatedAt`
/// is less is expired; `top`: how many entries and jobs are listed, at most [`MOST_LISTED`].
/// `buffer` is what one read may fill; it must not be empty. `progress` is told how many bytes were
/// read.
///
/// SurveyCache grows with the number of jobs, but not with the store.
///
/// # Errors
/// As [`survey`](super::survey::survey).
///
/// ```
/// use cron_session_reaper::abort::Abort;
/// use cron_session_reaper::inspect::stats::stats;
/// use cron_session_reaper::store::reading::Source;
/// use cron_session_reaper::system::{Os, System};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("sessions.json");
/// std::fs::write(&path, r#"{"agent:main:cron:job:run:1":{"updatedAt":5},"agent:main:main":{}}"#)?;
/// let (file, abort) = (Os.open(&path)?, Abort::default());
/// let store = Source { system: &Os, file: &file, path: &path, abort: &abort };
/// let mut buffer = vec![0; 256 << 10];
///
/// let stats = stats(store, 6.0, 5, &mut buffer, |_| {})?;
/// assert_eq!((stats.all.entries, stats.runs.expired.entries), (2, 1));
/// assert_eq!(stats.kinds[0].0, "cron run");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stats<S: System>(
    store: Source<'_, S>,
    cutoff_ms: f64,
    top: usize,
    buffer: &mut [u8],
    mut progress: impl FnMut(u64),
) -> Result<Stats> {
    let mut count = Count {
        cutoff_ms,
        start: 0,
        stats: Stats::default(),
        kinds: HashMap::new(),
        other: Sum::default(),
        jobs: HashMap::new(),
        biggest: Biggest::of(top),
    };
    let mut reading = Reading::new(store, buffer);
    while let Some(chunk) = reading.next(&mut count)? {
        progress(chunk.end());
    }
    Ok(count.finish(top))
}

/// A stats being taken.
struct Count {
    cutoff_ms: f64,
    /// Where the entry that is being read begins.
    start: u64,
    stats: Stats,
    kinds: HashMap<String, Sum>,
    other: Sum,
    jobs: HashMap<String, Job>,
    biggest: Biggest,
}

impl Visitor for Count {
    fn key(&mut self, _: Key<'_>, start: u64) {
        self.start = start;
    }

    fn entry(&mut self, entry: &Entry<'_>, end: u64) {
        let bytes = end - self.start;
        self.stats.all.add(bytes);
        let key = entry.key().text();
        let key = key.as_deref();
        // A key that is too long to be remembered can only be shown as cut short.
        let name = || key.map_or_else(|| "…".to_owned(), |key| shown(key.to_owned()));
        self.biggest.add(name, bytes);
        let kind = key.map_or_else(|| session_key::OTHER.into(), session_key::kind);
        self.sum_of(kind).add(bytes);
        if let Some(job) = key.and_then(session_key::job) {
            self.add_run(job, entry.updated_at(), bytes);
        }
    }
}

impl Count {
    fn sum_of(&mut self, kind: Cow<'_, str>) -> &mut Sum {
        let has_room = self.kinds.len() < KINDS_REMEMBERED;
        if kind == session_key::OTHER || !(has_room || self.kinds.contains_key(&*kind)) {
            return &mut self.other;
        }
        self.kinds.entry(kind.into_owned()).or_default()
    }

    fn add_run(&mut self, job: String, updated_at: Option<f64>, bytes: u64) {
        let is_expired = updated_at.is_some_and(|at| at < self.cutoff_ms);
        let job = self.jobs.entry(shown(job)).or_default();
        for job in [job, &mut self.stats.runs] {
            job.runs.add(bytes);
            if is_expired {
                job.expired.add(bytes);
            }
        }
        if let Some(at) = updated_at.filter(|at| at.is_finite() && *at > 0.0) {
            let (least, greatest) = self.stats.updated_at_ms.unwrap_or((at, at));
            self.stats.updated_at_ms = Some((least.min(at), greatest.max(at)));
        }
    }

    fn finish(mut self, top: usize) -> Stats {
        let mut stats = self.stats;
        stats.kinds = take_biggest(&mut self.kinds, MOST_KINDS, |sum| sum.bytes);
        for sum in self.kinds.into_values() {
            self.other.add_all(sum);
        }
        if self.other.entries > 0 {
            let other = session_key::OTHER.to_owned();
            stats.kinds.push((other, self.other));
        }
        stats.biggest_jobs = take_biggest(&mut self.jobs, top, |job| job.runs.bytes);
        stats.biggest_entries = self.biggest.into_sorted();
        stats
    }
}

/// Takes out what has the most bytes, the largest first; of equal ones in the order of their names,
/// so that two looks are equal.
fn take_biggest<T>(
    counted: &mut HashMap<String, T>,
    top: usize,
    bytes: impl Fn(&T) -> u64,
) -> Vec<(String, T)> {
    let mut biggest = Biggest::of(top);
    for (name, count) in &*counted {
        biggest.add(|| name.clone(), bytes(count));
    }
    let take = |(name, _): (String, u64)| {
        let entry = counted.remove_entry(&name);
        entry.expect("its name is one of those that were counted")
    };
    biggest.into_sorted().into_iter().map(take).collect()
}

/// The largest of what was counted so far, the smallest of them on top.
struct Biggest {
    room: usize,
    heap: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Biggest {
    fn of(top: usize) -> Self {
        Self {
            room: top.min(MOST_LISTED),
            heap: BinaryHeap::new(),
        }
    }

    fn add(&mut self, name: impl FnOnce() -> String, bytes: u64) {
        if let Some(Reverse((smallest, _))) = self.heap.peek()
            && self.heap.len() >= self.room
            && bytes < *smallest
        {
            return;
        }
        self.heap.push(Reverse((bytes, Reverse(name()))));
        if self.heap.len() > self.room {
            self.heap.pop();
        }
    }

    fn into_sorted(self) -> Vec<(String, u64)> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted
            .map(|Reverse((bytes, Reverse(name)))| (name, bytes))
            .collect()
    }
}

fn shown(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}
