//! Systems with one deliberate mistake each, which the campaigns must detect.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cron_session_reaper::system::{Beat, Heartbeat, Os, Process, Stat, System};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// Overwrites the store in place instead of exchanging it.
    InPlace,
    /// Archives the transcripts after the store is committed.
    LateArchive,
    /// Syncs neither contents nor names.
    NoSync,
    /// Syncs contents but not names.
    NoFolderSync,
    /// Ignores the errors of writes and syncs.
    Deaf,
    /// Treats any file at the store's path as the store that was read.
    Unchecked,
    /// Uses a lock file that no other process looks for.
    Lockless,
}

/// The real system with one mistake in it.
pub struct Wrong {
    mistake: Mistake,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Renames that are delayed until the folder is synced.
    put_off: Vec<(PathBuf, PathBuf)>,
    /// The attributes of a path when it was first examined.
    first: HashMap<PathBuf, Stat>,
    /// The size that a file should have, by inode.
    sizes: HashMap<u64, u64>,
}

impl Wrong {
    pub fn named(name: &str) -> Self {
        let mistake = match name {
            "in-place" => Mistake::InPlace,
            "late-archive" => Mistake::LateArchive,
            "no-sync" => Mistake::NoSync,
            "no-folder-sync" => Mistake::NoFolderSync,
            "deaf" => Mistake::Deaf,
            "unchecked" => Mistake::Unchecked,
            "lockless" => Mistake::Lockless,
            other => panic!("unknown mistake: {other}"),
        };
        Self {
            mistake,
            state: Mutex::default(),
        }
    }

    fn is(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the path that is used instead of a lock's path.
    fn place(&self, path: &Path) -> PathBuf {
        let is_lock = path.extension().is_some_and(|it| it == "lock");
        if self.is(Mistake::Lockless) && is_lock {
            let mut elsewhere = path.as_os_str().to_owned();
            elsewhere.push(format!(".{}.tmp", std::process::id()));
            return elsewhere.into();
        }
        path.to_owned()
    }
}

impl System for Wrong {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        let file = Os.open(path)?;
        self.state()
            .first
            .insert(path.to_owned(), Os.stat_open(&file)?);
        Ok(file)
    }

    fn open_no_follow(&self, path: &Path) -> io::Result<File> {
        Os.open_no_follow(&self.place(path))
    }

    fn create_unnamed(&self, folder: &Path) -> io::Result<File> {
        Os.create_unnamed(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        Os.create_new(&self.place(path))
    }

    fn link(&self, file: &File, path: &Path) -> io::Result<()> {
        Os.link(file, &self.place(path))
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        let (a, b) = (self.place(a), self.place(b));
        if !self.is(Mistake::InPlace) {
            return Os.exchange(&a, &b);
        }
        let stat = Os.stat(&b)?;
        self.state().first.insert(a.clone(), stat);
        let bytes = std::fs::read(&a)?;
        std::fs::write(&b, &bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Os.rename(&self.place(from), &self.place(to))
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is(Mistake::LateArchive) {
            self.state().put_off.push((from.to_owned(), to.to_owned()));
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
        let trusts = match self.mistake {
            Mistake::InPlace => is_temp,
            Mistake::Unchecked => true,
            _ => false,
        };
        let state = self.state();
        if trusts && let Some(stat) = state.first.get(path) {
            return Ok(*stat);
        }
        // Pretends that an exchange always displaces the store that was read.
        if self.is(Mistake::Unchecked)
            && is_temp
            && let Some(stat) = state.first.values().next()
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
        if self.is(Mistake::Deaf)
            && let Some(size) = self.state().sizes.get(&stat.ino)
        {
            stat.size = *size;
        }
        Ok(stat)
    }

    fn try_flock(&self, file: &File) -> io::Result<bool> {
        Os.try_flock(file)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Os.read_at(file, buffer, offset)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = Os.write_all_at(file, bytes, offset);
        if !self.is(Mistake::Deaf) {
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
        match self.mistake {
            Mistake::NoSync => Ok(()),
            Mistake::Deaf => Os.sync(file).or(Ok(())),
            _ => Os.sync(file),
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let put_off = std::mem::take(&mut self.state().put_off);
        for (from, to) in put_off {
            // Archiving is best effort.
            let _ = Os.rename_no_replace(&from, &to);
        }
        match self.mistake {
            Mistake::NoSync | Mistake::NoFolderSync => Ok(()),
            Mistake::Deaf => Os.sync_folder(folder).or(Ok(())),
            _ => Os.sync_folder(folder),
        }
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
