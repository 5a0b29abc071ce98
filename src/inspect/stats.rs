//! Counts what a store contains: the kinds of sessions, the jobs, the largest entries.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde::Serialize;

use crate::error::Result;
use crate::gateway::session_key;
use crate::store::Expiry;
use crate::store::reading::{Reading, Source};
use crate::store::scan::{Entry, Key, Visitor};
use crate::system::System;

/// How many kinds are listed. A store with more has keys that are not the gateway's; the smallest
/// kinds are then counted as `other`.
const MOST_KINDS: usize = 24;

/// How many different kinds are counted separately while a store is read.
const KINDS_REMEMBERED: usize = 1024;

/// How much memory the jobs may use while a store is read, in bytes: about 100,000 jobs with ids of
/// ordinary length.
const MAX_JOB_MEMORY: usize = 12 << 20;

/// What a job uses beside its id: the entry of the hash table, and the allocation of the id.
const JOB_OVERHEAD: usize = 2 * size_of::<(String, JobSum)>();

/// The greatest length of the lists of entries and jobs.
const MOST_LISTED: usize = 1000;

/// The greatest length of a listed key or job, in characters. A longer one is cut and ends in `…`.
const LONGEST_SHOWN: usize = 1000;

/// A run that was updated later than this after now has a wrong time, and not another clock, in
/// milliseconds.
const CLOCK_TOLERANCE_MS: f64 = 3_600_000.0;

/// The contents of a store. A duplicate key counts as often as it occurs, because each occurrence
/// takes space in the file.
///
/// The bytes of an entry are those from the end of the comma or brace before it to the end of its
/// value: its key and the white space before the key are included, the comma is not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    /// The number of entries.
    pub(crate) entries: u64,
    /// The entries by [kind](session_key::kind), the largest kind first, `other` last.
    pub(crate) kinds: Vec<KindStats>,
    /// The runs of all jobs.
    pub(crate) runs: RunStats,
    /// The largest entries, the largest first.
    pub(crate) biggest_entries: Vec<EntrySize>,
    /// The jobs whose runs take the most bytes, the largest first.
    pub(crate) biggest_jobs: Vec<JobStats>,
}

/// The entries of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KindStats {
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) sum: Sum,
}

/// A number of entries and their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sum {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// The runs of all cron jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunStats {
    pub(crate) total: u64,
    pub(crate) bytes: u64,
    /// The runs that were last updated before the cutoff.
    pub(crate) expired: u64,
    pub(crate) expired_bytes: u64,
    /// The runs that never expire: their `updatedAt` is not a number, or the entry is falsy.
    pub(crate) undated: u64,
    /// The runs whose `updatedAt` is more than an hour after now.
    pub(crate) future: u64,
    /// The least `updatedAt` that is a time after 1970, in milliseconds since then.
    pub(crate) oldest_ms: Option<f64>,
    /// The greatest such `updatedAt`.
    pub(crate) newest_ms: Option<f64>,
}

/// One of the largest entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EntrySize {
    pub(crate) key: String,
    pub(crate) bytes: u64,
}

/// The runs of one cron job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct JobStats {
    pub(crate) job: String,
    #[serde(flatten)]
    pub(crate) sum: JobSum,
}

/// The number of a job's runs, and their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct JobSum {
    pub(crate) runs: u64,
    pub(crate) expired: u64,
    pub(crate) bytes: u64,
}

/// Reads the whole store and counts its contents.
///
/// A run whose `updatedAt` is less than `cutoff_ms`, in milliseconds since 1970, is expired. `now_ms` is
/// the current time, likewise. `top` is the length of the lists of entries and jobs, at most [`MOST_LISTED`]. `buffer` is the memory
/// for one read; it must not be empty. `progress` receives the number of bytes read so far.
///
/// Memory is bounded: it does not grow with the store, and with the number of jobs only up to 12 MB.
///
/// # Errors
/// As [`survey`](crate::store::survey::survey).
pub(super) fn stats<S: System>(
    store: Source<'_, S>,
    now_ms: f64,
    cutoff_ms: f64,
    top: usize,
    buffer: &mut [u8],
    mut progress: impl FnMut(u64),
) -> Result<Stats> {
    let mut counter = Counter::new(now_ms, cutoff_ms.into(), top.min(MOST_LISTED));
    let mut reading = Reading::new(store, buffer);
    while let Some(chunk) = reading.next(&mut counter)? {
        progress(chunk.end());
    }
    Ok(counter.finish())
}

/// Counts the entries of a store while it is read.
struct Counter {
    latest_ms: f64,
    expiry: Expiry,
    top: usize,
    /// The offset at which the current entry begins.
    start: u64,
    kinds: HashMap<String, Sum>,
    other: Sum,
    /// What is counted in the result itself.
    stats: Stats,
    jobs: HashMap<String, JobSum>,
    /// How much memory `jobs` uses, in bytes.
    job_memory: usize,
    /// The largest entries, with the smallest of them on top.
    largest: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }
}

impl Visitor for Counter {
    fn key(&mut self, _: Key<'_>, start: u64) {
        self.start = start;
    }

