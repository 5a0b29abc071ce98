//! Collects the files that kept entries reference, which must not be archived.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};

use crate::error::{Result, is_missing};
use crate::gateway::js;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{
    CASE_FOLDS, EXTENSION, Folder, Transcript, file_name, is_file_stem,
};

/// How many folders [`References`] remembers. Real stores reference one. The limit bounds the memory
/// that a store can make a sweep use.
const MAX_FOLDERS: usize = 1024;

/// The session ids and files that the kept entries of a store reference.
///
/// Every kept entry of a store of any size is added, so an entry costs one 64-bit hash for its
/// session id, and a second one only if its `sessionFile` is not `<sessionId>.jsonl`. In a hash table
/// that is 10 to 21 bytes per hash, and half as much again while the table grows. Entries whose files
/// are directly in the store's folder cost no system call.
///
/// The hashes are seeded anew for each collection. If two values have the same hash, a transcript is
/// kept that could have been archived, never the reverse.
#[derive(Debug)]
pub(crate) struct References {
    folder: Folder,
    seed: RandomState,
    sessions: HashSet<u64>,
    files: HashSet<u64>,
    folders: HashMap<PathBuf, RealFolder>,
}

/// What the path of a folder resolves to.
#[derive(Debug)]
enum RealFolder {
    At(PathBuf),
    /// The folder does not exist, so no file in it does.
    Missing,
    /// The folder cannot be listed, so each file in it must be resolved separately.
    Unlistable,
}

impl References {
    /// Creates an empty collection for the store in `folder`.
    pub(crate) fn new(folder: &Folder) -> Self {
        Self {
            folder: folder.clone(),
            seed: RandomState::new(),
            sessions: HashSet::new(),
            files: HashSet::new(),
            folders: HashMap::new(),
        }
    }

    /// Adds the `sessionId` and the `sessionFile` of a kept entry, as they are in the store.
    ///
    /// Unlike in [`Folder::transcripts`], a `sessionFile` that enters the folder from outside, through
    /// a link, counts as well.
    pub(crate) fn add(&mut self, session_id: Option<&str>, session_file: Option<&str>) {
        // As in the gateway, an empty id is not an id.
        let session_id = session_id.filter(|id| !id.is_empty());
        if let Some(id) = session_id {
            self.sessions.insert(self.seed.hash_one(id));
            // Otherwise the id's hash implies `<id>.jsonl`.
            if (CASE_FOLDS || js::trim(id) != id)
                && let Some(name) = file_name(id)
            {
                self.add_path(&self.folder.named().join(name));
            }
        }
        let file = js::trim(session_file.unwrap_or_default());
        if file.is_empty() {
            return;
        }
        let Some(name) = self.folder.plain_name(file) else {
            self.add_path(&js::resolve(self.folder.real(), Path::new(file)));
            return;
        };
        let stem = name.strip_suffix(EXTENSION);
        let is_implied_by_id = stem.is_some_and(is_file_stem) && stem == session_id.map(js::trim);
        if !is_implied_by_id {
            let hash = self.hash_file(self.folder.real(), name.as_ref());
            self.files.insert(hash);
        }
    }

    /// Adds the `sessionId` of a kept entry that is not a string, and so does not name a file.
    pub(crate) fn add_non_string_id(&mut self, id: &impl Hash) {
        self.sessions.insert(self.seed.hash_one(id));
    }

