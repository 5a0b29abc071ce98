//! Windows: no unnamed files, no exchange, no flock on the lock file, and no syncing of folders.
//!
//! Files are renamed while they are open: the standard library, like Node.js, opens files so that
//! other processes may rename and delete them, and uses POSIX renames, which NTFS supports since
//! Windows 10 1607. A file system without them (FAT, some network drives) does not replace a store
//! that is open. A sweep closes the store before it replaces it. If another process has it open, the
//! sweep fails with a warning, and the store is not modified.
//!
//! # Limitations
//! - `ReFS` has file ids of 128 bits. Windows reports 64 of them here, and does not promise that they
//!   are unique. If two files have the same, a transcript may be kept that could have been archived. A
//!   store that was replaced by such a file, with the same size and the same time of modification, is
//!   not recognised as changed.
//! - On a drive that the mount manager does not know, a path through a link is refused.

use std::fs::{self, File};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_ACCESS_DENIED, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER,
    ERROR_SHARING_VIOLATION, GetLastError, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, MOVEFILE_WRITE_THROUGH, MoveFileExW,
};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

use super::{Kind, Links, Process, Stat};

pub(super) fn open(path: &Path, links: Links) -> io::Result<File> {
    // Without BACKUP_SEMANTICS a folder cannot be opened, and `stat_open` not report that it is one.
    let links = match links {
        Links::Follow => 0,
        // Opens the link itself; `stat_open` then reports a link.
        Links::Refuse => FILE_FLAG_OPEN_REPARSE_POINT,
    };
    File::options()
        .read(true)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | links)
        .open(path)
}

/// Not needed without flock.
pub(super) fn open_for_update(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows has files that are deleted on close, but they cannot be named.
pub(super) fn create_unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The file inherits the folder's access list, instead of mode 0600.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
}

/// Not needed without unnamed files.
pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows cannot exchange two names atomically.
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

pub(super) fn unlink(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// If another process has a file open and does not permit other uses of it, they fail with
/// `ERROR_SHARING_VIOLATION`, and replacing it with `ERROR_ACCESS_DENIED`. The latter is also the
/// error of any use of a file that was deleted but is still open.
pub(super) fn is_in_use(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(i32::cast_unsigned);
    matches!(number, Some(ERROR_SHARING_VIOLATION | ERROR_ACCESS_DENIED))
}

#[expect(
    unsafe_code,
    reason = "std::fs::rename replaces a file at the target; only MoveFileExW can avoid that"
)]
pub(super) fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    let wide = |path: &Path| -> Vec<u16> { path.as_os_str().encode_wide().chain([0]).collect() };
    let (from, to) = (wide(from), wide(to));
    // SAFETY: both are valid, end with a zero and outlive the call.
    if unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), MOVEFILE_WRITE_THROUGH) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Resolves a path. Some RAM and virtual drives (`ImDisk`) are not known to the mount manager, and Windows
/// cannot return the final path of a file there. If no component is a link, it is the absolute path.
pub(super) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    let is_unknown = |error: &io::Error| {
        error.raw_os_error().map(i32::cast_unsigned) == Some(ERROR_INVALID_FUNCTION)
    };
    let error = match fs::canonicalize(path) {
        Err(error) if is_unknown(&error) => error,
        resolved => return resolved,
    };
    let absolute = std::path::absolute(path)?;
    for part in absolute.ancestors().filter(|it| it.file_name().is_some()) {
        if fs::symlink_metadata(part)?.is_symlink() {
            return Err(error);
        }
    }
    Ok(absolute)
}

pub(super) fn stat(path: &Path) -> io::Result<Stat> {
    stat_with(path, FILE_FLAG_OPEN_REPARSE_POINT)
}

pub(super) fn stat_following(path: &Path) -> io::Result<Stat> {
    stat_with(path, 0)
}

fn stat_with(path: &Path, flags: u32) -> io::Result<Stat> {
    // Access mode 0 works on files that may not be read, and BACKUP_SEMANTICS on folders.
    let file = File::options()
        .access_mode(0)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | flags)
        .open(path)?;
    stat_open(&file)
}

pub(super) fn stat_open(file: &File) -> io::Result<Stat> {
    let information = winapi_util::file::information(file)?;
    // Not every reparse point is a link: deduplicated files and cloud files are regular files. The
    // standard library checks the tag.
    let kind = file.metadata()?.file_type();
    let changed = information.last_write_time().map_or(0, since_1970);
    Ok(Stat {
        dev: information.volume_serial_number(),
        ino: information.file_index(),
        size: information.file_size(),
        mtime: changed,
        ctime: changed,
        kind: if kind.is_symlink() {
            Kind::Link
        } else if kind.is_dir() {
            Kind::Folder
        } else if winapi_util::file::typ(file)?.is_disk() {
            Kind::File
        } else {
            Kind::Other
        },
        uid: 0,
        gid: 0,
    })
}

