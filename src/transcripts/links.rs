//! Follows the links in a folder without accessing anything outside it.
//!
//! A link can lead to a file system that no longer responds, and a system call on it can block for ever.
//! Therefore links are followed one by one, and the first path outside the folder ends that.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::system::{Kind, Stat, System};
use crate::transcripts::locate::CASE_FOLDS;
use crate::transcripts::names::Names;

/// How many links of one path are followed, as on Linux.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To this file in the folder, with all links resolved.
    Inside {
        path: PathBuf,
        stat: Stat,
        /// The link at the path itself, in a folder with all links resolved.
        link: Option<PathBuf>,
    },
    /// Outside the folder, to this path, which was not accessed. Links may follow.
    Outside(PathBuf),
}

/// How many folders [`Links`] remembers.
const MAX_KNOWN: usize = 1024;

/// Follows the links in one folder.
#[derive(Debug, Clone)]
pub(super) struct Links {
    /// The folder, with all links resolved.
    real: PathBuf,
    /// Another path of the folder, by which links in it can name their targets.
    named: PathBuf,
    /// Subfolders to which no link leads: each is examined once.
    known: RefCell<HashSet<PathBuf>>,
    /// `None` if each missing file is looked up.
    names: Option<RefCell<Names>>,
}

impl Links {
    pub(super) fn new(real: PathBuf, named: PathBuf) -> Self {
        Self {
            real,
            named,
            known: RefCell::default(),
            names: None,
        }
    }

    /// Makes files count as missing that are created from now on, because folders of which many files are
    /// missing are listed once.
    pub(super) fn remember_missing(&mut self) {
        // Where names differ in case only, a listing does not show what is missing.
        if !CASE_FOLDS {
            self.names = Some(RefCell::default());
        }
    }

    /// Returns whether it is known that `path`, which is in the folder, is missing.
    pub(super) fn lack(&self, path: &Path) -> bool {
        let names = self.names.as_ref();
        names.is_some_and(|names| names.borrow().lack(path))
    }

    /// Returns the attributes of a file. `path` is in an existing folder to which no link leads.
    pub(super) fn stat<S: System>(&self, system: &S, path: &Path) -> io::Result<Stat> {
        let Some(names) = &self.names else {
            return system.stat(path);
        };
        if names.borrow().lack(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let found = system.stat(path);
        if found
            .as_ref()
            .is_err_and(|it| it.kind() == io::ErrorKind::NotFound)
        {
            names.borrow_mut().add_missing(path);
        }
        found
    }

    /// Finds out where an absolute path leads.
    ///
    /// # Errors
    /// The operating system's; `InvalidInput` for a path of more than [`MAX_LINKS`] links.
    pub(super) fn follow<S: System>(&self, system: &S, path: &Path) -> io::Result<Target> {
        let mut path = path.to_owned();
        let mut link = None;
        for _ in 0..=MAX_LINKS {
            if let Ok(below) = path.strip_prefix(&self.named) {
                path = self.real.join(below);
            }
            match self.first(system, &path)? {
                First::File(path, stat) => return Ok(Target::Inside { path, stat, link }),
                First::Outside(path) => return Ok(Target::Outside(path)),
                First::Link { at, rest } => {
                    let target = at.parent().unwrap_or(&at).join(fs::read_link(&at)?);
                    if rest.as_os_str().is_empty() {
                        link.get_or_insert(at);
                        path = target;
                    } else {
                        path = target.join(rest);
                    }
                }
            }
        }
        Err(io::ErrorKind::InvalidInput.into())
    }

    /// Returns what is first on the way along a path.
    fn first<S: System>(&self, system: &S, path: &Path) -> io::Result<First> {
        let is_known = |it: &&Path| *it == self.real || self.known.borrow().contains(*it);
        let known = path
            .ancestors()
            .skip(1)
            .find(is_known)
            .unwrap_or("".as_ref());
        let mut components = path.strip_prefix(known).unwrap_or(path).components();
        // Without links.
        let mut at = known.to_owned();
        let mut found = None;
        while let Some(component) = components.next() {
            found = None;
            if component == Component::ParentDir {
                at.pop();
                continue;
            }
            at.push(component);
            if self.real.starts_with(&at) {
                continue;
            }
            if !at.starts_with(&self.real) {
                return Ok(First::Outside(at.join(components.as_path())));
            }
            let stat = self.stat(system, &at)?;
            match stat.kind {
                Kind::Link => {
                    let rest = components.as_path().to_owned();
                    return Ok(First::Link { at, rest });
                }
                Kind::Folder => self.remember(&at),
                _ => {}
            }
            found = Some(stat);
        }
        if !at.starts_with(&self.real) {
            return Ok(First::Outside(at));
        }
        let stat = found.map_or_else(|| system.stat(&at), Ok)?;
        Ok(First::File(at, stat))
    }

    fn remember(&self, folder: &Path) {
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(folder.to_owned());
    }
}

/// What is first on the way along a path.
enum First {
    /// A link, and what follows it.
    Link { at: PathBuf, rest: PathBuf },
    /// A path outside the folder.
    Outside(PathBuf),
    /// The file at the path, to which no link leads.
    File(PathBuf, Stat),
}

/// Returns the names of the files directly in a folder to which these links in it lead, or may lead: a
/// path outside the folder can be another path of a file with its name.
pub(crate) fn linked_names<'l, S: System>(
    system: &S,
    folder: &Path,
    links: impl IntoIterator<Item = &'l OsString>,
) -> HashSet<OsString> {
    let following = Links::new(folder.to_owned(), folder.to_owned());
    let name = |link| match following.follow(system, &folder.join(link)).ok()? {
        Target::Inside { path, .. } if path.parent() != Some(folder) => None,
        Target::Inside { path, .. } | Target::Outside(path) => {
            path.file_name().map(OsStr::to_owned)
        }
    };
    links.into_iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Os;

    #[test]
    fn a_bounded_number_of_folders_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let links = Links::new(real.clone(), real.clone());
        for n in 0..MAX_KNOWN + 10 {
            let subfolder = real.join(n.to_string());
            fs::create_dir(&subfolder).unwrap();
            links.follow(&Os, &subfolder).unwrap();
            assert!(links.known.borrow().len() <= MAX_KNOWN);
        }
    }
}
