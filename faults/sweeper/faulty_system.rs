//! A system with one planted fault, which a campaign must detect.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cron_session_reaper::system::{Beat, Heartbeat, Os, Process, Refusal, Rights, Stat, System};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Writes the store in place instead of exchanging it.
    InPlace,
    /// Archives the transcripts after the commit of the store.
    LateArchive,
    /// Syncs neither contents nor names.
    NoSync,
    /// Syncs contents, but no names.
    NoFolderSync,
    /// Ignores a failed write or sync.
    IgnoredErrors,
    /// Does not check that the file at the store's path is the store that was read.
    Unchecked,
    /// Has its lock at a path that no other process uses.
    Lockless,
    /// Uses all rights of root in the folders of other users.
    RootsRights,
    /// Reports a call that the system lacks as a failed call.
    NoFallback,
}

/// The real system with one fault.
pub struct FaultySystem {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Renames postponed until the folder is synced.
    postponed: Vec<(PathBuf, PathBuf)>,
    /// The status of each path when it was opened.
    opened: HashMap<PathBuf, Stat>,
    /// The size that each file should have, by inode.
    sizes: HashMap<u64, u64>,
}

impl FaultySystem {
    pub fn named(name: &str) -> Self {
        let fault = match name {
            "in-place" => Fault::InPlace,
            "late-archive" => Fault::LateArchive,
            "no-sync" => Fault::NoSync,
            "no-folder-sync" => Fault::NoFolderSync,
            "ignored-errors" => Fault::IgnoredErrors,
            "unchecked" => Fault::Unchecked,
            "lockless" => Fault::Lockless,
            "roots-rights" => Fault::RootsRights,
            "no-fallback" => Fault::NoFallback,
            other => panic!("unknown fault: {other}"),
        };
        Self {
            fault,
            state: Mutex::default(),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the result of a call that a system may lack.
    fn optional<T>(&self, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(error)
                if self.is(Fault::NoFallback) && error.kind() == io::ErrorKind::Unsupported =>
            {
                Err(io::ErrorKind::PermissionDenied.into())
            }
            result => result,
        }
    }

    /// Returns the path to use for `path`: another one for a lock, if the fault is `Lockless`.
    fn place(&self, path: &Path) -> PathBuf {
        let is_lock = path.extension().is_some_and(|it| it == "lock");
        if self.is(Fault::Lockless) && is_lock {
            let mut elsewhere = path.as_os_str().to_owned();
            elsewhere.push(format!(".{}.tmp", std::process::id()));
            return elsewhere.into();
        }
        path.to_owned()
    }
}

impl System for FaultySystem {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        let file = Os.open(path)?;
        self.state()
            .opened
            .insert(path.to_owned(), Os.stat_open(&file)?);
        Ok(file)
    }

    fn open_no_follow(&self, path: &Path) -> io::Result<File> {
        Os.open_no_follow(&self.place(path))
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        self.optional(Os.create_unnamed(folder))
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        Os.create_new(&self.place(path))
    }

    fn link(&self, file: &File, path: &Path) -> io::Result<()> {
        self.optional(Os.link(file, &self.place(path)))
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        let (a, b) = (self.place(a), self.place(b));
        if !self.is(Fault::InPlace) {
            return self.optional(Os.exchange(&a, &b));
        }
        let stat = Os.stat(&b)?;
        self.state().opened.insert(a.clone(), stat);
        let bytes = std::fs::read(&a)?;
        std::fs::write(&b, &bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Os.rename(&self.place(from), &self.place(to))
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is(Fault::LateArchive) {
            self.state()
                .postponed
                .push((from.to_owned(), to.to_owned()));
            return Ok(());
        }
        Os.rename_no_replace(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        Os.unlink(&self.place(path))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Os.canonicalize(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let is_temp = path.extension().is_some_and(|it| it == "tmp");
        let trusts = match self.fault {
            Fault::InPlace => is_temp,
            Fault::Unchecked => true,
            _ => false,
        };
        let state = self.state();
        if trusts && let Some(stat) = state.opened.get(path) {
            return Ok(*stat);
        }
        // The fault: assumes that the file that came out of the exchange is the store that was read.
        if self.is(Fault::Unchecked)
            && is_temp
            && let Some(stat) = state.opened.values().next()
        {
            return Ok(*stat);
        }
        Os.stat(&self.place(path))
    }

    fn stat_following(&self, path: &Path) -> io::Result<Stat> {
        Os.stat_following(path)
    }

    fn stat_open(&self, file: &File) -> io::Result<Stat> {
        let mut stat = Os.stat_open(file)?;
        if self.is(Fault::IgnoredErrors)
            && let Some(size) = self.state().sizes.get(&stat.ino)
        {
            stat.size = *size;
        }
        Ok(stat)
    }

    fn try_flock(&self, file: &File) -> io::Result<bool> {
        self.optional(Os.try_flock(file))
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Os.read_at(file, buffer, offset)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = Os.write_all_at(file, bytes, offset);
        if !self.is(Fault::IgnoredErrors) {
            return written;
        }
        if let Ok(stat) = Os.stat_open(file) {
            let end = offset + bytes.len() as u64;
            self.state().sizes.insert(stat.ino, end);
        }
        Ok(())
    }

    fn truncate(&self, file: &File) -> io::Result<()> {
        Os.truncate(file)
    }

    fn start_write_back(&self, file: &File, offset: u64, length: u64) {
        Os.start_write_back(file, offset, length);
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        match self.fault {
            Fault::NoSync => Ok(()),
            Fault::IgnoredErrors => Os.sync(file).or(Ok(())),
            _ => Os.sync(file),
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let postponed = std::mem::take(&mut self.state().postponed);
        for (from, to) in postponed {
            // Archiving is best effort.
            let _ = Os.rename_no_replace(&from, &to);
        }
        match self.fault {
            Fault::NoSync | Fault::NoFolderSync => Ok(()),
            Fault::IgnoredErrors => Os.sync_folder(folder).or(Ok(())),
            _ => Os.sync_folder(folder),
        }
    }

    fn copy_owner(&self, from: &Stat, to: &File) -> io::Result<()> {
        Os.copy_owner(from, to)
    }

    fn limit_rights(&self, store: &Path) -> Result<Rights, Refusal> {
        if self.is(Fault::RootsRights) {
            return Ok(Rights::unlimited());
        }
        Os.limit_rights(store)
    }

    fn confirm_rights(&self, store: &Path, real: &Path, folder: &Path) -> Result<(), Refusal> {
        if self.is(Fault::RootsRights) {
            return Ok(());
        }
        Os.confirm_rights(store, real, folder)
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

    fn now(&self) -> SystemTime {
        Os.now()
    }

    fn monotonic(&self) -> Duration {
        Os.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        Os.sleep(duration);
    }

    fn start_heartbeat(&self, file: &File, beat: Beat) -> Heartbeat {
        Os.start_heartbeat(file, beat)
    }
}