/// Converts from 100 ns since 1601, which is 11,644,473,600 s before 1970.
fn since_1970(filetime: u64) -> i128 {
    (i128::from(filetime) - 116_444_736_000_000_000) * 100
}

/// Windows' locks are mandatory: a locked file could not be read by JavaScript.
pub(super) fn try_flock(_: &File) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

pub(super) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Windows has no equivalent.
pub(super) fn start_write_back(_: &File, _: u64, _: u64) {}

pub(super) fn sync(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Folders cannot be synced on Windows. NTFS records names in a journal that it writes in order and
/// within seconds. A power cut before that restores the complete store from before the sweep, and the
/// next sweep repeats the work. This call only checks that the folder exists.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::metadata(folder).map(drop)
}

/// A new file inherits its folder's access list.
#[expect(clippy::unnecessary_wraps, reason = "it can fail on other platforms")]
pub(super) fn copy_owner(_: &Stat, _: &File) -> io::Result<()> {
    Ok(())
}

/// What else is attached to a file (NTFS: alternate data streams) is not copied.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(super) fn copy_attributes(_: &File, _: &File) -> io::Result<()> {
    Ok(())
}

/// Waits for a handle of the process without blocking. A process that has ended is `Gone`, even if
/// another process has a handle of it.
///
/// Start times are not determined: the gateway's locks have none on Windows, and it never compares ours
/// (`"starttime":0`). A reused pid blocks until the lock is 5 minutes old.
#[expect(
    unsafe_code,
    reason = "the standard library has no query for another process"
)]
pub(super) fn process(pid: u64) -> Process {
    let alive = Process::Alive {
        starttime: None,
        started_ms: None,
    };
    let Ok(pid) = u32::try_from(pid) else {
        return Process::Gone;
    };
    // SAFETY: the arguments are numbers; the handle is closed below.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
    if handle.is_null() {
        // SAFETY: reads this thread's last error. Any error but "no such process" means that the
        // process exists: for example, it is another user's.
        return match unsafe { GetLastError() } {
            ERROR_INVALID_PARAMETER => Process::Gone,
            _ => alive,
        };
    }
    // SAFETY: the handle is open. It is signalled once the process has ended.
    let ended = unsafe { WaitForSingleObject(handle, 0) } == WAIT_OBJECT_0;
    // SAFETY: the handle is open and not used again.
    unsafe { CloseHandle(handle) };
    if ended { Process::Gone } else { alive }
}

/// Not needed without flock.
pub(super) fn boot_id() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;

    use super::*;

    #[test]
    fn an_open_source_or_target_of_a_rename_is_in_use() {
        for open in ["from", "to"] {
            let folder = tempfile::tempdir().unwrap();
            let (from, to) = (folder.path().join("from"), folder.path().join("to"));
            fs::write(&from, "new").unwrap();
            fs::write(&to, "old").unwrap();
            let alone = File::options()
                .read(true)
                .share_mode(FILE_SHARE_READ)
                .open(folder.path().join(open))
                .unwrap();
            let error = fs::rename(&from, &to).unwrap_err();
            assert!(is_in_use(&error), "{open}: {error}");
            drop(alone);
            fs::rename(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        }
    }

    #[test]
    fn a_folder_can_be_opened_and_is_reported_as_one() {
        let folder = tempfile::tempdir().unwrap();
        for links in [Links::Follow, Links::Refuse] {
            let file = open(folder.path(), links).unwrap();
            assert_eq!(stat_open(&file).unwrap().kind, Kind::Folder);
        }
    }

    #[test]
    fn rename_no_replace_reports_an_existing_file() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "from").unwrap();
        fs::write(&to, "to").unwrap();
        let error = rename_no_replace(&from, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&to).unwrap(), "to");
    }

    #[test]
    fn an_ended_process_with_an_open_handle_is_gone() {
        let mut child = std::process::Command::new("cmd")
            .args(["/C", "exit"])
            .spawn()
            .unwrap();
        let pid = u64::from(child.id());
        child.wait().unwrap();
        assert_eq!(process(pid), Process::Gone);
        let alive = Process::Alive {
            starttime: None,
            started_ms: None,
        };
        assert_eq!(process(u64::from(std::process::id())), alive);
    }

    #[test]
    fn a_number_that_is_not_a_pid_is_gone() {
        for pid in [0, u64::from(u32::MAX) + 1, u64::MAX] {
            assert_eq!(process(pid), Process::Gone);
        }
    }

    #[test]
    fn mtime_equals_that_of_the_standard_library() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let modified = file.as_file().metadata().unwrap().modified().unwrap();
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(
            stat(file.path()).unwrap().mtime,
            i128::try_from(since.as_nanos()).unwrap()
        );
    }
}
