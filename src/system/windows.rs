//! Windows: no unnamed files, no exchange, and no flock on the lock file.

use std::fs::{self, File};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_INVALID_PARAMETER, GetLastError, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, MOVEFILE_WRITE_THROUGH, MoveFileExW,
};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

use super::{Kind, Links, Process, Stat};

pub(super) fn open(path: &Path, links: Links) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    if matches!(links, Links::Refuse) {
        // Opens the link itself; `stat_open` then tells that it is one.
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    }
    options.open(path)
}

/// Files that vanish on close exist on Windows, but cannot be given a name.
pub(super) fn create_unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The folder's access list takes the place of mode 0600.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
}

/// Without unnamed files there is nothing to link.
pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows cannot exchange two names in one step.
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[allow(
    unsafe_code,
    reason = "std::fs::rename replaces what stands at the target; only MoveFileExW can be told not to"
)]
pub(super) fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    let wide = |path: &Path| -> Vec<u16> { path.as_os_str().encode_wide().chain([0]).collect() };
    let (from, to) = (wide(from), wide(to));
    // SAFETY: both are valid, end in a zero and outlive the call.
    if unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), MOVEFILE_WRITE_THROUGH) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(super) fn stat(path: &Path) -> io::Result<Stat> {
    stat_with(path, FILE_FLAG_OPEN_REPARSE_POINT)
}

pub(super) fn stat_following(path: &Path) -> io::Result<Stat> {
    stat_with(path, 0)
}

fn stat_with(path: &Path, flags: u32) -> io::Result<Stat> {
    // No access rights asked for: that works on files that may not be read. BACKUP_SEMANTICS: on
    // folders, too.
    let file = File::options()
        .access_mode(0)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | flags)
        .open(path)?;
    stat_open(&file)
}

pub(super) fn stat_open(file: &File) -> io::Result<Stat> {
    let information = winapi_util::file::information(file)?;
    let attributes = u32::try_from(information.file_attributes()).unwrap_or(u32::MAX);
    let changed = information.last_write_time().map_or(0, since_1970);
    Ok(Stat {
        dev: information.volume_serial_number(),
        ino: information.file_index(),
        size: information.file_size(),
        mtime: changed,
        ctime: changed,
        kind: if attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            Kind::Link
        } else if attributes & FILE_ATTRIBUTE_DIRECTORY != 0 {
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

/// Windows counts in 100 ns since 1601, which was 11,644,473,600 s before 1970.
fn since_1970(filetime: u64) -> i128 {
    (i128::from(filetime) - 116_444_736_000_000_000) * 100
}

/// Windows' locks are mandatory: one on the lock file would bar JavaScript from reading the pid.
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

/// Windows has no such hint.
pub(super) fn start_write_back(_: &File, _: u64, _: u64) {}

/// Folders cannot be synced on Windows; NTFS journals names by itself.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::metadata(folder).map(drop)
}

/// A new file inherits its folder's access list.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(super) fn copy_owner(_: &Stat, _: &File) -> io::Result<()> {
    Ok(())
}

/// Start times are left out: the gateway's locks carry none on Windows.
#[allow(
    unsafe_code,
    reason = "the standard library cannot ask after another process"
)]
pub(super) fn process(pid: u64) -> Process {
    let alive = Process::Alive {
        starttime: None,
        started_ms: None,
    };
    let Ok(pid) = u32::try_from(pid) else {
        return Process::Gone;
    };
    // SAFETY: takes numbers only; a handle that was obtained is closed below.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
    if handle.is_null() {
        // SAFETY: reads this thread's last error. Only "no such process" is gone: without the right
        // to look the process is another user's, and lives.
        return match unsafe { GetLastError() } {
            ERROR_INVALID_PARAMETER => Process::Gone,
            _ => alive,
        };
    }
    // SAFETY: the handle is ours and open; a process's handle is signalled once it has ended.
    let ended = unsafe { WaitForSingleObject(handle, 0) } == WAIT_OBJECT_0;
    // SAFETY: the handle is ours, open, and not used again.
    unsafe { CloseHandle(handle) };
    if ended { Process::Gone } else { alive }
}

/// Without flock there is nothing for a boot id to vouch for.
pub(super) fn boot_id() -> Option<String> {
    None
}
