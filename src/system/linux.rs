//! Linux: unnamed files, exchange and flock are available on every common local file system.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::retry_on_intr;
use rustix::time::ClockId;

use super::pinned::{Pinned, open_folder};
pub(super) use super::unix::{
    canonicalize, copy_attributes, copy_owner, create_new, exchange, is_in_use, open,
    open_for_update, read_at, rename, rename_no_replace, stat, stat_following, stat_open,
    try_flock, unlink, write_all_at,
};
use super::unsupported::Call;
use super::{Obstacle, Process};

pub(super) fn create_unnamed(folder: &Path) -> io::Result<File> {
    let folder = open_folder(folder)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let opened = retry_on_intr(|| rustix::fs::openat(&folder, ".", flags, mode));
    let file = File::from(Call::CreateUnnamed.result(opened)?);
    // Without /proc (a bare chroot) it could never get a name.
    if fs::symlink_metadata(by_descriptor(&file)).is_err() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    super::unix::make_private(&file)?;
    Ok(file)
}

pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
    let to = Pinned::new(path)?;
    // Linking the descriptor itself (AT_EMPTY_PATH) requires a capability.
    let from = by_descriptor(file);
    let flags = AtFlags::SYMLINK_FOLLOW;
    let linked = rustix::fs::linkat(CWD, &from, &to.folder, to.name, flags);
    Call::Link.result(linked)
}

fn by_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

pub(super) fn is_own(file: &File) -> bool {
    // Only an owner may keep reads from changing the time of last access.
    let is_permitted = |flags| rustix::fs::fcntl_setfl(file, flags | OFlags::NOATIME).is_ok();
    rustix::fs::fcntl_getfl(file).is_ok_and(is_permitted)
}

/// Reads the attributes of `chattr`, and whether the file is the root of a mount (since Linux 5.8).
pub(super) fn obstacle(path: &Path) -> Option<Obstacle> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE).ok()?;
    let has = |attribute| stat.stx_attributes.contains(attribute);
    let is_folder = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
    if has(StatxAttributes::MOUNT_ROOT) && !is_folder {
        Some(Obstacle::MountPoint)
    } else if has(StatxAttributes::IMMUTABLE) {
        Some(Obstacle::Immutable)
    } else if has(StatxAttributes::APPEND) {
        Some(Obstacle::AppendOnly)
    } else {
        None
    }
}

#[expect(unsafe_code, reason = "rustix does not wrap sync_file_range")]
pub(super) fn start_write_back(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    // SAFETY: the arguments are numbers, and the descriptor is open while `file` is borrowed.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset,
            length,
            libc::SYNC_FILE_RANGE_WRITE,
        );
    }
}

pub(super) fn sync(file: &File) -> io::Result<()> {
    file.sync_data()
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    Call::SyncFolder.if_available(retry_on_intr(|| rustix::fs::fsync(&folder)))
}

pub(super) fn process(pid: u64) -> Process {
    if !super::unix::may_live(pid) {
        return Process::Gone;
    }
    let unknown = Process::Alive {
        starttime: None,
        started_ms: None,
    };
    // Hidden (hidepid), or the process has just ended: the caller asks again after a few milliseconds.
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
        return unknown;
    };
    parse_stat(&stat).unwrap_or(unknown)
}

/// Parses `pid (name) state …`. The name may contain spaces and parentheses, so the fields are counted
/// from the last parenthesis.
fn parse_stat(stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = stat[name_end + 1..]
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty());
    if matches!(fields.next()?, b"Z" | b"X" | b"x") {
        return Some(Process::Gone);
    }
    // The state is field 3; the start time is field 22.
    let starttime = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(Process::Alive {
        starttime: Some(starttime),
        started_ms: started_ms(starttime),
    })
}

/// Converts a start time from clock ticks since boot to milliseconds since 1970.
///
/// Uses two clocks instead of `btime` in `/proc/stat`, which has a resolution of a second.
fn started_ms(starttime: u64) -> Option<i64> {
    let milliseconds = |clock| {
        let time = Duration::try_from(rustix::time::clock_gettime(clock)).ok()?;
        i64::try_from(time.as_millis()).ok()
    };
    let ticks = i64::try_from(starttime).ok()?;
    let per_second = i64::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    let since_boot = ticks.checked_mul(1000)?.checked_div(per_second)?;
    let booted = milliseconds(ClockId::Realtime)? - milliseconds(ClockId::Boottime)?;
    booted.checked_add(since_boot)
}

pub(super) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn finds_the_start_time_after_a_process_name_with_parentheses() {
        let stat = b"7 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        let Some(Process::Alive { starttime, .. }) = parse_stat(stat) else {
            panic!("the process should be alive");
        };
        assert_eq!(starttime, Some(4242));
    }

    #[test]
    fn a_zombie_is_gone() {
        assert_eq!(parse_stat(b"7 (x) Z 1 2 3"), Some(Process::Gone));
    }

    #[test]
    fn an_incomplete_stat_has_no_start_time() {
        assert_eq!(parse_stat(b"7 (x"), None);
        assert_eq!(parse_stat(b"7 (x) S 1 2"), None);
    }

    #[test]
    fn the_start_time_of_this_process_is_in_the_last_hour() {
        let Process::Alive {
            starttime: Some(_),
            started_ms: Some(started),
        } = process(u64::from(std::process::id()))
        else {
            panic!("this process is alive, and Linux reports its start time");
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let started = Duration::from_millis(started.try_into().unwrap());
        assert!(started <= now + Duration::from_millis(20));
        assert!(now < started + Duration::from_secs(3600));
    }

    #[test]
    fn a_number_that_is_not_a_pid_is_gone() {
        for pid in [0, u64::from(u32::MAX), i32::MAX as u64 + 1, u64::MAX] {
            assert_eq!(process(pid), Process::Gone);
        }
    }

    #[test]
    fn the_machine_has_a_boot_id() {
        assert_eq!(boot_id().map(|id| id.len()), Some(36));
    }
}
