//! Names that are changed relative to their folder, which is opened without following links.
//!
//! A sweep resolves each path once. Another user who can write to a folder on the way could then
//! replace a component by a symbolic link, and so redirect a rename or a removal to any folder that
//! the sweeping user can write to. An open folder cannot be redirected.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// A path whose folder is open.
#[derive(Debug)]
pub(super) struct Pinned<'p> {
    pub(super) folder: Rc<OwnedFd>,
    pub(super) name: &'p OsStr,
}

impl<'p> Pinned<'p> {
    /// Opens the folder of `path`, a path with all links resolved.
    ///
    /// # Errors
    /// `ELOOP` if the path of the folder contains a symbolic link.
    pub(super) fn new(path: &'p Path) -> io::Result<Self> {
        let (folder, name) = split(path)?;
        Ok(Self {
            folder: Rc::new(open_folder(folder)?),
            name,
        })
    }

    /// Opens the folders of two paths. Nearly always it is the same folder, which is opened once.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn pair(a: &'p Path, b: &'p Path) -> io::Result<(Self, Self)> {
        let first = Self::new(a)?;
        if a.parent() != b.parent() {
            return Ok((first, Self::new(b)?));
        }
        let second = Self {
            folder: Rc::clone(&first.folder),
            name: split(b)?.1,
        };
        Ok((first, second))
    }
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    let is_named_only = folder.as_os_str().is_empty();
    Ok((
        if is_named_only {
            Path::new(".")
        } else {
            folder
        },
        name,
    ))
}

/// Opens a folder without following a link anywhere in its path.
///
/// # Errors
/// `ELOOP` if there is one.
#[cfg(not(target_os = "macos"))]
pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;

    use super::unsupported::Call;

    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    match retry_on_intr(|| rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)) {
        // Linux before 5.6, gVisor, or a sandbox that does not know the call.
        Err(errno) if Call::OpenWithoutLinks.is_unavailable(errno) => open_each(path),
        opened => Ok(opened?),
    }
}

/// As [`open_folder`], one component after the other.
#[cfg(not(target_os = "macos"))]
fn open_each(path: &Path) -> io::Result<OwnedFd> {
    use std::path::Component;

    use rustix::fs::{AtFlags, FileType};

    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |folder: &OwnedFd, name: &OsStr| {
        retry_on_intr(|| rustix::fs::openat(folder, name, flags, Mode::empty()))
    };
    let start = if path.is_absolute() { "/" } else { "." };
    let mut folder = retry_on_intr(|| rustix::fs::open(start, flags, Mode::empty()))?;
    for component in path.components() {
        let name = match component {
            Component::Normal(_) | Component::ParentDir => component.as_os_str(),
            _ => continue,
        };
        folder = open(&folder, name).map_err(|errno| {
            // A link is not a directory either, but the path is not missing.
            let is_link =
                |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            let found = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
            if errno == Errno::NOTDIR && found.is_ok_and(is_link) {
                Errno::LOOP
            } else {
                errno
            }
        })?;
    }
    Ok(folder)
}

/// Opens a folder without following a link anywhere in its path.
///
/// # Errors
/// `ELOOP` if there is one.
#[cfg(target_os = "macos")]
pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW_ANY;
    Ok(retry_on_intr(|| {
        rustix::fs::openat(CWD, path, flags, Mode::empty())
    })?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::system::{Os, System};

    type Open = fn(&Path) -> io::Result<OwnedFd>;

    /// All ways to open a folder on this platform.
    fn ways() -> Vec<(&'static str, Open)> {
        vec![
            ("open_folder", open_folder),
            #[cfg(not(target_os = "macos"))]
            ("open_each", open_each),
        ]
    }

    #[test]
    fn opens_a_folder_whose_path_contains_no_link() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().canonicalize().unwrap().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        let expected = fs::metadata(&folder).unwrap();
        for (way, open) in ways() {
            let opened = rustix::fs::fstat(open(&folder).unwrap()).unwrap();
            assert_eq!(
                opened.st_ino,
                std::os::unix::fs::MetadataExt::ino(&expected),
                "{way}"
            );
        }
    }

    #[test]
    fn refuses_a_link_at_any_place_of_the_path() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        fs::create_dir_all(real.join("a/b/c")).unwrap();
        symlink(real.join("a"), real.join("first")).unwrap();
        symlink("b", real.join("a/middle")).unwrap();
        symlink("c", real.join("a/b/last")).unwrap();
        for path in ["first/b/c", "a/middle/c", "a/b/last"] {
            for (way, open) in ways() {
                let error = open(&real.join(path)).unwrap_err();
                let errno = Errno::from_io_error(&error);
                assert_eq!(errno, Some(Errno::LOOP), "{way}: {path}");
            }
        }
    }

    #[test]
    fn reports_a_missing_folder_as_missing_and_a_file_as_no_directory() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        fs::write(real.join("file"), "").unwrap();
        for (way, open) in ways() {
            for (path, expected) in [("missing", Errno::NOENT), ("file", Errno::NOTDIR)] {
                let error = open(&real.join(path)).unwrap_err();
                assert_eq!(Errno::from_io_error(&error), Some(expected), "{way}");
            }
        }
    }

    #[test]
    fn opens_the_folder_of_a_name_without_a_folder() {
        let pinned = Pinned::new(Path::new("name")).unwrap();
        let here = rustix::fs::fstat(&pinned.folder).unwrap();
        assert_eq!(here.st_ino, rustix::fs::stat(".").unwrap().st_ino);
        assert!(Pinned::new(Path::new("/")).is_err());
    }

    /// All calls that change a name, on a folder that is a symbolic link.
    fn changes_through_a_link(link: &Path, unnamed: &File) -> Vec<(&'static str, io::Result<()>)> {
        let (old, new) = (link.join("old"), link.join("new"));
        vec![
            ("rename", Os.rename(&old, &new)),
            ("rename_no_replace", Os.rename_no_replace(&old, &new)),
            ("exchange", Os.exchange(&old, &link.join("other"))),
            ("unlink", Os.unlink(&old)),
            ("create_new", Os.create_new(&new).map(drop)),
            #[cfg(target_os = "linux")]
            ("create_unnamed", Os.create_unnamed(link).map(drop)),
            #[cfg(target_os = "linux")]
            ("link", Os.link(unnamed, &new)),
        ]
    }

    #[test]
    fn no_name_is_changed_in_a_folder_that_became_a_link() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        fs::create_dir(real.join("private")).unwrap();
        fs::write(real.join("private/old"), "old").unwrap();
        fs::write(real.join("private/other"), "other").unwrap();
        symlink("private", real.join("link")).unwrap();
        let unnamed = Os.create_unnamed(&real);
        let unnamed = unnamed.unwrap_or_else(|_| tempfile::tempfile().unwrap());
        for (call, result) in changes_through_a_link(&real.join("link"), &unnamed) {
            let errno = Errno::from_io_error(&result.unwrap_err());
            assert_eq!(errno, Some(Errno::LOOP), "{call}");
        }
        assert_eq!(fs::read_dir(real.join("private")).unwrap().count(), 2);
        assert_eq!(fs::read_to_string(real.join("private/old")).unwrap(), "old");
    }
}
