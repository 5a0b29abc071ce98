//! What Linux and macOS share.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, XattrFlags, fchown};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Pid;

use super::pinned::Pinned;
use super::rights;
use super::unsupported::Call;
use super::{Kind, Links, Stat};

/// The mode of every file that a sweep creates.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The size up to which an extended attribute is copied. Linux has a limit of 64 KiB; larger ones
/// exist on macOS only.
const MAX_ATTRIBUTE: usize = 16 << 20;

/// There is no such attribute.
#[cfg(target_os = "macos")]
const NO_ATTRIBUTE: Errno = Errno::NOATTR;
#[cfg(not(target_os = "macos"))]
const NO_ATTRIBUTE: Errno = Errno::NODATA;

/// Whether an exchange turned out to be a plain rename: some FUSE file systems ignore the flags of a
/// rename. None is used any more, then.
static IGNORES_FLAGS: AtomicBool = AtomicBool::new(false);

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

pub(super) fn open_for_update(path: &Path) -> io::Result<File> {
    let at = Pinned::new(path)?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = || rustix::fs::openat(&at.folder, at.name, flags | OFlags::NOCTTY, Mode::empty());
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

/// On Unix, an open file can be renamed and replaced.
pub(super) fn is_in_use(_: &io::Error) -> bool {
    false
}

pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let (a, b) = Pinned::pair(a, b)?;
    rename_with(&a, &b, Call::Exchange, RenameFlags::EXCHANGE)?;
    let other = rustix::fs::statat(&a.folder, a.name, AtFlags::SYMLINK_NOFOLLOW);
    if matches!(other, Err(Errno::NOENT)) {
        IGNORES_FLAGS.store(true, Ordering::Relaxed);
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
    if IGNORES_FLAGS.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Unsupported.into());
    }
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

pub(super) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
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
    let owner = (now.uid != from.uid).then(|| Uid::from_raw(from.uid));
    let group = Some(Gid::from_raw(from.gid));
    let both = match owner {
        None => rights::with_any_group(|| fchown(to, None, group)),
        owner => fchown(to, owner, group),
    };
    let changed = match both {
        // Without its group the file is as private as with it. Only the owner matters.
        Err(errno) if Call::ChangeOwner.is_unavailable(errno) => fchown(to, owner, None),
        changed => changed,
    };
    match changed {
        Err(errno) if !Call::ChangeOwner.is_unavailable(errno) => Err(errno.into()),
        // Some file systems accept a change and ignore it.
        _ if stat_open(to)?.uid == from.uid => Ok(()),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Copies what a user or a security module has attached to a file: `user.*` and the labels of
/// `SELinux` and Smack; on macOS everything. `security.ima` and `security.evm` are computed from the
/// content, and access lists would extend the mode 0600.
pub(super) fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    for name in attribute_names(from)?.split(|byte| *byte == 0) {
        if is_copied(name) {
            copy_attribute(from, to, name)?;
        }
    }
    Ok(())
}

fn is_copied(name: &[u8]) -> bool {
    const LABELS: &[&[u8]] = &[b"security.selinux", b"security.SMACK64"];
    !name.is_empty()
        && (cfg!(target_os = "macos") || name.starts_with(b"user.") || LABELS.contains(&name))
}

/// Returns the names of a file's extended attributes, each with a zero at its end.
fn attribute_names(file: &File) -> io::Result<Vec<u8>> {
    read_attribute(|buffer| rustix::fs::flistxattr(file, buffer)).map(Option::unwrap_or_default)
}

fn copy_attribute(from: &File, to: &File, name: &[u8]) -> io::Result<()> {
    let Some(value) = read_attribute(|buffer| rustix::fs::fgetxattr(from, name, buffer))? else {
        return Ok(());
    };
    let set = rustix::fs::fsetxattr(to, name, &value, XattrFlags::empty());
    Call::Attributes.if_available(set)
}

/// Reads an attribute, or the list of all, of unknown size. `None` if there are no attributes here.
fn read_attribute(
    read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 1024];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::RANGE) if buffer.len() < MAX_ATTRIBUTE => buffer.resize(buffer.len() * 8, 0),
            // Removed since it was listed, or too large.
            Err(NO_ATTRIBUTE | Errno::RANGE) => return Ok(None),
            Err(errno) if Call::Attributes.is_unavailable(errno) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
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
