//! Which files are a session's transcripts, and which files entries that stay still point at.
//!
//! A session names its files itself, in a store that anyone may have edited, so nothing it says is
//! believed: only what is, all links resolved, a regular `*.jsonl` file inside the store's own
//! folder counts.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::error::{Context, Error, Result, is_missing};
use crate::gateway::js;
use crate::transcripts::listing::Listings;

const EXTENSION: &str = ".jsonl";

/// How many folders [`References`] remembers. Real stores have one; the limit keeps a store made
/// to name a million of them from filling the memory.
const REMEMBERED_FOLDERS: usize = 1024;

/// Where two spellings may name one file, only the system can tell which file a path stands for: it
/// is asked for every path, and answers with the spelling on the disk. That is the rule on Windows
/// and macOS, whatever a single folder or volume is set to there, and the exception on Linux.
const CASE_FOLDS: bool = cfg!(any(target_os = "macos", target_os = "ios", windows));

/// The folder that a store lies in, and that the transcripts of its sessions lie in.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cron_session_reaper::transcripts::locate::Folder;
///
/// let sessions = tempfile::tempdir()?;
/// std::fs::write(sessions.path().join("a1.jsonl"), "")?;
/// let folder = Folder::of(&sessions.path().join("sessions.json"))?;
///
/// let found = folder.transcripts(Some("a1"), None);
/// assert_eq!(found[0].path, folder.real().join("a1.jsonl"));
/// assert!(folder.transcripts(Some("../a1"), Some("/etc/hosts")).is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    real: PathBuf,
    /// The store, and the file that it is a link to: never a transcript, whatever its name.
    store: [PathBuf; 2],
}

/// A transcript as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Where it is, all links resolved.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl Folder {
    /// The folder of a store. The store itself need not exist, the folder must. A relative path is
    /// one from the working directory.
    ///
    /// # Errors
    /// If `store` names no file, or the folder is missing or cannot be resolved.
    pub fn of(store: &Path) -> Result<Self> {
        if store.as_os_str().is_empty() {
            return Err(Error::NoStorePath);
        }
        let base = if store.is_absolute() {
            PathBuf::new()
        } else {
            env::current_dir().context("resolve", store)?
        };
        let absolute = js::resolve(&base, store);
        let (Some(path), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(Error::NotAFile {
                path: absolute,
                found: "a directory",
            });
        };
        let real = fs::canonicalize(path).context("resolve", path)?;
        let store = real.join(name);
        let target = fs::canonicalize(&store).unwrap_or_else(|_| store.clone());
        Ok(Self {
            path: path.to_owned(),
            real,
            store: [store, target],
        })
    }

    /// The folder as the store's path names it, absolute; links are not resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, all links resolved.
    #[must_use]
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// The transcripts of a session that exist, resolved, each once: the one that the entry's
    /// `sessionFile` names, and `<sessionId>.jsonl`.
    ///
    /// What is missing, unreadable, outside the folder, no regular file, without the extension
    /// `.jsonl`, or the store itself is left out.
    #[must_use]
    pub fn transcripts(
        &self,
        session_id: Option<&str>,
        session_file: Option<&str>,
    ) -> Vec<Transcript> {
        let named = session_file.and_then(|file| self.named(file));
        let own = session_id
            .and_then(file_name)
            .map(|name| self.path.join(name));
        // Nearly always both are one, and need one look.
        let own = own.filter(|own| named.as_ref() != Some(own));
        let mut found: Vec<Transcript> = Vec::new();
        for candidate in [named, own].into_iter().flatten() {
            if let Some(transcript) = self.transcript(&candidate)
                && !found.iter().any(|it| it.path == transcript.path)
            {
                found.push(transcript);
            }
        }
        found
    }

    /// Where a `sessionFile` points, unless that is outside by its spelling alone. Of an absolute
    /// one only its links can tell: the gateway takes one from elsewhere that leads in here.
    fn named(&self, session_file: &str) -> Option<PathBuf> {
        let file = Path::new(js::trim(session_file));
        let is_outside = file.as_os_str().is_empty() || begins_with_dots(file);
        (!is_outside).then(|| js::resolve(&self.real, file))
    }

    /// The file that may be renamed away when `candidate` is a removed session's.
    fn transcript(&self, candidate: &Path) -> Option<Transcript> {
        let found = self.resolve_file(candidate)?;
        let real = &found.path;
        let is_transcript = lies_inside(&self.real, real)
            && real
                .as_os_str()
                .as_encoded_bytes()
                .ends_with(EXTENSION.as_bytes())
            && !self.store.contains(real);
        is_transcript.then_some(found)
    }

    /// As `fs::canonicalize`, for a regular file only; but right in this folder, where nearly all
    /// transcripts lie, at the price of one `lstat` instead of one for every folder on the way.
    fn resolve_file(&self, path: &Path) -> Option<Transcript> {
        let name = path.file_name()?;
        let parent = path.parent()?;
        if !CASE_FOLDS && (parent == self.path || parent == self.real) {
            let metadata = fs::symlink_metadata(path).ok()?;
            if !metadata.is_symlink() {
                return regular(self.real.join(name), &metadata);
            }
        }
        let real = fs::canonicalize(path).ok()?;
        let metadata = fs::symlink_metadata(&real).ok()?;
        regular(real, &metadata)
    }

    /// The name of a `sessionFile` that plainly lies right in this folder, told without a look at
    /// the file system and without allocating.
    fn plain_name<'f>(&self, file: &'f str) -> Option<&'f str> {
        let name = self
            .path
            .to_str()
            .and_then(|folder| file.strip_prefix(folder)?.strip_prefix('/'))
            .unwrap_or(file);
        let is_plain = !CASE_FOLDS && !name.contains('/') && !matches!(name, "" | "." | "..");
        is_plain.then_some(name)
    }
}

