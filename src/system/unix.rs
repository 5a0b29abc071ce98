//! What Linux and macOS have in common.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Pid;

use super::pinned::Pinned;
use super::unsupported::Call;
use super::{Kind, Links, Stat};

/// The mode of every file that a sweep creates.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Whether an exchange turned out to be a plain rename: some FUSE file systems ignore the flag. None
/// is tried any more, then.
static IGNORES_EXCHANGE: AtomicBool = AtomicBool::new(false);

pub(super) fn open(path: &Path, links: Links) -> io::Result<File> {
    // NONBLOCK: opening a FIFO that nobody writes to must not hang the sweep.
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if matches!(links, Links::Refuse) {
        flags |= OFlags::NOFOLLOW;
    }
    // A network file system lets signals interrupt what never is interrupted on a local one.
    let open = || rustix::fs::open(path, flags, Mode::empty());
    Ok(retry_on_intr(open)?.into())
}

pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let at = Pinned::new(path)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(retry_on_intr(|| {
        rustix::fs::openat(&at.folder, at.name, flags, PRIVATE)
    })?);
    make_private(&file)?;
    Ok(file)
}

/// Gives a new file its mode, from which the umask was subtracted.
pub(super) fn make_private(file: &File) -> io::Result<()> {
    Call::ChangeMode.if_available(rustix::fs::fchmod(file, PRIVATE))
}

/// An open file is in nobody's way.
pub(super) fn is_in_use(_: &io::Error) -> bool {
    false
}

pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    if IGNORES_EXCHANGE.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (a, b) = Pinned::pair(a, b)?;
    rename_with(&a, &b, Call::Exchange, RenameFlags::EXCHANGE)?;
    let other = rustix::fs::statat(&a.folder, a.name, AtFlags::SYMLINK_NOFOLLOW);
    if matches!(other, Err(Errno::NOENT)) {
        IGNORES_EXCHANGE.store(true, Ordering::Relaxed);
    }
    Ok(())
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = Pinned::pair(from, to)?;
    Ok(rustix::fs::renameat(
        &from.folder,
        from.name,
        &to.folder,
        to.name,
    )?)
}

pub(super) fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = Pinned::pair(from, to)?;
    rename_with(&from, &to, Call::RenameToVacant, RenameFlags::NOREPLACE)
}

fn rename_with(
    from: &Pinned<'_>,
    to: &Pinned<'_>,
    call: Call,
    flags: RenameFlags,
) -> io::Result<()> {
    call.result(rustix::fs::renameat_with(
        &from.folder,
        from.name,
        &to.folder,
        to.name,
        flags,
    ))
}

pub(super) fn unlink(path: &Path) -> io::Result<()> {
    let at = Pinned::new(path)?;
    Ok(rustix::fs::unlinkat(&at.folder, at.name, AtFlags::empty())?)
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
        Some(errno) => Call::Flock.result(Err(errno)),
        None => Err(error),
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

/// False only for a clear "no such process": `EPERM` means that it lives under another user.
pub(super) fn may_live(pid: u64) -> bool {
    // 0 and negative numbers would ask after whole process groups; larger ones are no process.
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    rustix::process::test_kill_process(pid) != Err(Errno::SRCH)
}