    fn entry(&mut self, entry: &Entry<'_>, end: u64) {
        let bytes = end - self.start;
        self.stats.entries += 1;
        let key = entry.key().text();
        let key = key.as_deref();
        self.add_largest(key, bytes);
        let kind = key.map_or_else(|| session_key::OTHER.into(), session_key::kind);
        self.sum_of(kind).add(bytes);
        if let Some(job) = key.and_then(session_key::job) {
            self.add_run(job, entry.updated_at(), bytes);
        }
    }
}

impl Counter {
    fn new(now_ms: f64, expiry: Expiry, top: usize) -> Self {
        Self {
            latest_ms: now_ms + CLOCK_TOLERANCE_MS,
            expiry,
            top,
            start: 0,
            kinds: HashMap::new(),
            other: Sum::default(),
            stats: Stats::default(),
            jobs: HashMap::new(),
            job_memory: 0,
            largest: BinaryHeap::new(),
        }
    }

    fn sum_of(&mut self, kind: Cow<'_, str>) -> &mut Sum {
        let is_full = self.kinds.len() >= KINDS_REMEMBERED;
        if kind == session_key::OTHER || is_full && !self.kinds.contains_key(&*kind) {
            return &mut self.other;
        }
        self.kinds.entry(kind.into_owned()).or_default()
    }

    fn add_largest(&mut self, key: Option<&str>, bytes: u64) {
        if let Some(Reverse((smallest, _))) = self.largest.peek()
            && self.largest.len() >= self.top
            && bytes < *smallest
        {
            return;
        }
        // The scanner does not remember a key this long, so only the mark of a cut is left of it.
        let name = key.map_or_else(|| "…".to_owned(), |key| shown(key.to_owned()));
        self.largest.push(Reverse((bytes, Reverse(name))));
        if self.largest.len() > self.top {
            self.largest.pop();
        }
    }

    fn add_run(&mut self, job: String, updated_at: Option<f64>, bytes: u64) {
        let job = shown(job);
        if !self.jobs.contains_key(&job) {
            self.job_memory += job.len() + JOB_OVERHEAD;
            if self.job_memory > MAX_JOB_MEMORY {
                self.forget_small_jobs();
                self.job_memory += job.len() + JOB_OVERHEAD;
            }
        }
        let job = self.jobs.entry(job).or_default();
        let runs = &mut self.stats.runs;
        job.runs += 1;
        job.bytes += bytes;
        runs.total += 1;
        runs.bytes += bytes;
        if updated_at.is_some_and(|at| self.expiry.expires(at)) {
            job.expired += 1;
            runs.expired += 1;
            runs.expired_bytes += bytes;
        }
        runs.undated += u64::from(updated_at.is_none_or(f64::is_nan));
        runs.future += u64::from(updated_at.is_some_and(|at| at > self.latest_ms));
        if let Some(at) = updated_at.filter(|at| at.is_finite() && *at > 0.0) {
            runs.oldest_ms = Some(runs.oldest_ms.map_or(at, |oldest| oldest.min(at)));
            runs.newest_ms = Some(runs.newest_ms.map_or(at, |newest| newest.max(at)));
        }
    }

    /// Keeps the larger half of the jobs. A small job whose runs come later again is then counted anew,
    /// so in a store with so many jobs the figures of small jobs are too low.
    fn forget_small_jobs(&mut self) {
        let mut sizes: Vec<u64> = self.jobs.values().map(|job| job.bytes).collect();
        let middle = sizes.len() / 2;
        let median = *sizes.select_nth_unstable(middle).1;
        let larger = sizes[middle..].iter().filter(|size| **size > median);
        let mut equal_left = sizes.len() - middle - larger.count();
        self.jobs.retain(|_, job| {
            let is_kept_equal = job.bytes == median && equal_left > 0;
            equal_left -= usize::from(is_kept_equal);
            is_kept_equal || job.bytes > median
        });
        self.job_memory = self.jobs.keys().map(|job| job.len() + JOB_OVERHEAD).sum();
    }

    fn finish(self) -> Stats {
        let mut kinds = sorted(self.kinds, |sum| sum.bytes);
        let mut other = self.other;
        for (_, sum) in kinds.split_off(MOST_KINDS.min(kinds.len())) {
            other.entries += sum.entries;
            other.bytes += sum.bytes;
        }
        if other.entries > 0 {
            kinds.push((session_key::OTHER.to_owned(), other));
        }
        let mut jobs = sorted(self.jobs, |sum| sum.bytes);
        jobs.truncate(self.top);
        let largest = self.largest.into_sorted_vec().into_iter();
        Stats {
            kinds: kinds
                .into_iter()
                .map(|(kind, sum)| KindStats { kind, sum })
                .collect(),
            biggest_entries: largest
                .map(|Reverse((bytes, Reverse(key)))| EntrySize { key, bytes })
                .collect(),
            biggest_jobs: jobs
                .into_iter()
                .map(|(job, sum)| JobStats { job, sum })
                .collect(),
            ..self.stats
        }
    }
}

/// Sorts by size, the largest first, and by name where sizes are equal, so that two inspections of
/// one store give the same list.
fn sorted<T>(counted: HashMap<String, T>, bytes: impl Fn(&T) -> u64) -> Vec<(String, T)> {
    let mut sorted = Vec::from_iter(counted);
    sorted.sort_unstable_by(|(a, x), (b, y)| bytes(y).cmp(&bytes(x)).then_with(|| a.cmp(b)));
    sorted
}

/// Cuts a text to [`LONGEST_SHOWN`] characters.
fn shown(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}
