//! macOS: exchange and flock are here; unnamed files, process start times and a boot id are not.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Process;
pub(super) use super::unix::{
    copy_owner, create_new, exchange, open, read_at, rename_no_replace, stat, stat_following,
    stat_open, sync_folder, try_flock, write_all_at,
};

/// macOS has no `O_TMPFILE`.
pub(super) fn create_unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Without unnamed files there is nothing to link.
pub(super) fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// macOS has no `sync_file_range`. (`sync` is `F_FULLFSYNC` there: the standard library sees to it.)
pub(super) fn start_write_back(_: &File, _: u64, _: u64) {}

/// Start times would take `proc_pidinfo`, which JavaScript does not have either: the gateway's
/// locks carry none on macOS.
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
