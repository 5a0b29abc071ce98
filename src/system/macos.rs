//! macOS: exchange (on APFS) and flock are available; unnamed files, process start times and a boot id
//! are not.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Process;
pub(super) use super::unix::{
    canonicalize, copy_attributes, copy_owner, create_new, exchange, is_in_use, open,
    open_for_update, read_at, rename, rename_no_replace, stat, stat_following, stat_open,
    try_flock, unlink, write_all_at,
};
use super::unsupported::Call;

/// macOS has no `O_TMPFILE`.
pub(super) fn create_unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not needed without unnamed files.
pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// macOS has no `sync_file_range`.
pub(super) fn start_write_back(_: &File, _: u64, _: u64) {}

/// After `fsync` alone, data may still be in the drive's cache. The standard library calls
/// `F_FULLFSYNC`, which empties it. Network drives and some others do not support that: `fsync` is all
/// that is available there.
pub(super) fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if is_unavailable(Call::FullSync, &error) => Ok(rustix::fs::fsync(file)?),
        result => result,
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match sync(&File::open(folder)?) {
        Err(error) if is_unavailable(Call::SyncFolder, &error) => Ok(()),
        result => result,
    }
}

fn is_unavailable(call: Call, error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| call.is_unavailable(errno))
}

/// Start times would require `proc_pidinfo`. The gateway does not have it either: its locks have no
/// start time on macOS, and it never compares ours (`"starttime":0`). A reused pid, and a zombie, which
/// `kill` cannot distinguish from a live process, block until the lock is 5 minutes old.
pub(super) fn process(pid: u64) -> Process {
    if !super::unix::may_live(pid) {
        return Process::Gone;
    }
    Process::Alive {
        starttime: None,
        started_ms: None,
    }
}

/// Without a boot id, a crashed sweep is detected like crashed JavaScript: by its pid, after a second.
pub(super) fn boot_id() -> Option<String> {
    None
}
