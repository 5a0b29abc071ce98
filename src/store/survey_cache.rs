//! What the last survey of a store found, so that sweeping an unchanged store with nothing expired
//! costs one `stat`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::system::Stat;

/// The last survey of each store. Each JavaScript environment has its own cache. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SurveyCache {
    surveys: Arc<Mutex<HashMap<PathBuf, Surveyed>>>,
}

#[derive(Debug, Clone, Copy)]
struct Surveyed {
    store: Stat,
    entries: u64,
    earliest_ms: f64,
    /// If a sweep wrote the store: when the store that it replaced was written, in nanoseconds since
    /// 1970.
    derived_from: Option<i128>,
}

impl SurveyCache {
    /// Returns an empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether the store at this path was surveyed before, in whatever state.
    #[must_use]
    pub fn knows(&self, path: &Path) -> bool {
        self.surveys().contains_key(path)
    }

    /// Returns how many entries the store has, if it is the one that was surveyed last and none of
    /// its runs was last updated before `cutoff_ms`, in milliseconds since 1970.
    #[must_use]
    pub fn nothing_due(&self, path: &Path, store: &Stat, cutoff_ms: f64) -> Option<u64> {
        let surveys = self.surveys();
        let surveyed = surveys.get(path).filter(|it| it.store == *store)?;
        (surveyed.earliest_ms >= cutoff_ms).then_some(surveyed.entries)
    }

    /// Remembers a survey: the store's attributes before it was read, how many entries it has, and
    /// the smallest `updatedAt` of its runs, in milliseconds (infinite without runs).
    ///
    /// `changed` is when the store last changed, in nanoseconds since 1970, and `read_at` when
    /// reading it began. If they are too close together, a later change could have the same time
    /// stamp, so the store is read again by the next sweep.
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
                // Remembered in any case, so that the store is known.
                earliest_ms: if is_settled {
                    earliest_ms
                } else {
                    f64::NEG_INFINITY
                },
            },
        );
    }

    /// Remembers that this store, [remembered](Self::remember) before, was written by a sweep and
    /// replaced a store that was written at `mtime`, in nanoseconds since 1970.
    pub fn mark_derived(&self, path: &Path, store: &Stat, mtime: i128) {
        if let Some(surveyed) = self.surveys().get_mut(path)
            && surveyed.store == *store
        {
            surveyed.derived_from = Some(mtime);
        }
    }

    /// Returns when the contents of this store were last written by any process but a sweep, in
    /// nanoseconds since 1970; `None` if no sweep is known to have written it.
    #[must_use]
    pub fn derived_from(&self, path: &Path, store: &Stat) -> Option<i128> {
        let surveys = self.surveys();
        let surveyed = surveys.get(path).filter(|it| it.store == *store)?;
        surveyed.derived_from
    }

    /// Forgets a store: the next sweep treats it as a store that it sees for the first time.
    pub fn forget(&self, path: &Path) {
        self.surveys().remove(path);
    }

    fn surveys(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Surveyed>> {
        // A panic elsewhere cannot leave a half-written map: each change is one insert.
        self.surveys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how far apart two changes must be to have different time stamps for certain.
///
/// Kernels use the time of their last tick: up to 10 ms ago on Linux, 15.6 ms on Windows. File
/// systems that store whole seconds (FAT: every second one) are recognised by the missing fraction.
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
        let cache = SurveyCache::new();
        let store = store(ctime);
        cache.remember(Path::new("/s"), &store, 7, earliest_ms, ctime, at(read_at));
        (cache, store)
    }

    #[test]
    fn an_unchanged_store_with_nothing_due_is_found() {
        let (cache, store) = surveyed(100 * SECOND + 1, 5000.0, 200 * SECOND);
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 4999.0), Some(7));
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 5000.0), Some(7));
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 5000.5), None);
        assert_eq!(cache.nothing_due(Path::new("/other"), &store, 0.0), None);
    }

    #[test]
    fn a_store_with_another_inode_or_change_time_is_read_again() {
        let (cache, store) = surveyed(100 * SECOND + 1, f64::INFINITY, 200 * SECOND);
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 0.0), Some(7));
        let ctime = Stat {
            ctime: store.ctime + 1,
            ..store
        };
        let inode = Stat { ino: 9, ..store };
        assert_eq!(cache.nothing_due(Path::new("/s"), &ctime, 0.0), None);
        assert_eq!(cache.nothing_due(Path::new("/s"), &inode, 0.0), None);
    }

    #[test]
    fn a_store_read_within_a_tick_of_its_last_change_is_read_again() {
        let (cache, store) = surveyed(100 * SECOND + 1, f64::INFINITY, 100 * SECOND + 9_000_000);
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 0.0), None);
        assert!(cache.knows(Path::new("/s")));
    }

    #[test]
    fn a_time_stamp_of_whole_seconds_settles_after_two_seconds() {
        let (cache, store) = surveyed(100 * SECOND, f64::INFINITY, 102 * SECOND);
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 0.0), None);
        let (cache, store) = self::surveyed(100 * SECOND, f64::INFINITY, 103 * SECOND);
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 0.0), Some(7));
    }

    #[test]
    fn a_store_from_the_future_is_read_again() {
        let (cache, store) = surveyed(300 * SECOND + 1, f64::INFINITY, 200 * SECOND);
        assert_eq!(cache.nothing_due(Path::new("/s"), &store, 0.0), None);
    }
}
