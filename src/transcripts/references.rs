//! Collects the files that kept entries reference, which must not be archived.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::hash::{BuildHasher, Hash};
use std::path::Path;

use crate::error::Result;
use crate::gateway::js;
use crate::system::System;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{
    CASE_FOLDS, EXTENSION, FileId, Folder, Place, Transcript, file_id, file_name, is_file_stem,
};

/// The session ids and files that the kept entries of a store reference.
///
/// Every kept entry of a store of any size is added, so an entry costs one 64-bit hash, of its session
/// id. It costs up to two more if its `sessionFile` is not `<sessionId>.jsonl`, or where case folds: of
/// the file's path, and of its device and inode. In a hash table that is 10 to 21 bytes per hash, and
/// half as much again while the table grows. An entry whose file is directly in the store's folder costs
/// no system call, another one one `stat`.
///
/// The hashes are seeded anew for each collection. If two values have the same hash, a transcript is
/// kept that could have been archived, never the reverse.
#[derive(Debug)]
pub(crate) struct References<'s, S> {
    system: &'s S,
    folder: Folder,
    seed: RandomState,
    sessions: HashSet<u64>,
    files: HashSet<u64>,
}

impl<'s, S: System> References<'s, S> {
    /// Creates an empty collection for the store in `folder`.
    pub(crate) fn new(system: &'s S, folder: &Folder) -> Self {
        Self {
            system,
            folder: folder.clone(),
            seed: RandomState::new(),
            sessions: HashSet::new(),
            files: HashSet::new(),
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
                self.add_name(name.as_ref());
            }
        }
        let file = js::trim(session_file.unwrap_or_default());
        if file.is_empty() {
            return;
        }
        match self.folder.place(file) {
            Place::Directly(name) if is_implied(&name, session_id) => {}
            Place::Directly(name) => self.add_name(&name),
            Place::Below(path) => self.add_path(&path),
            Place::Outside(path) => self.add_target(&path),
        }
    }

    /// Adds the `sessionId` of a kept entry that is not a string, and so does not name a file.
    pub(crate) fn add_non_string_id(&mut self, id: &impl Hash) {
        self.sessions.insert(self.seed.hash_one(id));
    }

    /// Adds a file directly in the folder. If it is a link, its target is added at the end.
    fn add_name(&mut self, name: &OsStr) {
        self.files.insert(self.hash_path(self.folder.real(), name));
        if CASE_FOLDS {
            self.add_target(&self.folder.real().join(name));
        }
    }

    /// Adds a path below the folder, and the file to which it leads now.
    fn add_path(&mut self, path: &Path) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.files.insert(self.hash_path(parent, name));
        }
        self.add_target(path);
    }

    /// Adds the file to which a path leads now.
    fn add_target(&mut self, path: &Path) {
        // One call that follows all links. Resolving the path to another one would read each folder on
        // the way from the root, which is quadratic in the depth.
        if let Ok(stat) = self.system.stat_following(path)
            && let Some(id) = file_id(&stat)
        {
            self.files.insert(self.seed.hash_one(id));
        }
    }

    fn hash_path(&self, parent: &Path, name: &OsStr) -> u64 {
        self.seed.hash_one((parent.as_os_str(), name))
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
    /// Lists the folder for the symbolic links in it that entries reference, unless `transcripts` is
    /// empty.
    ///
    /// # Errors
    /// If the folder cannot be listed: as long as its links are unknown, no transcript can be archived
    /// safely.
    pub(crate) fn unreferenced(
        mut self,
        mut transcripts: Vec<Transcript>,
        listings: &mut Listings,
    ) -> Result<Vec<Transcript>> {
        if !transcripts.is_empty() {
            self.add_link_targets(listings)?;
        }
        transcripts.retain(|transcript| !self.has(transcript));
        Ok(transcripts)
    }

    /// Adds the files to which referenced links in the folder lead.
    fn add_link_targets(&mut self, listings: &mut Listings) -> Result<()> {
        let listing = listings.of(self.folder.real())?;
        let links = listing.links.iter().filter(|name| self.has_name(name));
        let links: Vec<_> = links.map(|name| self.folder.real().join(name)).collect();
        for link in links {
            self.add_target(&link);
        }
        Ok(())
    }

    /// Returns whether a kept entry references this file.
    fn has(&self, transcript: &Transcript) -> bool {
        let (Some(parent), Some(name)) = (transcript.path.parent(), transcript.path.file_name())
        else {
            return false;
        };
        self.files.contains(&self.seed.hash_one(transcript.id))
            || self.files.contains(&self.hash_path(parent, name))
            || self.has_name(name) && self.is_in_folder(parent, name, transcript.id)
    }

    /// Returns whether a kept entry references the file of this name directly in the folder.
    fn has_name(&self, name: &OsStr) -> bool {
        let id = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
        let is_id = id.is_some_and(|id| is_file_stem(id) && self.has_session(id));
        is_id
            || self
                .files
                .contains(&self.hash_path(self.folder.real(), name))
    }

    /// Returns whether a file is the one of its name directly in the folder, even if its path is that
    /// of a bind mount below the folder.
    fn is_in_folder(&self, parent: &Path, name: &OsStr, id: FileId) -> bool {
        let folder = self.folder.real();
        let is_same = || {
            let stat = self.system.stat(&folder.join(name));
            stat.is_ok_and(|stat| file_id(&stat) == Some(id))
        };
        parent == folder || is_same()
    }
}

/// Returns whether the name is `<sessionId>.jsonl`.
fn is_implied(name: &OsStr, session_id: Option<&str>) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
    stem.is_some_and(is_file_stem) && stem == session_id.map(js::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Os;

    #[test]
    fn an_entry_with_the_usual_session_file_costs_one_hash() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json")).unwrap();
        let mut references = References::new(&Os, &folder);
        for n in 0..10_000 {
            let id = format!("00000000-0000-4000-8000-{n:012}");
            let file = folder.named.join(format!("{id}.jsonl"));
            references.add(Some(&id), file.to_str());
        }
        assert_eq!(references.sessions.len(), 10_000);
        // Where case folds, a name is added for each id.
        let names = if CASE_FOLDS { 10_000 } else { 0 };
        assert_eq!(references.files.len(), names);
    }
}
