//! Collects the files that kept entries reference, which must not be archived.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};

use crate::error::{Result, is_missing};
use crate::gateway::js;
use crate::system::{Stat, System};
use crate::transcripts::hashes::Hashes;
use crate::transcripts::links::Target;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{
    CASE_FOLDS, EXTENSION, FileId, Folder, MAX_DEPTH, MAX_REMEMBERED, Place, Transcript, file_id,
    file_name, is_file_stem,
};
use crate::transcripts::outside::OutsideLookups;

/// How many `sessionFile`s in subfolders are remembered.
const MAX_RECENT: usize = 1024;

/// How much memory paths outside the folder can use. Real stores have none, or one per entry if the
/// store was moved: enough for about 7,000 of them.
const MAX_OUTSIDE_BYTES: usize = 1 << 20;

/// The session ids and files that the kept entries of a store reference.
///
/// Every kept entry of a store of any size is added, so an entry costs one hash in a set of bounded size,
/// of its session id. It costs up to two more if its `sessionFile` is not `<sessionId>.jsonl`, or where
/// case folds: of the file's path, and of its device and inode. An entry whose file is directly in the
/// store's folder costs no system call, one whose file is in a subfolder one `stat` of the file and of each
/// subfolder that is not known yet. Links are followed as long as they lead to paths inside the folder.
///
/// A path outside the folder is only remembered, because a system call on it can block for ever: the
/// first mebibyte of such paths as they are, all further ones as a hash of their names.
///
/// The hashes are seeded anew for each collection. If two values have the same hash, or if a set of many
/// hashes seems to contain one more, a transcript is kept that could have been archived, never the
/// reverse.
#[derive(Debug)]
pub(crate) struct References<'s, S> {
    system: &'s S,
    folder: Folder,
    seed: RandomState,
    sessions: Hashes,
    files: Hashes,
    outside: HashSet<PathBuf>,
    outside_bytes: usize,
    /// The last `sessionFile`s in subfolders. A file that many entries name is examined once.
    recent: HashSet<String>,
    /// Hashes of the names of files outside the folder that are not accessed. Each can be an alias of the
    /// transcript of that name.
    possible_aliases: Hashes,
}

impl<'s, S: System> References<'s, S> {
    /// Creates an empty collection for the store in `folder`.
    pub(crate) fn new(system: &'s S, folder: &Folder) -> Self {
        Self {
            system,
            folder: folder.clone(),
            seed: RandomState::new(),
            sessions: Hashes::default(),
            files: Hashes::default(),
            outside: HashSet::new(),
            outside_bytes: 0,
            recent: HashSet::new(),
            possible_aliases: Hashes::default(),
        }
    }

    /// Returns whether nothing was added that can name a file.
    pub(crate) fn is_empty(&self) -> bool {
        let mut sets = [&self.sessions, &self.files, &self.possible_aliases].into_iter();
        sets.all(Hashes::is_empty) && self.outside.is_empty()
    }

    /// Adds the `sessionId` and the `sessionFile` of a kept entry, as they are in the store.
    pub(crate) fn add(&mut self, session_id: Option<&str>, session_file: Option<&str>) {
        // As in the gateway, an empty id is not an id.
        let session_id = session_id.filter(|id| !id.is_empty());
        if let Some(id) = session_id {
            self.sessions.insert(self.hash_id(id));
            // Otherwise the id's hash implies `<id>.jsonl`.
            if (CASE_FOLDS || js::trim(id) != id)
                && let Some(name) = file_name(id)
            {
                self.add_name(name.as_ref());
            }
        }
        let file = js::trim(session_file.unwrap_or_default());
        if file.is_empty() || self.recent.contains(file) {
            return;
        }
        match self.folder.place(file) {
            Place::Directly(name) if is_implied(&name, session_id) => {}
            Place::Directly(name) => self.add_name(&name),
            Place::Below(path) => {
                self.add_path(&path);
                if self.recent.len() >= MAX_RECENT {
                    self.recent.clear();
                }
                if file.len() <= MAX_REMEMBERED {
                    self.recent.insert(file.to_owned());
                }
            }
            Place::Outside(path) => self.add_outside(path),
        }
    }

