//! Reports what a store and its folder contain. Only reads: takes no lock and writes nothing.

mod stats;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use self::stats::Stats;
use crate::abort::Abort;
use crate::error::{Context, Error, Result};
use crate::store::leftovers::TempName;
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::{self, Store, StorePaths};
use crate::system::{Kind, System};
use crate::transcripts::Tally;
use crate::transcripts::archive_name;

/// What to inspect, and by which rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InspectOptions<'a> {
    /// The store, as an absolute path without `.` and `..`.
    pub(crate) store: &'a Path,
    /// The current time, in milliseconds since 1970.
    pub(crate) now_ms: f64,
    /// How long a run is kept after its last update, in milliseconds; `None` means for ever.
    pub(crate) retention_ms: Option<f64>,
    /// The length of the lists of the largest entries and jobs. `stats` limits it.
    pub(crate) top: usize,
}

/// The contents of a store and of its folder: the `StoreInspection` of `index.d.ts`, which
/// JavaScript receives as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inspection {
    /// The size of the store, in bytes.
    bytes: u64,
    #[serde(flatten)]
    stats: Stats,
    #[serde(flatten)]
    files: FolderFiles,
}

/// The regular files in a store's folder, by their names. Subfolders are not searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct FolderFiles {
    /// `*.jsonl`.
    transcripts: Tally,
    /// `*.deleted.<stamp>`.
    archives: Archives,
    /// Temp files of the store and of its lock. Only a sweep decides which of them are left over.
    temps: Tally,
    /// All other files but the store.
    others: Tally,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Archives {
    #[serde(flatten)]
    tally: Tally,
    /// The earliest stamp, in milliseconds since 1970.
    oldest_ms: Option<i64>,
}

/// Inspects a store and its folder. `progress` receives the number of bytes of the store that were
/// read so far, and the size of the store.
///
/// If the store is replaced while it is read, the result is that for the old file, which is open.
/// If it is written in place, it is read again. Files that disappear before they are examined do
/// not count.
///
/// # Errors
/// As a sweep's; [`Error::Io`](crate::error::Error::Io) with `ENOENT` if the store is missing.
pub(crate) fn inspect<S: System>(
    system: &S,
    options: InspectOptions<'_>,
    abort: &Abort,
    progress: impl FnMut(u64, u64),
) -> Result<Inspection> {
    store::with_rights(system, options.store, || {
        read_and_count(system, options, abort, progress)
    })
}

fn read_and_count<S: System>(
    system: &S,
    options: InspectOptions<'_>,
    abort: &Abort,
    mut progress: impl FnMut(u64, u64),
) -> Result<Inspection> {
    // Nothing is less than NaN, so no run is expired.
    let cutoff_ms = options
        .retention_ms
        .map_or(f64::NAN, |retention| options.now_ms - retention);
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let read = Store::read(system, options.store, |_, store| {
        stats::stats(
            store.source(system, abort),
            options.now_ms,
            cutoff_ms,
            options.top,
            buffer.bytes(),
            |read| progress(read, store.before.size),
        )
    })?;
    let Some((paths, store, stats)) = read else {
        return Err(missing_store(system, options.store));
    };
    Ok(Inspection {
        bytes: store.before.size,
        stats,
        files: count_files(system, &paths, abort)?,
    })
}

/// Returns the operating system's own error for a store that does not exist.
fn missing_store<S: System>(system: &S, store: &Path) -> Error {
    let source = system.canonicalize(store).err();
    Error::Io {
        operation: "find",
        path: store.to_owned(),
        // The store may have been created in between.
        source: source.unwrap_or_else(|| io::ErrorKind::NotFound.into()),
    }
}

/// Counts the files in the store's folder. If the store is a link, its temp files are beside its
/// target; all other files, those of its lock included, are beside the link.
fn count_files<S: System>(system: &S, paths: &StorePaths, abort: &Abort) -> Result<FolderFiles> {
    let is_store_temp = |name: &OsStr| is_temp(TempName::of_store, &paths.real, name);
    let is_lock_temp = |name: &OsStr| is_temp(TempName::of_lock, &paths.lock, name);
    let target = paths.real.parent().filter(|it| *it != paths.folder);

    let mut files = FolderFiles::default();
    for_each_file(system, &paths.folder, abort, |path, name, bytes| {
        if path == paths.real {
            return;
        }
        if let Some(stamp_ms) = archive_name::stamp_of(name) {
            files.archives.add(stamp_ms, bytes);
        } else if name.as_encoded_bytes().ends_with(b".jsonl") {
            files.transcripts.add(bytes);
        } else if is_lock_temp(name) || target.is_none() && is_store_temp(name) {
            files.temps.add(bytes);
        } else {
            files.others.add(bytes);
        }
    })?;
    if let Some(target) = target {
        for_each_file(system, target, abort, |_, name, bytes| {
            if is_store_temp(name) {
                files.temps.add(bytes);
            }
        })?;
    }
    Ok(files)
}

/// Returns whether `name` is that of a temp file of `file`. `parse` receives the names of both.
fn is_temp(parse: fn(&str, &str) -> Option<TempName>, file: &Path, name: &OsStr) -> bool {
    let names = file.file_name().and_then(OsStr::to_str).zip(name.to_str());
    names.is_some_and(|(file, name)| parse(file, name).is_some())
}

impl Archives {
    fn add(&mut self, stamp_ms: i64, bytes: u64) {
        self.tally.add(bytes);
        let oldest_ms = self.oldest_ms.unwrap_or(stamp_ms);
        self.oldest_ms = Some(oldest_ms.min(stamp_ms));
    }
}

/// Calls `visit` with the path, the name and the size of each regular file in a folder.
fn for_each_file<S: System>(
    system: &S,
    folder: &Path,
    abort: &Abort,
    mut visit: impl FnMut(&Path, &OsStr, u64),
) -> Result<()> {
    for entry in fs::read_dir(folder).context("list", folder)? {
        abort.check()?;
        let entry = entry.context("list", folder)?;
        let path = entry.path();
        if let Some(bytes) = file_size(system, &path) {
            visit(&path, &entry.file_name(), bytes);
        }
    }
    Ok(())
}

/// Returns the size of a regular file, in bytes; `None` for anything else, links included.
fn file_size<S: System>(system: &S, path: &Path) -> Option<u64> {
    let stat = system.stat(path).ok()?;
    (stat.kind == Kind::File).then_some(stat.size)
}
