//! The names in a store's folder and its subfolders, so that a missing file costs no system call.
//!
//! A store can name millions of files that do not exist, and the file system remembers each of them.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::hash::BuildHasher;
use std::path::Path;

/// How many files are looked up in a folder and found missing before it is listed.
const LOOKED_UP: u32 = 1000;

/// How many names are remembered: more than any folder has that was reported. About 1 MB.
const MAX_NAMES: usize = 1 << 16;

/// How many folders are remembered.
const MAX_FOLDERS: usize = 1024;

/// The names in those folders of which many files are missing.
///
/// A file that is created after its folder was listed is missing here.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    folders: HashMap<OsString, Known>,
    /// Hashes of the paths of the files in the listed folders.
    paths: HashSet<u64>,
    seed: RandomState,
}

/// What is known of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// So many files were looked up and found missing.
    Missing(u32),
    Listed,
    /// It has too many files, or it cannot be listed.
    Unlisted,
}

impl Names {
    /// Returns whether a listing shows that `path` is missing: it is not in the listed folder, or the
    /// subfolder on the way to it is not.
    pub(super) fn lack(&self, path: &Path) -> bool {
        let folders = path.ancestors().skip(1);
        let is_listed =
            |folder: &Path| self.folders.get(folder.as_os_str()) == Some(&Known::Listed);
        let mut names = path.ancestors().zip(folders);
        let found = names.find(|(_, folder)| is_listed(folder));
        found.is_some_and(|(path, _)| !self.paths.contains(&self.hash(path)))
    }

    /// Counts a file that was looked up and found missing. `path` is in an existing folder to which no
    /// link leads.
    pub(super) fn add_missing(&mut self, path: &Path) {
        let Some(folder) = path.parent() else {
            return;
        };
        let known = match self.folders.get(folder.as_os_str()) {
            Some(Known::Missing(LOOKED_UP..)) => self.list(folder),
            Some(Known::Missing(count)) => Known::Missing(count + 1),
            Some(Known::Listed | Known::Unlisted) => return,
            None if self.folders.len() >= MAX_FOLDERS => return,
            None => Known::Missing(1),
        };
        self.folders.insert(folder.as_os_str().to_owned(), known);
    }

    fn list(&mut self, folder: &Path) -> Known {
        let Ok(entries) = fs::read_dir(folder) else {
            return Known::Unlisted;
        };
        for entry in entries {
            let Ok(entry) = entry else {
                return Known::Unlisted;
            };
            if self.paths.len() >= MAX_NAMES {
                return Known::Unlisted;
            }
            self.paths.insert(self.hash(&entry.path()));
        }
        Known::Listed
    }

    fn hash(&self, path: &Path) -> u64 {
        // As a text: the hash of a path costs more, because it is that of its components.
        self.seed.hash_one(path.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is known of a folder with `files` files after many others were found missing.
    fn names_of(folder: &Path, files: usize) -> Names {
        for n in 0..files {
            fs::write(folder.join(n.to_string()), "").unwrap();
        }
        let mut names = Names::default();
        for n in 0..=LOOKED_UP {
            let missing = folder.join(format!("missing-{n}"));
            assert!(!names.lack(&missing), "{n}");
            names.add_missing(&missing);
        }
        names
    }

    #[test]
    fn a_folder_is_listed_after_many_files_were_missing() {
        let folder = tempfile::tempdir().unwrap();
        let names = names_of(folder.path(), 3);
        assert!(!names.lack(&folder.path().join("2")));
        assert!(names.lack(&folder.path().join("3")));
        assert!(!names.lack(&folder.path().join("2/3")));
        assert!(names.lack(&folder.path().join("3/4/5")));
        assert!(!names.lack(&folder.path().with_file_name("3")));
    }

    #[test]
    fn a_folder_that_cannot_be_listed_or_has_too_many_files_lacks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(!names_of(&missing, 0).lack(&missing.join("x")));
        assert!(!names_of(folder.path(), MAX_NAMES + 1).lack(&missing));
    }

    #[test]
    fn a_bounded_number_of_folders_is_remembered() {
        let mut names = Names::default();
        for n in 0..2 * MAX_FOLDERS {
            names.add_missing(Path::new(&format!("/{n}/missing")));
        }
        assert_eq!(names.folders.len(), MAX_FOLDERS);
    }
}