fn regular(path: PathBuf, metadata: &fs::Metadata) -> Option<Transcript> {
    let bytes = metadata.len();
    metadata.is_file().then_some(Transcript { path, bytes })
}

/// The transcript's name of a session id, if the id may name a file: `<id>.jsonl`.
fn file_name(session_id: &str) -> Option<String> {
    let id = js::trim(session_id);
    is_file_stem(id).then(|| format!("{id}{EXTENSION}"))
}

/// The gateway's `/^[a-z0-9][a-z0-9._-]{0,127}$/i`.
fn is_file_stem(id: &str) -> bool {
    id.len() <= 128
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Is `path` something below `folder`? By spelling; a name like `..x` counts as outside, as it
/// does in the gateway.
fn lies_inside(folder: &Path, path: &Path) -> bool {
    path.strip_prefix(folder)
        .is_ok_and(|below| !below.as_os_str().is_empty() && !begins_with_dots(below))
}

fn begins_with_dots(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"..")
}

/// What the entries that stay point at, as a survey collects it.
///
/// It is made to be fed every entry of a store of any size: one 48-bit hash, seeded anew for each
/// collection, is kept for an entry's session id, and one more only if its `sessionFile` is not
/// just `<sessionId>.jsonl`. No system call is made for entries whose files lie right in the
/// store's folder. Two different values with one hash would protect a transcript too many, never
/// one too few.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cron_session_reaper::transcripts::listing::Listings;
/// use cron_session_reaper::transcripts::locate::{Folder, References};
///
/// let sessions = tempfile::tempdir()?;
/// std::fs::write(sessions.path().join("a1.jsonl"), "")?;
/// let folder = Folder::of(&sessions.path().join("sessions.json"))?;
///
/// let mut staying = References::new(&folder);
/// staying.add(Some("b2"), Some("./a1.jsonl"));
/// let staying = staying.settle(&mut Listings::new(0.0))?;
///
/// assert!(staying.has_session("b2"));
/// assert!(staying.has_path(&folder.real().join("a1.jsonl")));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct References {
    folder: Folder,
    seed: RandomState,
    sessions: Vec<IdHash>,
    paths: Vec<u64>,
    folders: HashMap<PathBuf, RealFolder>,
}

/// 48 bits, since a store may have a million entries: two of them look alike once in 500 stores of
/// that size, and then it takes one that goes and one that stays.
///
/// Not `Copy`: for such small values the standard library unrolls its sort, to 11 KB of code.
#[derive(Debug, PartialEq)]
struct IdHash([u8; 6]);

impl IdHash {
    fn bits(&self) -> u64 {
        let mut bits = [0; 8];
        bits[..6].copy_from_slice(&self.0);
        u64::from_le_bytes(bits)
    }
}

