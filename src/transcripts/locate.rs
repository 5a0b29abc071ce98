//! Finds the files that are a session's transcripts.
//!
//! A session names its files itself, in a store that anyone can have edited. Therefore a path counts
//! only if it leads, with all links resolved, to a regular `*.jsonl` file inside the store's folder.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::iter;
use std::path::{Path, PathBuf, is_separator};

use crate::error::is_missing;
use crate::gateway::js;
use crate::system::{Kind, Stat, System, errno_name};
use crate::transcripts::links::{Links, Target};
use crate::transcripts::outside::OutsideLookups;

/// The file name extension of transcripts.
pub(super) const EXTENSION: &str = ".jsonl";

/// Whether file names that differ in case can name the same file. Then the system is asked about every
/// path, because only it knows the spelling on the disk. On Windows and macOS this is the default; single
/// folders and volumes can differ. On Linux it is an exception that is not supported.
pub(super) const CASE_FOLDS: bool = cfg!(any(target_os = "macos", target_os = "ios", windows));

/// The maximum depth of a transcript below the folder. Resolving a path reads each folder on the way from
/// the root, which is quadratic in the depth. The gateway's own transcripts are at most one folder deep.
pub(super) const MAX_DEPTH: usize = 32;

/// The length in bytes of a text above which what it names is not remembered. A system call on a path of
/// this length fails.
pub(crate) const MAX_REMEMBERED: usize = 4096;

/// The folder of a store, which also contains the transcripts of its sessions.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    /// As the store's path names it: absolute and normalised.
    pub(super) named: PathBuf,
    /// With all links resolved.
    real: PathBuf,
    links: Links,
    /// The store, and the file that it is a link to. Neither is a transcript, even if its name is one.
    store: [PathBuf; 2],
}

/// A transcript that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// Its path, with all links resolved.
    pub(crate) path: PathBuf,
    /// The links at which the session names it, each in a folder with all links resolved. A gateway
    /// locks a transcript beside its link.
    pub(crate) links: Vec<PathBuf>,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Which file it is, independent of its path.
    pub(super) id: FileId,
}

impl Transcript {
    /// Returns its path and its links. A process that writes it has locked one of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &PathBuf> {
        iter::once(&self.path).chain(&self.links)
    }
}

/// The device and inode of a file: equal if two paths lead to the same file, for example through a
/// bind mount, a firmlink or a different case.
pub(super) type FileId = (u64, u64);

/// Returns the identity of a regular file, and `None` for anything else.
pub(super) fn file_id(stat: &Stat) -> Option<FileId> {
    (stat.kind == Kind::File).then_some((stat.dev, stat.ino))
}

impl Folder {
    /// Creates the folder of a store from paths that are already resolved. `named_folder` is the
    /// folder as the store's path names it, absolute and normalised, `real_folder` the same folder
    /// with all links resolved. `store` is the store in `real_folder`, and the file that it is a link
    /// to or the same path again.
    pub(crate) fn new(named_folder: PathBuf, real_folder: PathBuf, store: [PathBuf; 2]) -> Self {
        Self {
            links: Links::new(real_folder.clone(), named_folder.clone()),
            named: named_folder,
            real: real_folder,
            store,
        }
    }

    /// Makes files count as missing that are created from now on. Then millions of missing files cost little
    /// more than one listing of their folder.
    pub(crate) fn remembering_missing(mut self) -> Self {
        self.links.remember_missing();
        self
    }

    /// Returns the folder's path with all links resolved.
    pub(crate) fn real(&self) -> &Path {
        &self.real
    }

    /// Returns the transcripts of a session that exist, each once: first the file that the entry's
    /// `sessionFile` names, then `<sessionId>.jsonl`.
    ///
    /// Leaves out files that are missing, unreadable, outside the folder, not regular files, without
    /// the extension `.jsonl`, or the store itself.
    pub(crate) fn transcripts<S: System>(
        &self,
        system: &S,
        lookups: &OutsideLookups,
        session_id: Option<&str>,
        session_file: Option<&str>,
    ) -> Vec<Transcript> {
        let of_file = session_file.and_then(|file| self.named_by(file));
        let of_id = session_id
            .and_then(file_name)
            .map(|name| self.named.join(name))
            .filter(|path| of_file.as_ref() != Some(path));
        let [by_file, by_id] =
            [of_file, of_id].map(|path| self.transcript(system, lookups, &path?).ok().flatten());
        merged(by_file, by_id)
    }

