//! Fixtures for tests: a folder tree that can be compared with an earlier state, and the real system
//! with injected faults.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::error::Failure;
use crate::store::survey_cache::SurveyCache;
use crate::sweep::outcome::{LogLine, Report};
use crate::sweep::{self, Options, Outcome, Request};
use crate::system::{Beat, Heartbeat, Obstacle, Os, Process, Stat, System};

/// A pid of no process: it is above the largest pid of every platform. The pid of a process that has
/// ended may be reused at any time.
pub(crate) const UNUSED_PID: u64 = 4_194_305;

/// A temporary folder tree. Its state can be compared with an earlier one.
pub(crate) struct Tree {
    root: PathBuf,
    _folder: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        Self {
            root,
            _folder: folder,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Returns the full path of `path`, whose parent folders exist after this call.
    fn new_path(&self, path: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Creates a file that contains its own path, so that every file has different contents.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.file_of(path, path.as_bytes())
    }

    /// Creates a file with the given contents, and its parent folders.
    pub(crate) fn file_of(&self, path: &str, contents: &[u8]) -> PathBuf {
        let path = self.new_path(path);
        fs::write(&path, contents).unwrap();
        path
    }

    /// Creates a folder and its parent folders.
    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Creates a symbolic link and its parent folders.
    pub(crate) fn link(&self, path: &str, target: &str) -> PathBuf {
        let path = self.new_path(path);
        symlink(target, &path).unwrap();
        path
    }

    /// Creates a FIFO and its parent folders.
    pub(crate) fn fifo(&self, path: &str) -> PathBuf {
        let path = self.new_path(path);
        // rustix lacks this call on macOS.
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        path
    }

    /// Returns a description of everything in the tree by path: kind, contents and inode.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        self.list(&self.root, &mut all);
        all
    }

    fn list(&self, folder: &Path, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let description = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                self.list(&path, all);
                "folder".to_owned()
            } else if metadata.is_file() {
                let contents = fs::read(&path).unwrap();
                format!("{} {}", metadata.ino(), String::from_utf8_lossy(&contents))
            } else {
                "special".to_owned()
            };
            let name = path.strip_prefix(&self.root).unwrap();
            all.insert(name.to_str().unwrap().to_owned(), description);
        }
    }

    /// Returns the paths of the regular files, sorted.
    pub(crate) fn real_files(&self) -> Vec<String> {
        let mut files: Vec<_> = self.all().into_keys().collect();
        files.retain(|path| fs::symlink_metadata(self.at(path)).unwrap().is_file());
        files
    }

    /// Returns the differences from `expected`, for messages.
    pub(crate) fn changes(&self, expected: &BTreeMap<String, String>) -> Vec<String> {
        let all = self.all();
        let only_in = |sign: &str, a: &BTreeMap<_, String>, b: &BTreeMap<_, String>| {
            let differing = a.iter().filter(|(path, state)| b.get(*path) != Some(state));
            differing
                .map(|(path, state)| format!("{sign} {path}: {state}"))
                .collect::<Vec<_>>()
        };
        [only_in("+", &all, expected), only_in("-", expected, &all)].concat()
    }
}

/// Sets the time of a file's last modification.
pub(crate) fn touch(path: &Path, written: SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(written).unwrap();
}

/// Returns the error with which a call on a path fails, if it fails.
type Fault = Box<dyn Fn(&str, &Path) -> Option<ErrorKind> + Send + Sync>;

/// The real system, except that chosen calls fail. Records all calls.
pub(crate) struct Faulty {
    fault: Fault,
    process: Option<(u64, Process)>,
    now: Option<SystemTime>,
    calls: Mutex<Vec<(&'static str, PathBuf)>>,
}

impl Faulty {
    pub(crate) fn new(
        fault: impl Fn(&str, &Path) -> Option<ErrorKind> + Send + Sync + 'static,
    ) -> Self {
        Self {
            fault: Box::new(fault),
            process: None,
            now: None,
            calls: Mutex::default(),
        }
    }

    pub(crate) fn with_process(self, pid: u64, process: Process) -> Self {
        Self {
            process: Some((pid, process)),
            ..self
        }
    }

    pub(crate) fn with_now(self, now: SystemTime) -> Self {
        Self {
            now: Some(now),
            ..self
        }
    }

    /// Returns the paths on which `name` was called, in order.
    pub(crate) fn calls(&self, name: &str) -> Vec<PathBuf> {
        let calls = self.calls.lock().unwrap();
        let named = calls.iter().filter(|(call, _)| *call == name);
        named.map(|(_, path)| path.clone()).collect()
    }

    /// Returns the paths of all calls that are not in `folder`.
    pub(crate) fn calls_outside(&self, folder: &Path) -> Vec<PathBuf> {
        let calls = self.calls.lock().unwrap();
        let paths = calls.iter().map(|(_, path)| path.clone());
        paths.filter(|path| !path.starts_with(folder)).collect()
    }

    pub(crate) fn forget_calls(&self) {
        self.calls.lock().unwrap().clear();
    }