/// What a folder's path stands for.
#[derive(Debug)]
enum RealFolder {
    At(PathBuf),
    /// Nothing in it exists either.
    Missing,
    /// It cannot be listed, so which of its files are links has to be asked file by file.
    Closed,
}

impl References {
    /// An empty collection for the entries of the store in `folder`.
    #[must_use]
    pub fn new(folder: &Folder) -> Self {
        Self {
            folder: folder.clone(),
            seed: RandomState::new(),
            sessions: Vec::new(),
            paths: Vec::new(),
            folders: HashMap::new(),
        }
    }

    /// Remembers what one entry that stays points at: its `sessionId` and its `sessionFile`, as
    /// they stand in the store.
    ///
    /// Unlike for [`Folder::transcripts`] it does not matter how a `sessionFile` reaches its file:
    /// one that comes in from outside the folder, through a link, protects it as well.
    pub fn add(&mut self, session_id: Option<&str>, session_file: Option<&str>) {
        // As in the gateway, an empty id is none: two entries without one share no session.
        let session_id = session_id.filter(|id| !id.is_empty());
        if let Some(id) = session_id {
            self.sessions.push(self.hash_id(id));
            // `<id>.jsonl` needs no hash of its own where the id's tells.
            if (CASE_FOLDS || js::trim(id) != id)
                && let Some(name) = file_name(id)
            {
                self.add_path(&self.folder.path.join(name));
            }
        }
        let file = js::trim(session_file.unwrap_or_default());
        if file.is_empty() {
            return;
        }
        let Some(name) = self.folder.plain_name(file) else {
            self.add_path(&js::resolve(&self.folder.real, Path::new(file)));
            return;
        };
        let id = name.strip_suffix(EXTENSION);
        let is_told_by_id = id.is_some() && id == session_id.map(js::trim);
        if !is_told_by_id || !id.is_some_and(is_file_stem) {
            self.paths
                .push(self.hash_path(&self.folder.real, name.as_ref()));
        }
    }

    /// Remembers an id of an entry that stays that is no string, and so names no file.
    pub fn add_odd_id(&mut self, id: &impl Hash) {
        self.sessions.push(self.hash_id(id));
    }

    fn add_path(&mut self, path: &Path) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if !CASE_FOLDS {
            self.remember_folder(parent);
            match self.folders.get(parent) {
                Some(RealFolder::At(real)) => {
                    let hash = self.hash_path(real, name);
                    self.paths.push(hash);
                    return;
                }
                Some(RealFolder::Missing) => return,
                Some(RealFolder::Closed) | None => {}
            }
        }
        if let Ok(real) = fs::canonicalize(path) {
            self.paths.extend(self.hash_real(&real));
        }
    }

    fn remember_folder(&mut self, folder: &Path) {
        if self.folders.contains_key(folder) || self.folders.len() >= REMEMBERED_FOLDERS {
            return;
        }
        let real = match fs::canonicalize(folder) {
            Ok(real) if fs::read_dir(&real).is_ok() => RealFolder::At(real),
            Err(error) if is_missing(&error) => RealFolder::Missing,
            _ => RealFolder::Closed,
        };
        self.folders.insert(folder.to_owned(), real);
    }

    fn hash_id(&self, id: &(impl Hash + ?Sized)) -> IdHash {
        let [hash @ .., _, _] = self.seed.hash_one(id).to_le_bytes();
        IdHash(hash)
    }

    fn hash_path(&self, parent: &Path, name: &OsStr) -> u64 {
        self.seed.hash_one((parent.as_os_str(), name))
    }

    fn hash_real(&self, path: &Path) -> Option<u64> {
        Some(self.hash_path(path.parent()?, path.file_name()?))
    }

    /// Makes the collection ready to be asked, once the last entry is in.
    ///
    /// Here the symbolic links are resolved that entries point at. The folders are listed for that,
    /// which is why a sweep with nothing to archive should not come here.
    ///
    /// # Errors
    /// If a folder cannot be listed: without knowing its links, no transcript is safe to archive.
    pub fn settle(mut self, listings: &mut Listings) -> Result<Referenced> {
        self.sessions.sort_unstable_by_key(IdHash::bits);
        self.sessions.dedup();
        self.paths.sort_unstable();
        self.paths.dedup();
        let mut settled = Referenced { references: self };
        if !CASE_FOLDS {
            let targets = settled.link_targets(listings)?;
            let paths = &mut settled.references.paths;
            paths.extend(targets);
            paths.sort_unstable();
        }
        Ok(settled)
    }
}