    fn add_path(&mut self, path: &Path) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if !CASE_FOLDS {
            self.remember_folder(parent);
            match self.folders.get(parent) {
                Some(RealFolder::At(real)) => {
                    let hash = self.hash_file(real, name);
                    self.files.insert(hash);
                    return;
                }
                Some(RealFolder::Missing) => return,
                Some(RealFolder::Unlistable) | None => {}
            }
        }
        if let Ok(real) = fs::canonicalize(path) {
            self.files.extend(self.hash_real(&real));
        }
    }

    fn remember_folder(&mut self, folder: &Path) {
        if self.folders.contains_key(folder) || self.folders.len() >= MAX_FOLDERS {
            return;
        }
        let real = match fs::canonicalize(folder) {
            Ok(real) if fs::read_dir(&real).is_ok() => RealFolder::At(real),
            Err(error) if is_missing(&error) => RealFolder::Missing,
            _ => RealFolder::Unlistable,
        };
        self.folders.insert(folder.to_owned(), real);
    }

    fn hash_file(&self, parent: &Path, name: &OsStr) -> u64 {
        self.seed.hash_one((parent.as_os_str(), name))
    }

    fn hash_real(&self, path: &Path) -> Option<u64> {
        Some(self.hash_file(path.parent()?, path.file_name()?))
    }

    /// Returns whether a kept entry has exactly this `sessionId`, not trimmed.
    pub(crate) fn has_session(&self, session_id: &str) -> bool {
        self.sessions.contains(&self.seed.hash_one(session_id))
    }

    /// Returns whether this id was added by [`add_non_string_id`](Self::add_non_string_id).
    pub(crate) fn has_non_string_id(&self, id: &impl Hash) -> bool {
        self.sessions.contains(&self.seed.hash_one(id))
    }

    /// Returns those of `transcripts` that no kept entry references by its id or its `sessionFile`.
    /// Call it after the last entry was added.
    ///
    /// Resolves the symbolic links that entries reference. For that it lists folders, unless
    /// `transcripts` is empty.
    ///
    /// # Errors
    /// If a folder cannot be listed: as long as its links are unknown, no transcript can be archived
    /// safely.
    pub(crate) fn unreferenced(
        mut self,
        mut transcripts: Vec<Transcript>,
        listings: &mut Listings,
    ) -> Result<Vec<Transcript>> {
        if !CASE_FOLDS && !transcripts.is_empty() {
            let targets = self.link_targets(listings)?;
            self.files.extend(targets);
        }
        transcripts.retain(|transcript| !self.has_file(&transcript.path));
        Ok(transcripts)
    }

    /// Returns whether a kept entry references this file. All links in the path must be resolved.
    fn has_file(&self, path: &Path) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        self.files.contains(&self.hash_file(parent, name)) || self.has_file_of_id(parent, name)
    }

    /// Returns whether the file is `<sessionId>.jsonl` of a kept entry.
    fn has_file_of_id(&self, parent: &Path, name: &OsStr) -> bool {
        let id = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
        parent == self.folder.real()
            && id.is_some_and(|id| is_file_stem(id) && self.has_session(id))
    }

    /// Returns the hashes of the files to which referenced links lead.
    fn link_targets(&self, listings: &mut Listings) -> Result<Vec<u64>> {
        let mut folders: HashSet<&Path> = HashSet::from([self.folder.real()]);
        for folder in self.folders.values() {
            if let RealFolder::At(real) = folder {
                folders.insert(real);
            }
        }

        let mut targets = Vec::new();
        for folder in folders {
            for name in &listings.of(folder)?.links {
                let link = folder.join(name);
                // A dangling or circular link does not reference a file.
                if self.has_file(&link)
                    && let Ok(real) = fs::canonicalize(&link)
                {
                    targets.extend(self.hash_real(&real));
                }
            }
        }
        Ok(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_the_usual_session_file_costs_one_hash() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json")).unwrap();
        let mut references = References::new(&folder);
        for n in 0..10_000 {
            let id = format!("00000000-0000-4000-8000-{n:012}");
            let file = folder.named().join(format!("{id}.jsonl"));
            references.add(Some(&id), file.to_str());
        }
        assert_eq!(references.sessions.len(), 10_000);
        assert!(references.files.is_empty() && references.folders.is_empty());
    }

    #[test]
    fn the_number_of_remembered_folders_is_bounded() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json")).unwrap();
        let path = folder.real().join("last").join("x.jsonl");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let mut references = References::new(&folder);
        for n in 0..2_000 {
            references.add(None, Some(&format!("{n}/x.jsonl")));
        }
        references.add(None, Some("last/x.jsonl"));
        // No folder is remembered where case folds: each file is resolved separately.
        let remembered = if CASE_FOLDS { 0 } else { MAX_FOLDERS };
        assert_eq!(references.folders.len(), remembered);
        let transcripts = vec![Transcript { path, bytes: 0 }];
        let unreferenced = references.unreferenced(transcripts, &mut Listings::new(0.0));
        assert_eq!(unreferenced.unwrap(), []);
    }
}
