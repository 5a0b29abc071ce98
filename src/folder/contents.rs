//! Counts the files in a store's folder by class.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::abort::Abort;
use crate::error::{Error, Result};
use crate::lock;
use crate::store::reading::{Buffer, READ_AT_ONCE, Source, read_to_end};
use crate::store::scan::{Entry, Visitor};
use crate::system::System;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::Folder;
use crate::transcripts::outside::OutsideLookups;
use crate::transcripts::references::References;

use super::class::Class;
use super::{FoundFile, StoreFolder};

/// The files in a store's folder, without the store and without subfolders.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FolderContents {
    pub(super) classes: Vec<ClassFigures>,
}

/// The files of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassFigures {
    pub(super) class: Class,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// When the oldest was made, in milliseconds since 1970.
    pub(super) oldest_ms: i64,
}

/// Counts the files in the folder of the store at `store`, an absolute path without `.` and `..`, by
/// class. The store need not exist. `others` are the names of other stores in the folder: they are not
/// counted, and their backups and temp files have these classes. Only reads: takes no lock and writes
/// nothing.
///
/// A transcript is an orphan if no entry of a store in the folder names it; backups do not count as
/// stores. If a store cannot be read, no transcript is an orphan.
///
/// # Errors
/// If the folder cannot be listed, or if this user must not access it.
pub(crate) fn contents<S: System>(
    system: &S,
    store: &Path,
    others: &[String],
    abort: &Abort,
) -> Result<FolderContents> {
    let (folder, rights) = StoreFolder::resolve(system, store)?;
    count(system, &folder, others, abort).map_err(|error| error.explained_by(&rights))
}

fn count<S: System>(
    system: &S,
    folder: &StoreFolder,
    others: &[String],
    abort: &Abort,
) -> Result<FolderContents> {
    let mut files = folder.files(system, others, abort, |_| true)?;
    let orphans = orphans(system, folder, others, &files, abort)?;
    for file in &mut files {
        if orphans.contains(&file.path) {
            file.class = Class::Orphans;
        }
        if file.class == Class::Locks && !lock::is_dead(system, &file.path) {
            file.class = Class::Others;
        }
    }
    let mut classes: BTreeMap<Class, ClassFigures> = BTreeMap::new();
    for file in files {
        let class = file.class;
        let figures = classes.entry(class).or_insert(ClassFigures {
            class,
            files: 0,
            bytes: 0,
            oldest_ms: i64::MAX,
        });
        figures.files += 1;
        figures.bytes += file.stat.size;
        figures.oldest_ms = figures.oldest_ms.min(file.made_ms());
    }
    Ok(FolderContents {
        classes: classes.into_values().collect(),
    })
}

/// Returns the transcripts that no entry names.
fn orphans<S: System>(
    system: &S,
    folder: &StoreFolder,
    stores: &[String],
    files: &[FoundFile],
    abort: &Abort,
) -> Result<HashSet<PathBuf>> {
    let Some(paths) = &folder.paths else {
        return Ok(HashSet::new());
    };
    let own = [folder.path.join(&folder.store), paths.real.clone()];
    let named = paths.named.parent().unwrap_or(&paths.named).to_owned();
    let transcripts_in = Folder::new(named, folder.path.clone(), own);
    let lookups = OutsideLookups::new();
    let transcripts: Vec<_> = files
        .iter()
        .filter(|file| file.class == Class::Transcripts)
        .filter_map(|file| file.name.to_str())
        .flat_map(|name| transcripts_in.transcripts(system, &lookups, None, Some(name)))
        .collect();
    if transcripts.is_empty() {
        return Ok(HashSet::new());
    }
    let is_store =
        |file: &&FoundFile| Path::new(&file.name).extension() == Some(OsStr::new("json"));
    let others = files.iter().filter(is_store).map(|file| &*file.path);
    let mut references = References::new(system, &transcripts_in);
    let mut buffer = Buffer::new(READ_AT_ONCE);
    let stores = stores.iter().map(|name| folder.path.join(name));
    for store in stores.chain([paths.real.clone()]) {
        if !add_entries(system, &store, &mut references, &mut buffer, abort)? {
            return Ok(HashSet::new());
        }
    }
    for other in others {
        // A file that is not a store names no transcript.
        add_entries(system, other, &mut references, &mut buffer, abort)?;
    }
    // Without a cutoff, because the listing is only needed for its links.
    let mut listings = Listings::new(f64::NEG_INFINITY, abort);
    let orphans = references.unreferenced(transcripts, &mut listings, &lookups)?;
    Ok(orphans.into_iter().map(|it| it.path).collect())
}

/// Adds the entries of a store. Returns whether it could be read to its end.
fn add_entries<S: System>(
    system: &S,
    path: &Path,
    references: &mut References<'_, S>,
    buffer: &mut Buffer,
    abort: &Abort,
) -> Result<bool> {
    let Ok(file) = system.open_no_follow(path) else {
        return Ok(false);
    };
    let source = Source {
        system,
        file: &file,
        path,
        abort,
    };
    match read_to_end(source, buffer.bytes(), &mut Entries { references }) {
        Err(Error::Aborted) => Err(Error::Aborted),
        read => Ok(read.is_ok()),
    }
}

struct Entries<'r, 's, S: System> {
    references: &'r mut References<'s, S>,
}

impl<S: System> Visitor for Entries<'_, '_, S> {
    fn entry(&mut self, entry: &Entry<'_>, _: u64) {
        let file = entry.session_file();
        self.references
            .add(entry.session_id().text(), file.as_deref());
    }
}