/// What the entries that stay point at, ready to be asked.
#[derive(Debug)]
pub struct Referenced {
    references: References,
}

impl Referenced {
    /// Has an entry that stays this very `sessionId` (as it stands in the store, untrimmed)?
    #[must_use]
    pub fn has_session(&self, session_id: &str) -> bool {
        self.has_hash(&self.references.hash_id(session_id))
    }

    /// Was it [told](References::add_odd_id) that an entry that stays has this id?
    #[must_use]
    pub fn has_odd_id(&self, id: &impl Hash) -> bool {
        self.has_hash(&self.references.hash_id(id))
    }

    fn has_hash(&self, hash: &IdHash) -> bool {
        self.references
            .sessions
            .binary_search_by_key(&hash.bits(), IdHash::bits)
            .is_ok()
    }

    /// Does an entry that stays point at this file, by its id or its `sessionFile`? The path must
    /// be a resolved one, as [`Folder::transcripts`] gives them.
    #[must_use]
    pub fn has_path(&self, path: &Path) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        let hash = self.references.hash_path(parent, name);
        self.references.paths.binary_search(&hash).is_ok() || self.has_id_of(parent, name)
    }

    /// Is it `<sessionId>.jsonl` of an entry that stays?
    fn has_id_of(&self, parent: &Path, name: &OsStr) -> bool {
        let id = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
        parent == self.references.folder.real
            && id.is_some_and(|id| is_file_stem(id) && self.has_session(id))
    }

    /// What the links lead to that entries point at.
    fn link_targets(&self, listings: &mut Listings) -> Result<Vec<u64>> {
        let references = &self.references;
        let mut folders: HashSet<&Path> = HashSet::from([&*references.folder.real]);
        for folder in references.folders.values() {
            if let RealFolder::At(real) = folder {
                folders.insert(real);
            }
        }

        let mut targets = Vec::new();
        for folder in folders {
            for name in &listings.of(folder)?.links {
                let link = folder.join(name);
                // A link that leads nowhere, or in circles, points at no file.
                if self.has_path(&link)
                    && let Ok(real) = fs::canonicalize(&link)
                {
                    targets.extend(references.hash_real(&real));
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
    fn only_ids_of_the_gateways_pattern_name_a_file() {
        let longest = "x".repeat(128);
        for id in ["a", "0", "A.b_c-d", "a..b", " a ", "\u{feff}a\n", &longest] {
            assert!(file_name(id).is_some(), "{id:?}");
        }
        let too_long = "x".repeat(129);
        for id in [
            "", " ", ".a", "-a", "_a", "a/b", "a\\b", "a b", "é", "a\0", "\u{212a}", "..",
            &too_long,
        ] {
            assert!(file_name(id).is_none(), "{id:?}");
        }
    }

    #[test]
    fn a_million_entries_cost_eight_bytes_each() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json")).unwrap();
        let mut references = References::new(&folder);
        for n in 0..10_000 {
            let id = format!("00000000-0000-4000-8000-{n:012}");
            let file = folder.path().join(format!("{id}.jsonl"));
            references.add(Some(&id), file.to_str());
        }
        assert_eq!(references.sessions.len(), 10_000);
        assert!(references.paths.is_empty() && references.folders.is_empty());
    }

    #[test]
    fn a_store_that_names_countless_folders_does_not_fill_the_memory() {
        let sessions = tempfile::tempdir().unwrap();
        let folder = Folder::of(&sessions.path().join("sessions.json")).unwrap();
        fs::create_dir(folder.real().join("last")).unwrap();
        fs::write(folder.real().join("last/x.jsonl"), "").unwrap();
        let mut references = References::new(&folder);
        for n in 0..2_000 {
            references.add(None, Some(&format!("{n}/x.jsonl")));
        }
        references.add(None, Some("last/x.jsonl"));
        // Where case folds no folder is remembered: each file is asked for by itself.
        let remembered = if CASE_FOLDS { 0 } else { REMEMBERED_FOLDERS };
        assert_eq!(references.folders.len(), remembered);
        let settled = references.settle(&mut Listings::new(0.0)).unwrap();
        assert!(settled.has_path(&folder.real().join("last/x.jsonl")));
    }
}