    /// Adds the `sessionId` of a kept entry that is not a string, and so does not name a file.
    pub(crate) fn add_non_string_id(&mut self, id: &impl Hash) {
        self.sessions.insert(self.hash_id(id));
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
        if self.folder.depth(path) <= MAX_DEPTH {
            self.add_target(path);
        }
    }

    /// Adds a path outside the folder, which is not accessed before the end.
    fn add_outside(&mut self, path: PathBuf) {
        let bytes = size_of::<PathBuf>() + path.as_os_str().len();
        if self.outside_bytes + bytes > MAX_OUTSIDE_BYTES {
            self.add_possible_alias(&path);
        } else if self.outside.insert(path) {
            self.outside_bytes += bytes;
        }
    }

    fn add_possible_alias(&mut self, path: &Path) {
        if let Some(name) = path.file_name() {
            self.possible_aliases.insert(self.hash_name(name));
        }
    }

    /// Adds the file to which a path leads now, without accessing anything outside the folder.
    fn add_target(&mut self, path: &Path) {
        match self.folder.follow(self.system, path) {
            Ok(Target::Inside { stat, .. }) => self.add_file(&stat),
            Ok(Target::Outside(path)) => self.add_outside(path),
            Err(_) => {}
        }
    }

    fn add_file(&mut self, stat: &Stat) {
        if let Some(id) = file_id(stat) {
            self.files.insert(self.seed.hash_one(id));
        }
    }

    fn hash_path(&self, parent: &Path, name: &OsStr) -> u64 {
        self.seed.hash_one((parent.as_os_str(), name))
    }

    /// Hashes a file name so that names that can name the same file have the same hash.
    fn hash_name(&self, name: &OsStr) -> u64 {
        if CASE_FOLDS {
            return self.seed.hash_one(name.to_string_lossy().to_lowercase());
        }
        self.seed.hash_one(name)
    }

    /// Returns the hash of a session id: of the text itself, not trimmed, or of any other value. Its
    /// lowest bit is 0 and free for the caller.
    pub(crate) fn hash_id(&self, id: &(impl Hash + ?Sized)) -> u64 {
        self.seed.hash_one(id) & !1
    }

    /// Returns whether a kept entry has the session id with this [hash](Self::hash_id).
    pub(crate) fn has_id(&self, hash: u64) -> bool {
        self.sessions.contains(hash)
    }

    /// Returns those of `transcripts` that no kept entry references by its id or its `sessionFile`.
    /// Call it after the last entry was added.
    ///
    /// Lists the folder for the symbolic links in it that entries reference, and accesses referenced
    /// paths outside the folder that have the name of one of the `transcripts`. A path that `lookups`
    /// does not allow counts as a reference to that transcript. Does nothing if `transcripts` is empty.
    ///
    /// # Errors
    /// If the folder cannot be listed: as long as its links are unknown, no transcript can be archived
    /// safely. Or if an abort was requested.
    pub(crate) fn unreferenced(
        mut self,
        mut transcripts: Vec<Transcript>,
        listings: &mut Listings,
        lookups: &OutsideLookups,
    ) -> Result<Vec<Transcript>> {
        if !transcripts.is_empty() {
            self.add_link_targets(listings)?;
            self.add_aliases(&transcripts, lookups);
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
            listings.check_abort()?;
            self.add_target(&link);
        }
        Ok(())
    }