    /// Returns the path that a `sessionFile` names, if its links are to be resolved.
    ///
    /// Returns `None` for a relative path that begins with `..`, as the gateway does, and for one that is
    /// deeper than [`MAX_DEPTH`].
    pub(crate) fn named_by(&self, session_file: &str) -> Option<PathBuf> {
        let file = js::trim(session_file);
        if file.is_empty() || begins_with_dots(Path::new(file)) {
            return None;
        }
        match self.place(file) {
            Place::Directly(name) => Some(self.named.join(name)),
            Place::Below(path) => (self.depth(&path) <= MAX_DEPTH).then_some(path),
            Place::Outside(path) => Some(path),
        }
    }

    /// Returns the number of names in a resolved path after those of the folder.
    pub(super) fn depth(&self, path: &Path) -> usize {
        let below = path.strip_prefix(&self.real).unwrap_or(path);
        // Counting components would take a hundred times as long.
        let bytes = below.as_os_str().as_encoded_bytes().iter();
        bytes.filter(|it| is_separator(char::from(**it))).count() + 1
    }

    /// Finds out where a path leads, without accessing anything outside the folder.
    pub(crate) fn follow<S: System>(&self, system: &S, path: &Path) -> io::Result<Target> {
        self.links.follow(system, path)
    }

    /// Returns the file at `candidate`, with all links resolved, if it is a transcript.
    ///
    /// # Errors
    /// If it is unknown whether there is one, for example because a subfolder cannot be entered.
    pub(crate) fn transcript<S: System>(
        &self,
        system: &S,
        lookups: &OutsideLookups,
        candidate: &Path,
    ) -> io::Result<Option<Transcript>> {
        if self.links.lack(candidate) || !lookups.any_left() && self.is_outside(candidate) {
            return Ok(None);
        }
        let found = match self.resolve_file(system, lookups, candidate) {
            Err(error) if names_nothing(&error) => return Ok(None),
            found => found?,
        };
        Ok(found.filter(|Transcript { path, .. }| {
            lies_inside(&self.real, path) && has_extension(path) && !self.store.contains(path)
        }))
    }

    /// Returns the lock of a transcript that is missing, if the lock is directly in the folder.
    pub(crate) fn lock_of_missing<S: System>(&self, system: &S, path: &Path) -> Option<PathBuf> {
        let name = path.file_name().filter(|_| self.is_direct(path))?;
        let real = self.real.join(name);
        let lock = lock_of(&real);
        let is_missing_transcript = has_extension(&real)
            && names_nothing(&self.links.stat(system, &real).err()?)
            && self.links.stat(system, &lock).is_ok();
        is_missing_transcript.then_some(lock)
    }

    fn is_outside(&self, path: &Path) -> bool {
        !path.starts_with(&self.real) && !path.starts_with(&self.named)
    }

    fn is_direct(&self, path: &Path) -> bool {
        let parent = path.parent();
        parent == Some(&self.named) || parent == Some(&self.real)
    }

    /// Resolves all links of a path to a regular file. A path outside the folder can be another path of a
    /// file in it. It counts if a file of its name is directly in the folder, and as long as `lookups`
    /// allows it.
    fn resolve_file<S: System>(
        &self,
        system: &S,
        lookups: &OutsideLookups,
        path: &Path,
    ) -> io::Result<Option<Transcript>> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return Ok(None);
        };
        if !CASE_FOLDS && self.is_direct(path) {
            // Nearly all transcripts are directly in the folder, and no links.
            let real = self.real.join(name);
            let stat = self.links.stat(system, &real)?;
            if stat.kind != Kind::Link {
                return Ok(regular(real, Vec::new(), &stat));
            }
        }
        match self.follow(system, path)? {
            Target::Inside { path, stat, link } if !CASE_FOLDS => {
                let links = link.into_iter().collect();
                return Ok(regular(path, links, &stat));
            }
            Target::Inside { .. } => {}
            Target::Outside(target) => {
                let same_name = target.file_name().map(|name| self.real.join(name));
                let is_possible = same_name.is_some_and(|path| system.stat(&path).is_ok());
                if !is_possible || !lookups.allow(&target) {
                    return Ok(None);
                }
            }
        }
        let real = system.canonicalize(path)?;
        let mut links = Vec::new();
        if system.stat(path)?.kind == Kind::Link {
            links.push(system.canonicalize(parent)?.join(name));
        }
        let stat = system.stat(&real)?;
        Ok(regular(real, links, &stat))
    }

    /// Returns where a `sessionFile` is by its spelling, without a system call. For a file directly in
    /// the folder, which nearly all are, it does not allocate.
    pub(super) fn place<'f>(&self, session_file: &'f str) -> Place<'f> {
        if let Some(name) = self.plain_name(session_file) {
            return Place::Directly(Cow::Borrowed(name.as_ref()));
        }
        let path = js::resolve(&self.real, Path::new(session_file));
        let below = path
            .strip_prefix(&self.real)
            .or_else(|_| path.strip_prefix(&self.named));
        let Ok(below) = below else {
            return Place::Outside(path);
        };
        match (below.parent(), below.file_name()) {
            (Some(parent), Some(name)) if parent.as_os_str().is_empty() => {
                Place::Directly(Cow::Owned(name.to_owned()))
            }
            _ => Place::Below(self.real.join(below)),
        }
    }

    /// Returns the file name of a `sessionFile` that is obviously directly in the folder.
    fn plain_name<'f>(&self, file: &'f str) -> Option<&'f str> {
        let name = self
            .named
            .to_str()
            .and_then(|folder| file.strip_prefix(folder)?.strip_prefix('/'))
            .unwrap_or(file);
        let is_plain = !CASE_FOLDS && !name.contains('/') && !matches!(name, "" | "." | "..");
        is_plain.then_some(name)
    }
}

