//! What the last survey of a store found, so that an unchanged store with nothing due costs one
//! `stat`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::system::Stat;

/// What is remembered of each store. One of these per JavaScript environment.
#[derive(Debug, Default)]
pub struct SurveyCache {
    surveys: Mutex<HashMap<PathBuf, Surveyed>>,
}

#[derive(Debug, Clone, Copy)]
struct Surveyed {
    store: Stat,
    entries: u64,
    earliest_ms: f64,
    /// If a sweep wrote it: when what it replaced was written, in nanoseconds since 1970.
    derived_from: Option<i128>,
}

impl Surveyed {
    fn is_due(&self, cutoff_ms: f64) -> bool {
        self.earliest_ms < cutoff_ms
    }
}

impl SurveyCache {
    /// Nothing surveyed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Was this store surveyed before, in whatever state?
    #[must_use]
    pub fn knows(&self, path: &Path) -> bool {
        self.surveys().contains_key(path)
    }

    /// Is the store the one that was surveyed last, with nothing in it that expired before
    /// `cutoff_ms`? Then this is how many entries it has.
    #[must_use]
    pub fn nothing_due(&self, path: &Path, store: &Stat, cutoff_ms: f64) -> Option<u64> {
        self.surveys()
            .get(path)
            .filter(|surveyed| surveyed.store == *store && !surveyed.is_due(cutoff_ms))
            .map(|surveyed| surveyed.entries)
    }

    /// Remembers a survey: the store as it was when it was read, how many entries it has, and the
    /// smallest `updatedAt` of the runs in it, in milliseconds (infinite if it holds none).
    ///
    /// `changed` is when it last changed and `read_at` when reading it began. If the two are too
    /// close to tell apart, a later change could bear the same stamp, so nothing is remembered.
    pub fn remember(
        &self,
        path: &Path,
        store: &Stat,
        entries: u64,
        earliest_ms: f64,
        changed: i128,
        read_at: SystemTime,
    ) {
        let read_at = read_at
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let settled = changed + i128::try_from(granularity(changed).as_nanos()).unwrap_or(0);
        let is_settled = i128::try_from(read_at).unwrap_or(0) > settled;
        let derived_from = self.derived_from(path, store);
        self.surveys().insert(
            path.to_owned(),
            Surveyed {
                store: *store,
                derived_from,
                entries,
                // Known in any case, so that the first survey after a start is not taken to be now.
                earliest_ms: if is_settled {
                    earliest_ms
                } else {
                    f64::NEG_INFINITY
                },
            },
        );
    }

    /// Remembers that this store, which was [remembered](Self::remember) before, is what a sweep
    /// left of one that was written at `mtime`, in nanoseconds since 1970.
    pub fn is_derived(&self, path: &Path, store: &Stat, mtime: i128) {
        if let Some(surveyed) = self.surveys().get_mut(path)
            && surveyed.store == *store
        {
            surveyed.derived_from = Some(mtime);
        }
    }

    /// When the contents of this store were last written by anyone but a sweep, in nanoseconds since
    /// 1970; `None` if no sweep is known to have written it.
    #[must_use]
    pub fn derived_from(&self, path: &Path, store: &Stat) -> Option<i128> {
        let surveys = self.surveys();
        let surveyed = surveys.get(path).filter(|it| it.store == *store)?;
        surveyed.derived_from
    }

    /// Forgets a store, so that the next sweep looks at all of it as at a new one.
    pub fn forget(&self, path: &Path) {
        self.surveys().remove(path);
    }

    fn surveys(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Surveyed>> {
        // A panic elsewhere cannot leave a half-written map behind: each change is one insert.
        self.surveys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far apart two changes must be to bear different stamps for certain.
///
/// Kernels stamp files with the time of their last tick: up to 10 ms ago on Linux, 15.6 on Windows.
/// File systems that store whole seconds only (or, FAT, every second one) are recognised by the
/// missing fraction.
fn granularity(stamp: i128) -> Duration {
    if stamp % 1_000_000_000 == 0 {
        Duration::from_millis(2100)
    } else {
        Duration::from_millis(20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Kind;

    const SECOND: i128 = 1_000_000_000;

    fn store(ctime: i128) -> Stat {
        Stat {
            dev: 1,
            ino: 2,
            size: 3,
            mtime: ctime,
            ctime,
            kind: Kind::File,
            uid: 0,
            gid: 0,
        }
    }

    fn at(nanoseconds: i128) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap())
    }

    fn surveyed(ctime: i128, earliest_ms: f64, read_at: i128) -> (SurveyCache, Stat) {
        let memory = SurveyCache::new();
        let store = store(ctime);
        memory.remember(Path::new("/s"), &store, 7, earliest_ms, ctime, at(read_at));
        (memory, store)
    }

    #[test]
    fn an_unchanged_store_with_nothing_due_is_remembered() {
        let (memory, store) = surveyed(100 * SECOND + 1, 5000.0, 200 * SECOND);
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 4999.0), Some(7));
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 5000.0), Some(7));
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 5000.5), None);
        assert_eq!(memory.nothing_due(Path::new("/other"), &store, 0.0), None);
    }

    #[test]
    fn any_difference_in_the_file_counts_even_at_the_same_size_and_time() {
        let (memory, store) = surveyed(100 * SECOND + 1, f64::INFINITY, 200 * SECOND);
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 0.0), Some(7));
        let ctime = Stat {
            ctime: store.ctime + 1,
            ..store
        };
        let inode = Stat { ino: 9, ..store };
        assert_eq!(memory.nothing_due(Path::new("/s"), &ctime, 0.0), None);
        assert_eq!(memory.nothing_due(Path::new("/s"), &inode, 0.0), None);
    }

    #[test]
    fn a_store_read_within_a_tick_of_its_last_change_is_read_again() {
        let (memory, store) = surveyed(100 * SECOND + 1, f64::INFINITY, 100 * SECOND + 9_000_000);
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 0.0), None);
        assert!(memory.knows(Path::new("/s")));
    }

    #[test]
    fn whole_second_stamps_need_two_seconds() {
        let (memory, store) = surveyed(100 * SECOND, f64::INFINITY, 102 * SECOND);
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 0.0), None);
        let (memory, store) = self::surveyed(100 * SECOND, f64::INFINITY, 103 * SECOND);
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 0.0), Some(7));
    }

    #[test]
    fn a_store_from_the_future_is_never_trusted() {
        let (memory, store) = surveyed(300 * SECOND + 1, f64::INFINITY, 200 * SECOND);
        assert_eq!(memory.nothing_due(Path::new("/s"), &store, 0.0), None);
    }
}
