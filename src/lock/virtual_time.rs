//! The real system with a virtual clock, so that no test depends on the machine's speed, and with calls
//! that fail.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::system::{Beat, Heartbeat, Os, Process, Stat, System};

/// Returns the error with which a call fails at a time since the start, if it fails.
type Fault<'a> = dyn Fn(&str, Duration) -> Option<io::ErrorKind> + Send + Sync + 'a;
type OnSleep<'a> = dyn Fn(&VirtualTime<'_>) + Send + Sync + 'a;
type StartHeartbeat<'a> = dyn Fn(&File, Beat) -> Heartbeat + Send + Sync + 'a;

/// The real system, except that sleeping takes no time: it advances a virtual clock.
pub(super) struct VirtualTime<'a> {
    started: SystemTime,
    elapsed: Mutex<Duration>,
    has_flock_holder: AtomicBool,
    flock_needs_writable: bool,
    on_sleep: Box<OnSleep<'a>>,
    fault: Box<Fault<'a>>,
    heartbeat: Box<StartHeartbeat<'a>>,
}

impl<'a> VirtualTime<'a> {
    pub(super) fn starting_at(started: SystemTime) -> Self {
        Self {
            started,
            elapsed: Mutex::default(),
            has_flock_holder: AtomicBool::new(false),
            flock_needs_writable: false,
            on_sleep: Box::new(|_| ()),
            fault: Box::new(|_, _| None),
            heartbeat: Box::new(|_, _| Heartbeat::none()),
        }
    }

    pub(super) fn starting_now() -> Self {
        Self::starting_at(SystemTime::now())
    }

    /// Calls `hook` after every sleep.
    pub(super) fn on_sleep(self, hook: impl Fn(&VirtualTime<'_>) + Send + Sync + 'a) -> Self {
        Self {
            on_sleep: Box::new(hook),
            ..self
        }
    }

    /// Lets calls fail.
    pub(super) fn with_fault(
        self,
        fault: impl Fn(&str, Duration) -> Option<io::ErrorKind> + Send + Sync + 'a,
    ) -> Self {
        Self {
            fault: Box::new(fault),
            ..self
        }
    }

    /// Supports flock only on files that are open for writing, as NFS does.
    pub(super) fn with_flock_of_writable_files(self) -> Self {
        Self {
            flock_needs_writable: true,
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

    fn fail(&self, call: &str) -> io::Result<()> {
        match (self.fault)(call, self.monotonic()) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    /// Sets whether a live holder has the lock's flock, as far as the test knows.
    pub(super) fn set_flock_holder(&self, has_flock_holder: bool) {
        self.has_flock_holder
            .store(has_flock_holder, Ordering::SeqCst);
    }

    pub(super) fn advance(&self, duration: Duration) {
        *self.elapsed.lock().unwrap() += duration;
    }
}

fn is_writable(file: &File) -> bool {
    let flags = rustix::fs::fcntl_getfl(file).unwrap();
    flags.contains(rustix::fs::OFlags::RDWR)
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
        (self.on_sleep)(self);
    }

    fn start_heartbeat(&self, file: &File, beat: Beat) -> Heartbeat {
        (self.heartbeat)(file, beat)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        Os.open(path)
    }

    fn open_no_follow(&self, path: &Path) -> io::Result<File> {
        self.fail("open_no_follow")?;
        Os.open_no_follow(path)
    }

    fn open_for_update(&self, path: &Path) -> io::Result<File> {
        self.fail("open_for_update")?;
        Os.open_for_update(path)
    }

    fn is_in_use(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::ResourceBusy
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        self.fail("create_unnamed")?;
        Os.create_unnamed(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        Os.create_new(path)
    }

    fn link(&self, file: &File, path: &Path) -> io::Result<()> {
        Os.link(file, path)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.fail("exchange")?;
        Os.exchange(a, b)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Os.rename(from, to)
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        Os.rename_no_replace(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.fail("unlink")?;
        Os.unlink(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Os.canonicalize(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.fail("stat")?;
        Os.stat(path)
    }

    fn stat_following(&self, path: &Path) -> io::Result<Stat> {
        Os.stat_following(path)
    }

    fn stat_open(&self, file: &File) -> io::Result<Stat> {
        Os.stat_open(file)
    }

    fn try_flock(&self, file: &File) -> io::Result<bool> {
        self.fail("try_flock")?;
        if self.flock_needs_writable && !is_writable(file) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // When another test starts a process, the child has this process's descriptors, and so its
        // flocks, until it calls exec. That takes real time, in which virtual time must not pass.
        let started = Instant::now();
        while !Os.try_flock(file)? {
            let is_child = !self.has_flock_holder.load(Ordering::SeqCst);
            if !is_child || started.elapsed() > Duration::from_secs(60) {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
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