    fn call<T>(
        &self,
        name: &'static str,
        path: &Path,
        real: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.calls.lock().unwrap().push((name, path.to_owned()));
        match (self.fault)(name, path) {
            Some(kind) => Err(kind.into()),
            None => real(),
        }
    }
}

impl System for Faulty {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        self.call("open", path, || Os.open(path))
    }

    fn open_no_follow(&self, path: &Path) -> io::Result<File> {
        self.call("open_no_follow", path, || Os.open_no_follow(path))
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        self.call("create_unnamed", folder, || Os.create_unnamed(folder))
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        self.call("create_new", path, || Os.create_new(path))
    }

    fn link(&self, file: &File, path: &Path) -> io::Result<()> {
        self.call("link", path, || Os.link(file, path))
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.call("exchange", a, || Os.exchange(a, b))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename", from, || Os.rename(from, to))
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename_no_replace", from, || Os.rename_no_replace(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call("unlink", path, || Os.unlink(path))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.call("canonicalize", path, || Os.canonicalize(path))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.call("stat", path, || Os.stat(path))
    }

    fn stat_following(&self, path: &Path) -> io::Result<Stat> {
        self.call("stat_following", path, || Os.stat_following(path))
    }

    fn stat_open(&self, file: &File) -> io::Result<Stat> {
        Os.stat_open(file)
    }

    fn try_flock(&self, file: &File) -> io::Result<bool> {
        self.call("try_flock", Path::new(""), || Os.try_flock(file))
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call("read_at", Path::new(""), || {
            Os.read_at(file, buffer, offset)
        })
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call("write_all_at", Path::new(""), || {
            Os.write_all_at(file, bytes, offset)
        })
    }

    fn truncate(&self, file: &File) -> io::Result<()> {
        Os.truncate(file)
    }

    fn start_write_back(&self, file: &File, offset: u64, length: u64) {
        Os.start_write_back(file, offset, length);
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.call("sync", Path::new(""), || Os.sync(file))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call("sync_folder", folder, || Os.sync_folder(folder))
    }

    fn copy_owner(&self, from: &Stat, to: &File) -> io::Result<()> {
        self.call("copy_owner", Path::new(""), || Os.copy_owner(from, to))
    }

    /// As on Windows, where another process can have a file open.
    fn is_in_use(&self, error: &io::Error) -> bool {
        error.kind() == ErrorKind::ResourceBusy || Os.is_in_use(error)
    }

    fn copy_attributes(&self, from: &File, to: &File) -> io::Result<()> {
        self.call("copy_attributes", Path::new(""), || {
            Os.copy_attributes(from, to)
        })
    }

    /// Any fault is a mount point.
    fn obstacle(&self, path: &Path) -> Option<Obstacle> {
        let found = self.call("obstacle", path, || Ok(Os.obstacle(path)));
        found.unwrap_or(Some(Obstacle::MountPoint))
    }

    /// Only records the call: a test cannot wait for a beat.
    fn start_heartbeat(&self, _: &File, _: Beat) -> Heartbeat {
        let _ = self.call("start_heartbeat", Path::new(""), || Ok(()));
        Heartbeat::none()
    }

    fn process(&self, pid: u64) -> Process {
        match self.process {
            Some((known, process)) if known == pid => process,
            _ => Os.process(pid),
        }
    }

    fn pid(&self) -> u64 {
        Os.pid()
    }

    fn boot_id(&self) -> Option<String> {
        Os.boot_id()
    }

    fn now(&self) -> SystemTime {
        self.now.unwrap_or_else(|| Os.now())
    }

    fn monotonic(&self) -> Duration {
        Os.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        // The result is ignored: a test injects a side effect here, not an error.
        let _ = self.call("sleep", Path::new(""), || {
            Os.sleep(duration);
            Ok(())
        });
    }
}

/// An outcome as tests read it: a failed sweep has the report of no sweep.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Swept {
    pub(crate) report: Report,
    pub(crate) failure: Option<Failure>,
    pub(crate) log: Vec<LogLine>,
}

impl std::ops::Deref for Swept {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl std::ops::DerefMut for Swept {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.report
    }
}

impl From<Outcome> for Swept {
    fn from(outcome: Outcome) -> Self {
        let (report, failure) = match outcome.result {
            Ok(report) => (report, None),
            Err(failed) => (Report::default(), Some(failed.failure)),
        };
        Self {
            report,
            failure,
            log: outcome.log,
        }
    }
}

/// Sweeps as the gateway does.
pub(crate) fn swept(system: &impl System, request: Request<'_>, cache: &SurveyCache) -> Swept {
    sweep::sweep(system, request, cache).into()
}

/// Sweeps with options.
pub(crate) fn swept_with(
    system: &impl System,
    request: Request<'_>,
    options: &Options,
    cache: &SurveyCache,
) -> Swept {
    let mut outcome = None;
    sweep::sweep_with(system, request, options, cache, |it| outcome = Some(it));
    outcome.unwrap().into()
}

/// Previews a sweep.
pub(crate) fn preview(
    system: &impl System,
    request: Request<'_>,
    options: &Options,
    cache: &SurveyCache,
) -> Swept {
    sweep::preview(system, request, options, cache).into()
}
