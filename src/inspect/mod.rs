//! What is in a store and in its folder, for people. Reads only: takes no lock, writes nothing.
//!
//! JavaScript gets it as JSON, in which `index.js` knows the fields by their names here.

pub mod stats;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use self::stats::Stats;
use crate::abort::Abort;
use crate::error::{Context, Result};
use crate::lock;
use crate::store::leftovers;
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::replace::Store;
use crate::system::{Kind, System};
use crate::transcripts::Tally;
use crate::transcripts::archive;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::Folder;

/// What to inspect, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The store, as an absolute path without `.` and `..`.
    pub store: &'a Path,
    /// The moment to compare with, in milliseconds since 1970.
    pub now_ms: f64,
    /// How long a run is kept after its last update, in milliseconds; `None`: for ever.
    pub retention_ms: Option<f64>,
    /// How many of the largest entries and jobs are named, at most
    /// [`MOST_LISTED`](stats::MOST_LISTED).
    pub top: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Inspection {
    /// The size of the store, in bytes.
    pub bytes: u64,
    /// What is in the store.
    pub stats: Stats,
    /// Regular files named `*.jsonl`, right in the store's folder.
    pub transcripts: Tally,
    /// Regular files named `*.deleted.<stamp>` there.
    pub archives: Tally,
    /// The stamp of the oldest archive, in milliseconds since 1970.
    pub oldest_archive_ms: Option<i64>,
    /// Temp files of the store and of its lock. Whether they are dead only a sweep can judge.
    pub temps: Tally,
    /// All other regular files in the folder but the store itself.
    pub others: Tally,
}

/// Looks at a store and its folder. `progress` is told how many bytes of the store were read and
/// how many there are.
///
/// A gateway that replaces its store meanwhile does no harm: what was opened is read to its end.
/// Files that disappear meanwhile do not count.
///
/// # Errors
/// As a sweep's; [`Error::Io`](crate::error::Error::Io) with `ENOENT` if there is no store.
///
/// ```
/// use cron_session_reaper::{abort::Abort, inspect, system::Os};
///
/// let folder = tempfile::tempdir()?;
/// let store = folder.path().join("sessions.json");
/// std::fs::write(&store, r#"{"agent:main:main": {}}"#)?;
/// std::fs::write(folder.path().join("a.jsonl"), "12345")?;
///
/// let request = inspect::Request { store: &store, now_ms: 2e9, retention_ms: Some(1e9), top: 5 };
/// let found = inspect::inspect(&Os, request, &Abort::default(), |_, _| {})?;
///
/// assert_eq!((found.bytes, found.stats.all.entries), (23, 1));
/// assert_eq!((found.transcripts.files, found.transcripts.bytes), (1, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inspect<S: System>(
    system: &S,
    request: Request<'_>,
    abort: &Abort,
    mut progress: impl FnMut(u64, u64),
) -> Result<Inspection> {
    // NaN is greater than nothing: no run is expired.
    let cutoff_ms = request
        .retention_ms
        .map_or(f64::NAN, |retention| request.now_ms - retention);
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let read = Store::read(system, request.store, |store| {
        stats::stats(
            store.source(system, abort),
            cutoff_ms,
            request.top,
            buffer.bytes(),
            |read| progress(read, store.before.size),
        )
    })?;
    let Some((store, stats)) = read else {
        // Asked once more, for the system's own words.
        let error = system.canonicalize(request.store).err();
        let error = error.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        return Err(error).context("find", request.store);
    };
    look_around(system, request.store, &store, stats, abort)
}

fn look_around<S: System>(
    system: &S,
    path: &Path,
    store: &Store<S::File>,
    stats: Stats,
    abort: &Abort,
) -> Result<Inspection> {
    let mut found = Inspection {
        bytes: store.before.size,
        stats,
        transcripts: Tally::default(),
        archives: Tally::default(),
        oldest_archive_ms: None,
        temps: Tally::default(),
        others: Tally::default(),
    };
    let folder = Folder::of(path)?;
    let folder = folder.real();
    let mut listings = Listings::new(f64::NEG_INFINITY);
    let suspects = leftovers::find(&store.path, &lock::lock_path(path)?, &mut listings)?;
    let temps: HashSet<&Path> = suspects.paths().collect();
    for temp in &temps {
        if let Some(bytes) = file_size(system, temp) {
            found.temps.add(bytes);
        }
    }
    for entry in fs::read_dir(folder).context("list", folder)? {
        abort.check()?;
        let path = entry.context("list", folder)?.path();
        if path == store.path {
            continue;
        }
        let Some(bytes) = file_size(system, &path) else {
            continue;
        };
        let name = path.file_name().unwrap_or_default();
        if let Some(stamp_ms) = archive::stamp_of(name) {
            found.archives.add(bytes);
            let oldest_ms = found.oldest_archive_ms.unwrap_or(stamp_ms);
            found.oldest_archive_ms = Some(oldest_ms.min(stamp_ms));
        } else if name.as_encoded_bytes().ends_with(b".jsonl") {
            found.transcripts.add(bytes);
        } else if !temps.contains(&*path) {
            found.others.add(bytes);
        }
    }
    Ok(found)
}

/// The size of a regular file; a link is none.
fn file_size<S: System>(system: &S, path: &Path) -> Option<u64> {
    let stat = system.stat(path).ok()?;
    (stat.kind == Kind::File).then_some(stat.size)
}