    /// Adds the files outside the folder that have the name of a transcript.
    fn add_aliases(&mut self, transcripts: &[Transcript], lookups: &OutsideLookups) {
        let names = transcripts.iter().filter_map(|it| it.path.file_name());
        let names: HashSet<u64> = names.map(|name| self.hash_name(name)).collect();
        for path in std::mem::take(&mut self.outside) {
            let name = path.file_name().map(|name| self.hash_name(name));
            if !name.is_some_and(|name| names.contains(&name)) {
                continue;
            }
            if !lookups.allow(&path) {
                self.add_possible_alias(&path);
                continue;
            }
            match self.system.stat_following(&path) {
                Ok(stat) => self.add_file(&stat),
                Err(error) if is_missing(&error) => {}
                Err(_) => self.add_possible_alias(&path),
            }
        }
    }

    /// Returns whether a kept entry references this file.
    fn has(&self, transcript: &Transcript) -> bool {
        let (Some(parent), Some(name)) = (transcript.path.parent(), transcript.path.file_name())
        else {
            return false;
        };
        self.files.contains(self.seed.hash_one(transcript.id))
            || self.files.contains(self.hash_path(parent, name))
            || self.possible_aliases.contains(self.hash_name(name))
            || self.has_name(name) && self.is_in_folder(parent, name, transcript.id)
    }

    /// Returns whether a kept entry references the file of this name directly in the folder.
    fn has_name(&self, name: &OsStr) -> bool {
        let hash = self.hash_path(self.folder.real(), name);
        self.files.contains(hash) || id_of(name).is_some_and(|id| self.has_id(self.hash_id(id)))
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

/// Returns the session id of which a file name is the `<sessionId>.jsonl`.
fn id_of(name: &OsStr) -> Option<&str> {
    name.to_str()?
        .strip_suffix(EXTENSION)
        .filter(|id| is_file_stem(id))
}

/// Returns whether the name is `<sessionId>.jsonl`.
fn is_implied(name: &OsStr, session_id: Option<&str>) -> bool {
    let id = id_of(name);
    id.is_some() && id == session_id.map(js::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abort::Abort;
    use crate::system::Os;

    #[test]
    fn an_entry_with_the_usual_session_file_costs_one_hash() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json"));
        let mut references = References::new(&Os, &folder);
        for n in 0..10_000 {
            let id = format!("00000000-0000-4000-8000-{n:012}");
            let file = folder.named.join(format!("{id}.jsonl"));
            references.add(Some(&id), file.to_str());
        }
        assert_eq!(references.sessions.exact_len(), 10_000);
        // Where case folds, a name is added for each id.
        let names = if CASE_FOLDS { 10_000 } else { 0 };
        assert_eq!(references.files.exact_len(), names);
    }

    #[test]
    fn the_memory_for_recent_session_files_is_bounded() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json"));
        let mut references = References::new(&Os, &folder);
        let long = "x".repeat(MAX_REMEMBERED);
        for n in 0..2000 {
            references.add(None, Some(&format!("sub/{n}.jsonl")));
            references.add(None, Some(&format!("sub/{n}{long}.jsonl")));
            assert!(references.recent.len() <= MAX_RECENT);
        }
        let bytes: usize = references.recent.iter().map(String::len).sum();
        assert!(bytes < 32 * MAX_RECENT);
    }

    #[test]
    fn the_memory_for_outside_paths_is_bounded_and_every_name_is_known() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json"));
        let mut references = References::new(&Os, &folder);
        for n in 0..100_000 {
            references.add(None, Some(&format!("../missing/{n}.jsonl")));
        }
        assert!(references.outside_bytes <= MAX_OUTSIDE_BYTES);
        assert_eq!(
            references.outside.len() + references.possible_aliases.exact_len(),
            100_000
        );
        // Only the first path is remembered, and so is known to be missing.
        let [first, last] = ["0.jsonl", "99999.jsonl"].map(|name| Transcript {
            path: folder.real().join(name),
            links: Vec::new(),
            bytes: 0,
            id: (0, 0),
        });
        let unreferenced = references.unreferenced(
            vec![first.clone(), last],
            &mut Listings::new(0.0, &Abort::default()),
            &OutsideLookups::new(),
        );
        assert_eq!(unreferenced.unwrap(), [first]);
    }
}
