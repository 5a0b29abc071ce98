//! Folder listings. A folder can contain a hundred thousand archives, so a plan and the cleanup after it
//! share one listing of each folder.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::abort::Abort;
use crate::error::{Context, Result, is_missing};
use crate::transcripts::archive_name;
use crate::transcripts::locate::EXTENSION;

const TEMP_EXTENSION: &str = ".tmp";

/// The listings of one sweep. A folder is listed when it is first asked for.
#[derive(Debug)]
pub(crate) struct Listings {
    archive_cutoff_ms: f64,
    abort: Abort,
    pub(super) listed: HashMap<PathBuf, Arc<Listing>>,
}

/// The names in a folder that a sweep can need. All other names are left out.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Regular files that end in `.tmp`.
    pub(crate) temp_files: Vec<String>,
    /// Regular files and links that are no transcripts, archives, temp files or locks. Each can be
    /// another store.
    pub(crate) possible_stores: Vec<OsString>,
    /// Symbolic links.
    pub(crate) links: Vec<OsString>,
    /// Archives whose stamp is before the cutoff. Regular files only.
    pub(crate) expired_archives: Vec<OsString>,
}

impl Listings {
    /// Creates an empty collection. An archive expires if its stamp is before `archive_cutoff_ms`,
    /// in milliseconds since 1970. `abort` ends each listing.
    pub(crate) fn new(archive_cutoff_ms: f64, abort: &Abort) -> Self {
        Self {
            archive_cutoff_ms,
            abort: abort.clone(),
            listed: HashMap::new(),
        }
    }

    /// Makes an abort have no effect any more: the sweep is committed.
    pub(crate) fn ignore_abort(&mut self) {
        self.abort = Abort::default();
    }

    /// Returns [`Error::Aborted`](crate::error::Error::Aborted) if an abort was requested.
    pub(super) fn check_abort(&self) -> Result<()> {
        self.abort.check()
    }

    /// Returns the listing of `folder`, made when it was first asked for. The listing of a missing
    /// folder is empty.
    ///
    /// # Errors
    /// If the folder cannot be listed, or if an abort was requested.
    pub(crate) fn of(&mut self, folder: &Path) -> Result<Arc<Listing>> {
        let listing = match self.listed.entry(folder.to_owned()) {
            Entry::Occupied(listed) => listed.into_mut(),
            Entry::Vacant(vacant) => {
                let listing = list(folder, self.archive_cutoff_ms, &self.abort)?;
                vacant.insert(Arc::new(listing))
            }
        };
        Ok(Arc::clone(listing))
    }

    /// Returns the listing of the folder that contains `file`.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub(crate) fn beside(&mut self, file: &Path) -> Result<Arc<Listing>> {
        self.of(file.parent().unwrap_or(file))
    }
}

fn list(folder: &Path, archive_cutoff_ms: f64, abort: &Abort) -> Result<Listing> {
    let mut listing = Listing::default();
    let entries = match fs::read_dir(folder) {
        Err(error) if is_missing(&error) => return Ok(listing),
        entries => entries.context("list", folder)?,
    };
    for entry in entries {
        abort.check()?;
        let entry = entry.context("list", folder)?;
        let name = entry.file_name();
        // On all common file systems this is part of the listing and needs no further system call.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_symlink() {
            if may_be_store(&name) {
                listing.possible_stores.push(name.clone());
            }
            listing.links.push(name);
        } else if kind.is_file() {
            listing.add_file(name, archive_cutoff_ms);
        }
    }
    Ok(listing)
}

impl Listing {
    fn add_file(&mut self, name: OsString, archive_cutoff_ms: f64) {
        if is_expired_archive(&name, archive_cutoff_ms) {
            self.expired_archives.push(name);
        } else if may_be_store(&name) {
            self.possible_stores.push(name);
        } else if let Some(name) = name.to_str().filter(|it| it.ends_with(TEMP_EXTENSION)) {
            self.temp_files.push(name.to_owned());
        }
    }
}

fn may_be_store(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let ends_with = |end: &str| name.ends_with(end.as_bytes());
    let is_transcript = ends_with(EXTENSION) || name.windows(7).any(|it| it == b".jsonl.");
    !(is_transcript || ends_with(TEMP_EXTENSION) || ends_with(".lock"))
}

fn is_expired_archive(name: &OsStr, cutoff_ms: f64) -> bool {
    archive_name::stamp_of(name)
        .is_some_and(|stamp_ms| archive_name::is_expired(stamp_ms, cutoff_ms))
}
