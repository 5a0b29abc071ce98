//! What Linux and macOS share.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Pid;

use super::{Kind, Links, Stat};

pub(super) fn open(path: &Path, links: Links) -> io::Result<File> {
    // NONBLOCK: opening a FIFO without a writer must not block the sweep.
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if matches!(links, Links::Refuse) {
        flags |= OFlags::NOFOLLOW;
    }
    // On a network file system, signals may interrupt this call.
    let open = || rustix::fs::open(path, flags, Mode::empty());
    Ok(retry_on_intr(open)?.into())
}

pub(super) fn create_new(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// On Unix, an open file can be renamed and replaced.
pub(super) fn is_in_use(_: &io::Error) -> bool {
    false
}

pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    rename_with(a, b, RenameFlags::EXCHANGE)
}

pub(super) fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    rename_with(from, to, RenameFlags::NOREPLACE)
}

fn rename_with(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, flags) {
        Ok(()) => Ok(()),
        // INVAL: the file system does not support the flag.
        Err(errno) if errno == Errno::INVAL || unsupported(errno) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// NOSYS is returned by the kernel, the others by the file system. They are equal on Linux only.
fn unsupported(errno: Errno) -> bool {
    [Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP].contains(&errno)
}

pub(super) fn stat(path: &Path) -> io::Result<Stat> {
    Ok(to_stat(&fs::symlink_metadata(path)?))
}

pub(super) fn stat_following(path: &Path) -> io::Result<Stat> {
    Ok(to_stat(&fs::metadata(path)?))
}

pub(super) fn stat_open(file: &File) -> io::Result<Stat> {
    Ok(to_stat(&file.metadata()?))
}

fn to_stat(metadata: &fs::Metadata) -> Stat {
    let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    let kind = metadata.file_type();
    Stat {
        dev: metadata.dev(),
        ino: metadata.ino(),
        size: metadata.size(),
        mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        kind: if kind.is_file() {
            Kind::File
        } else if kind.is_dir() {
            Kind::Folder
        } else if kind.is_symlink() {
            Kind::Link
        } else {
            Kind::Other
        },
        uid: metadata.uid(),
        gid: metadata.gid(),
    }
}

pub(super) fn try_flock(file: &File) -> io::Result<bool> {
    let Err(error) = fs2::FileExt::try_lock_exclusive(file) else {
        return Ok(true);
    };
    match Errno::from_io_error(&error) {
        Some(Errno::INTR) => try_flock(file),
        // WOULDBLOCK is the same number on both systems.
        Some(Errno::AGAIN) => Ok(false),
        // NOLCK: a network file system without its lock service.
        Some(errno) if errno == Errno::NOLCK || unsupported(errno) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        _ => Err(error),
    }
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    FileExt::read_at(file, buffer, offset)
}

pub(super) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    FileExt::write_all_at(file, bytes, offset)
}

pub(super) fn copy_owner(from: &Stat, to: &File) -> io::Result<()> {
    let now = stat_open(to)?;
    if (now.uid, now.gid) == (from.uid, from.gid) {
        return Ok(());
    }
    match std::os::unix::fs::fchown(to, Some(from.uid), Some(from.gid)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Returns `false` only if there is no such process. `EPERM` means that it is another user's.
pub(super) fn may_live(pid: u64) -> bool {
    // `kill` interprets 0 and negative numbers as process groups. No process has a larger number.
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    rustix::process::test_kill_process(pid) != Err(Errno::SRCH)
}
