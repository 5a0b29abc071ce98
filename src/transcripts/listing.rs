//! What a sweep looks for in folders. A folder may hold a hundred thousand archives, so a sweep
//! lists each at most once, however many rooms ask.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result, is_missing};
use crate::transcripts::archive;

/// The listings of one sweep, made as they are asked for.
#[derive(Debug)]
pub struct Listings {
    archive_cutoff_ms: f64,
    listed: HashMap<PathBuf, Listing>,
}

/// The names of what may matter in a folder; what else is there is passed over.
#[derive(Debug, Default)]
pub struct Listing {
    /// Regular files that end in `.tmp`.
    pub temps: Vec<String>,
    /// Symbolic links.
    pub links: Vec<OsString>,
    /// Regular files that are archives from before the cutoff.
    pub old_archives: Vec<OsString>,
}

impl Listings {
    /// Nothing listed yet. Archives from before `archive_cutoff_ms`, in milliseconds since 1970,
    /// are old.
    #[must_use]
    pub fn new(archive_cutoff_ms: f64) -> Self {
        Self {
            archive_cutoff_ms,
            listed: HashMap::new(),
        }
    }

    /// What there was in `folder` when it was first asked for. A missing folder has nothing.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cron_session_reaper::transcripts::listing::Listings;
    ///
    /// let sessions = tempfile::tempdir()?;
    /// std::fs::write(sessions.path().join("a.jsonl.deleted.2026-03-01T12-00-00.000Z"), "")?;
    ///
    /// let mut listings = Listings::new(1_772_366_400_000.5);
    /// assert_eq!(listings.of(sessions.path())?.old_archives.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn of(&mut self, folder: &Path) -> Result<&Listing> {
        Ok(match self.listed.entry(folder.to_owned()) {
            Entry::Occupied(listed) => listed.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(list(folder, self.archive_cutoff_ms)?),
        })
    }
}

fn list(folder: &Path, archive_cutoff_ms: f64) -> Result<Listing> {
    let mut listing = Listing::default();
    let entries = match fs::read_dir(folder) {
        Err(error) if is_missing(&error) => return Ok(listing),
        entries => entries.context("list", folder)?,
    };
    for entry in entries {
        let entry = entry.context("list", folder)?;
        let name = entry.file_name();
        // The listing itself tells the kind on every common file system: no stat for each.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_symlink() {
            listing.links.push(name);
        } else if kind.is_file() {
            listing.file(name, archive_cutoff_ms);
        }
    }
    Ok(listing)
}

impl Listing {
    fn file(&mut self, name: OsString, archive_cutoff_ms: f64) {
        if is_old_archive(&name, archive_cutoff_ms) {
            self.old_archives.push(name);
        } else if let Some(name) = name.to_str()
            && Path::new(name).extension() == Some(OsStr::new("tmp"))
        {
            self.temps.push(name.to_owned());
        }
    }
}

fn is_old_archive(name: &OsStr, cutoff_ms: f64) -> bool {
    archive::stamp_of(name).is_some_and(|stamp_ms| archive::is_expired(stamp_ms, cutoff_ms))
}
