//! The real system with a virtual clock, so that no test depends on the machine's speed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::system::{Beat, Heartbeat, Os, Process, Stat, System};

type StartHeartbeat<'a> = dyn Fn(&File, Beat) -> Heartbeat + Send + Sync + 'a;

/// The real system, except that sleeping takes no time: it advances a virtual clock.
pub(super) struct VirtualTime<'a> {
    started: SystemTime,
    elapsed: Mutex<Duration>,
    on_sleep: Box<dyn Fn(Duration) + Send + Sync + 'a>,
    heartbeat: Box<StartHeartbeat<'a>>,
}

impl<'a> VirtualTime<'a> {
    pub(super) fn starting_at(started: SystemTime) -> Self {
        Self {
            started,
            elapsed: Mutex::default(),
            on_sleep: Box::new(|_| ()),
            heartbeat: Box::new(|_, _| Heartbeat::none()),
        }
    }

    pub(super) fn starting_now() -> Self {
        Self::starting_at(SystemTime::now())
    }

    /// Calls `hook` after every sleep, with the time since the start.
    pub(super) fn on_sleep(self, hook: impl Fn(Duration) + Send + Sync + 'a) -> Self {
        Self {
            on_sleep: Box::new(hook),
            ..self
        }
    }

    /// Calls `start` to start a heartbeat.
    pub(super) fn with_heartbeat(
        self,
        start: impl Fn(&File, Beat) -> Heartbeat + Send + Sync + 'a,
    ) -> Self {
        Self {
            heartbeat: Box::new(start),
            ..self
        }
    }

    pub(super) fn advance(&self, duration: Duration) {
        *self.elapsed.lock().unwrap() += duration;
    }
}

impl System for VirtualTime<'_> {
    type File = File;

    fn now(&self) -> SystemTime {
        self.started + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
        (self.on_sleep)(self.monotonic());
    }

    fn start_heartbeat(&self, file: &File, beat: Beat) -> Heartbeat {
        (self.heartbeat)(file, beat)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        Os.open(path)
    }

    fn open_no_follow(&self, path: &Path) -> io::Result<File> {
        Os.open_no_follow(path)
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        Os.create_unnamed(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        Os.create_new(path)
    }

    fn link(&self, file: &File, path: &Path) -> io::Result<()> {
        Os.link(file, path)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        Os.exchange(a, b)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Os.rename(from, to)
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        Os.rename_no_replace(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        Os.unlink(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Os.canonicalize(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        Os.stat(path)
    }

    fn stat_following(&self, path: &Path) -> io::Result<Stat> {
        Os.stat_following(path)
    }

    fn stat_open(&self, file: &File) -> io::Result<Stat> {
        Os.stat_open(file)
    }

    fn try_flock(&self, file: &File) -> io::Result<bool> {
        Os.try_flock(file)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Os.read_at(file, buffer, offset)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        Os.write_all_at(file, bytes, offset)
    }

    fn truncate(&self, file: &File) -> io::Result<()> {
        Os.truncate(file)
    }

    fn start_write_back(&self, file: &File, offset: u64, length: u64) {
        Os.start_write_back(file, offset, length);
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        Os.sync(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Os.sync_folder(folder)
    }

    fn copy_owner(&self, from: &Stat, to: &File) -> io::Result<()> {
        Os.copy_owner(from, to)
    }

    fn process(&self, pid: u64) -> Process {
        Os.process(pid)
    }

    fn pid(&self) -> u64 {
        Os.pid()
    }

    fn boot_id(&self) -> Option<String> {
        Os.boot_id()
    }
}
