//! Deletes files in a store's folder that no sweep deletes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::abort::Abort;
use crate::error::{Context, Error, Result, is_missing};
use crate::lock;
use crate::store::Store;
use crate::store::leftovers::{self, Mode};
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::survey::survey;
use crate::system::{Kind, System, describe, path_text};
use crate::transcripts::archive_name;

use super::class::Class;
use super::{FoundFile, StoreFolder};

/// The folder, beside a store's folder, to which the gateway moves a store that it has migrated.
const IMPORT_ARCHIVE: &str = "session-sqlite-import-archive";

/// The database, beside a store's folder, to which the gateway migrates a store.
const DATABASE: &str = "agent/openclaw-agent.sqlite";

/// What to delete in the folder of a store. The times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreeRequest<'a> {
    /// The store, as an absolute path without `.` and `..`. It need not exist.
    pub(crate) store: &'a Path,
    /// Archives made before this are deleted.
    pub(crate) archives_before_ms: Option<f64>,
    /// Resets made before this are deleted.
    pub(crate) resets_before_ms: Option<f64>,
    /// Backups made before this are deleted, unless they may be the only copy of the store.
    pub(crate) backups_before_ms: Option<f64>,
    /// Locks that no process will release are deleted and, if the store was migrated to a database, its
    /// temp files from before that. While the store exists, only a sweep deletes its temp files.
    pub(crate) dead: bool,
    /// Names of stores in the folder. They are not deleted, whatever their names are.
    pub(crate) stores: &'a [String],
    /// Names of stores in the folder. If one of them exists and cannot be read, nothing is deleted.
    pub(crate) readable: &'a [String],
    pub(crate) mode: Mode,
}

/// The files that were deleted, or would be.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Freed {
    pub(super) files: Vec<FreedFile>,
    /// One message for each file that could not be deleted.
    pub(super) failures: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FreedFile {
    pub(super) class: Class,
    #[serde(serialize_with = "as_text")]
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&path_text(path))
}

/// Deletes what the request names, or only returns it. Best effort: a file that cannot be deleted does
/// not affect the others.
///
/// # Errors
/// If the folder cannot be listed, if this user must not change it, or if one of the stores cannot be
/// read.
pub(crate) fn free<S: System>(
    system: &S,
    request: &FreeRequest<'_>,
    abort: &Abort,
) -> Result<Freed> {
    let (folder, rights) = StoreFolder::resolve(system, request.store)?;
    free_in(system, &folder, request, abort).map_err(|error| error.explained_by(&rights))
}

fn free_in<S: System>(
    system: &S,
    folder: &StoreFolder,
    request: &FreeRequest<'_>,
    abort: &Abort,
) -> Result<Freed> {
    for name in request.readable {
        check_readable(system, &request.store.with_file_name(name), abort)?;
    }
    let migrated_at = match &folder.paths {
        Some(_) => None,
        None => migrated_at(system, request.store)?,
    };
    // Without a store and a database, a backup may be the only copy of the sessions.
    let has_sessions = folder.paths.is_some() || migrated_at.is_some();
    let cutoff_ms = |class| match class {
        Class::Archives => request.archives_before_ms,
        Class::Resets => request.resets_before_ms,
        Class::Backups => request.backups_before_ms.filter(|_| has_sessions),
        _ => None,
    };
    let mut files = folder.files(system, &[], abort, |class| match class {
        Class::Locks | Class::Temps => request.dead,
        class => cutoff_ms(class).is_some(),
    })?;
    let is_store = |file: &FoundFile| request.stores.iter().any(|name| file.name == **name);
    files.retain(|file| !file.is_linked && !is_store(file));
    let is_due = |file: &FoundFile| match file.class {
        Class::Locks => lock::is_dead(system, &file.path),
        class => is_before(file, cutoff_ms(class)),
    };
    let mut freed = Freed::default();
    for file in files.iter().filter(|file| is_due(file)) {
        abort.check()?;
        freed.delete(system, request.mode, file.class, &file.path, file.stat.size);
    }
    if request.dead
        && let Some(migrated_at) = migrated_at
    {
        for (path, bytes) in superseded_temps(system, folder, &files, migrated_at)? {
            freed.delete(system, request.mode, Class::Temps, &path, bytes);
        }
    }
    Ok(freed)
}

