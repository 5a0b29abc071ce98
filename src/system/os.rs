//! The real system. The differences between platforms are in `linux.rs`, `macos.rs` and `windows.rs`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use super::heartbeat::{Beat, Heartbeat};
use super::{Links, Process, Stat, System, platform};
#[cfg(unix)]
use super::{Refusal, Rights, rights};

/// The real system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Os;

impl System for Os {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        platform::open(path, Links::Follow)
    }

    fn open_no_follow(&self, path: &Path) -> io::Result<File> {
        platform::open(path, Links::Refuse)
    }

    fn open_for_update(&self, path: &Path) -> io::Result<File> {
        platform::open_for_update(path)
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        platform::create_unnamed(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        platform::create_new(path)
    }

    fn link(&self, file: &File, path: &Path) -> io::Result<()> {
        platform::link(file, path)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        platform::exchange(a, b)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        platform::rename(from, to)
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        platform::rename_no_replace(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        platform::unlink(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        platform::canonicalize(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        platform::stat(path)
    }

    fn stat_following(&self, path: &Path) -> io::Result<Stat> {
        platform::stat_following(path)
    }

    fn stat_open(&self, file: &File) -> io::Result<Stat> {
        platform::stat_open(file)
    }

    fn try_flock(&self, file: &File) -> io::Result<bool> {
        platform::try_flock(file)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match platform::read_at(file, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        platform::write_all_at(file, bytes, offset)
    }

    fn truncate(&self, file: &File) -> io::Result<()> {
        file.set_len(0)
    }

    fn start_write_back(&self, file: &File, offset: u64, length: u64) {
        platform::start_write_back(file, offset, length);
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        platform::sync(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        platform::sync_folder(folder)
    }

    fn copy_owner(&self, from: &Stat, to: &File) -> io::Result<()> {
        platform::copy_owner(from, to)
    }

    fn copy_attributes(&self, from: &File, to: &File) -> io::Result<()> {
        platform::copy_attributes(from, to)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn is_own(&self, file: &File) -> bool {
        platform::is_own(file)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn obstacle(&self, path: &Path) -> Option<super::Obstacle> {
        platform::obstacle(path)
    }

    #[cfg(unix)]
    fn limit_rights(&self, store: &Path) -> Result<Rights, Refusal> {
        rights::limit(store)
    }

    #[cfg(unix)]
    fn confirm_rights(&self, store: &Path, real: &Path, folder: &Path) -> Result<(), Refusal> {
        rights::confirm(store, real, folder)
    }

    fn process(&self, pid: u64) -> Process {
        platform::process(pid)
    }

    fn pid(&self) -> u64 {
        u64::from(std::process::id())
    }

    fn boot_id(&self) -> Option<String> {
        static BOOT_ID: OnceLock<Option<String>> = OnceLock::new();
        BOOT_ID.get_or_init(platform::boot_id).clone()
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn start_heartbeat(&self, file: &File, beat: Beat) -> Heartbeat {
        let Ok(file) = file.try_clone() else {
            return Heartbeat::none();
        };
        // A failed beat is ignored: the holder verifies its lock before it commits.
        Heartbeat::start(beat, move |bytes, offset| {
            let _ = platform::write_all_at(&file, bytes, offset);
        })
    }
}