/// Returns the path of a transcript's lock: `<transcript>.lock`.
pub(crate) fn lock_of(transcript: &Path) -> PathBuf {
    let mut lock = transcript.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

fn has_extension(path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    path.ends_with(EXTENSION.as_bytes())
}

/// Returns the transcripts of a session, each once: the one that its `sessionFile` names, and that of its
/// id.
pub(crate) fn merged(by_file: Option<Transcript>, by_id: Option<Transcript>) -> Vec<Transcript> {
    let mut found: Vec<_> = by_file.into_iter().collect();
    match (found.first_mut(), by_id) {
        (Some(same), Some(by_id)) if same.path == by_id.path => same.links.extend(by_id.links),
        (_, by_id) => found.extend(by_id),
    }
    found
}

/// Returns whether the error means that no file can have this path.
fn names_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput};
    is_missing(error)
        || matches!(error.kind(), InvalidInput | InvalidFilename)
        || errno_name(error) == "ELOOP"
}

/// Where a path is by its spelling.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'f> {
    /// Directly in the folder, under this name.
    Directly(Cow<'f, OsStr>),
    /// In a subfolder, or the folder itself. Absolute, below [`Folder::real`].
    Below(PathBuf),
    /// Elsewhere. Absolute.
    Outside(PathBuf),
}

fn regular(path: PathBuf, links: Vec<PathBuf>, stat: &Stat) -> Option<Transcript> {
    Some(Transcript {
        path,
        links,
        bytes: stat.size,
        id: file_id(stat)?,
    })
}

/// Returns the name of a session id's transcript, `<id>.jsonl`, if the id is one that can name a file.
pub(crate) fn file_name(session_id: &str) -> Option<String> {
    let id = js::trim(session_id);
    is_file_stem(id).then(|| format!("{id}{EXTENSION}"))
}

/// Returns whether a trimmed session id can name a file: the gateway's
/// `/^[a-z0-9][a-z0-9._-]{0,127}$/i`.
pub(super) fn is_file_stem(id: &str) -> bool {
    id.len() <= 128
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Returns whether `path` is spelled as a path below `folder`. A name like `..x` counts as outside, as
/// in the gateway.
fn lies_inside(folder: &Path, path: &Path) -> bool {
    path.strip_prefix(folder)
        .is_ok_and(|below| !below.as_os_str().is_empty() && !begins_with_dots(below))
}

fn begins_with_dots(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    impl Folder {
        /// Resolves the folder of a store. The folder must exist, the store need not.
        pub(crate) fn of(store: &Path) -> Self {
            let store = js::resolve(Path::new(""), store);
            let (named, name) = (store.parent().unwrap(), store.file_name().unwrap());
            let real = fs::canonicalize(named).unwrap();
            let store = real.join(name);
            let target = fs::canonicalize(&store).unwrap_or_else(|_| store.clone());
            Self::new(named.to_owned(), real, [store, target])
        }
    }

    #[test]
    fn a_session_id_names_a_file_only_if_it_matches_the_gateways_pattern() {
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
}
