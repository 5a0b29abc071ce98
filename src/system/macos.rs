//! macOS: exchange (on APFS) and flock are here; unnamed files, process start times and a boot id
//! are not.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Process;
pub(super) use super::unix::{
    copy_attributes, copy_owner, create_new, exchange, is_in_use, open, read_at, rename,
    rename_no_replace, stat, stat_following, stat_open, try_flock, unlink, write_all_at,
};
use super::unsupported::Call;

/// macOS has no `O_TMPFILE`.
pub(super) fn create_unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Without unnamed files there is nothing to link.
pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// macOS has no `sync_file_range`.
pub(super) fn start_write_back(_: &File, _: u64, _: u64) {}

/// `fsync` alone leaves it to the drive when to write. The standard library asks for `F_FULLFSYNC`,
/// which does not, and which network drives and some others do not know: there `fsync` is the most
/// that can be had.
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

/// Start times would take `proc_pidinfo`, which JavaScript does not have either: the gateway's
/// locks carry none on macOS, and it never compares ours (`"starttime":0`). A pid that was given to
/// another process, and a zombie, which `kill` cannot tell from the living, block until the lock is
/// 5 minutes old.
pub(super) fn process(pid: u64) -> Process {
    if !super::unix::may_live(pid) {
        return Process::Gone;
    }
    Process::Alive {
        starttime: None,
        started_ms: None,
    }
}

/// Without one, a crashed sweep's lock is judged like JavaScript's: by its pid, after a second.
pub(super) fn boot_id() -> Option<String> {
    None
}