/// Reads a store to its end. A missing store is not an error; a link that leads nowhere is one.
fn check_readable<S: System>(system: &S, path: &Path, abort: &Abort) -> Result<()> {
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let read = Store::read(system, path, |_, store| {
        // Nothing is older than that, so the survey does not stop early.
        let cutoff_ms = f64::NEG_INFINITY;
        survey(
            store.source(system, abort),
            cutoff_ms,
            buffer.bytes(),
            |_| false,
        )
    })?;
    match system.stat(path) {
        Ok(stat) if read.is_none() && stat.kind != Kind::File => {
            Err(Error::not_a_store(path, stat.kind))
        }
        _ => Ok(()),
    }
}

fn is_before(file: &FoundFile, cutoff_ms: Option<f64>) -> bool {
    cutoff_ms.is_some_and(|cutoff_ms| archive_name::is_expired(file.made_ms(), cutoff_ms))
}

/// Returns the temp files of a store that was migrated to a database afterwards.
fn superseded_temps<S: System>(
    system: &S,
    folder: &StoreFolder,
    files: &[FoundFile],
    migrated_at: i128,
) -> Result<Vec<(PathBuf, u64)>> {
    let temps = files.iter().filter(|file| file.class == Class::Temps);
    let names: Vec<String> = temps
        .filter_map(|file| file.name.to_str().map(str::to_owned))
        .collect();
    let store = folder.path.join(&folder.store);
    let lock = folder.path.join(format!("{}.lock", folder.store_name()));
    leftovers::find(&store, &lock, &names, &names, migrated_at)
        .migrated()
        .removable(system)
}

/// Returns the time up to which the database contains everything that was written to the store, in
/// nanoseconds since 1970; `None` without a database.
///
/// The database is beside the store's folder as it was named, also if that is a link to another disk.
/// The gateway moves the store that it has migrated to the import archive, with its time of last
/// modification. If that archive was removed, which gives up the way back, the database itself counts.
fn migrated_at<S: System>(system: &S, store: &Path) -> Result<Option<i128>> {
    let (Some(agent), Some(name)) = (store.parent().and_then(Path::parent), store.file_name())
    else {
        return Ok(None);
    };
    let Ok(database) = system.stat(&agent.join(DATABASE)) else {
        return Ok(None);
    };
    if database.kind != Kind::File {
        return Ok(None);
    }
    let archive = agent.join(IMPORT_ARCHIVE);
    let entries = match fs::read_dir(&archive) {
        Err(error) if is_missing(&error) => return Ok(Some(database.mtime)),
        entries => entries.context("list", &archive)?,
    };
    let prefix = format!("legacy-store.{}.imported-", name.to_string_lossy());
    let mut imported = None;
    for entry in entries {
        let name = entry.context("list", &archive)?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(&prefix))
            && let Ok(stat) = system.stat(&archive.join(&name))
        {
            imported = imported.max(Some(stat.mtime));
        }
    }
    Ok(Some(imported.unwrap_or(i128::MIN)))
}

impl Freed {
    fn delete<S: System>(&mut self, system: &S, mode: Mode, class: Class, path: &Path, bytes: u64) {
        let deleted = match mode {
            Mode::DryRun => Ok(true),
            Mode::Apply if class == Class::Locks => {
                lock::remove_dead(system, path).map_err(|error| error.to_string())
            }
            Mode::Apply => unlink(system, path),
        };
        match deleted {
            Ok(true) => self.files.push(FreedFile {
                class,
                path: path.to_owned(),
                bytes,
            }),
            Ok(false) => {}
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// Deletes a file. Returns `false` if it no longer exists.
fn unlink<S: System>(system: &S, path: &Path) -> std::result::Result<bool, String> {
    match system.unlink(path) {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(format!(
            "cannot delete {}: {}",
            path_text(path),
            describe(&error)
        )),
    }
}
