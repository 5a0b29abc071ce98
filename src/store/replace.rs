//! Puts a rewritten store in the place of the one it was made from: compare and swap.
//!
//! The store at the path must still be the very file that was surveyed. Where the file system can
//! exchange two names, that is checked once more *after* the exchange, on what came out: a program
//! that ignores the lock and writes in between is noticed, and what it wrote is put back.
//!
//! # Limitations
//! Where exchange is missing (some network and FUSE file systems, Windows), the comparison comes
//! before the rename only, and what such a program writes in the microseconds between is lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::abort::Abort;
use crate::error::{Context, Error, Result, is_missing};
use crate::store::leftovers;
use crate::store::reading::Source;
use crate::system::{Kind, Stat, System, is_in_use};

/// How often what came out of an exchange is put back before the sweep gives up on a store that
/// somebody replaces faster than that.
const PUT_BACK_ATTEMPTS: u32 = 1000;

/// How often, and how far apart, a rename is tried that another's open file is in the way of: on
/// Windows virus scanners, indexers and backups look into files, and for those few milliseconds some
/// of them let nobody replace them. (Transcripts are not waited for: there are many, and one that
/// cannot be archived fails nothing.)
const RENAME_TRIES: u32 = 10;
const RENAME_PAUSE: Duration = Duration::from_millis(10);

/// Not every file system of Windows replaces a file that is open.
const CLOSES_BEFORE_RENAME: bool = cfg!(windows);

/// How often a store is read that somebody is writing in place.
const READS: u32 = 8;

/// How long a store may stand still between being cut off and being written.
const WRITING: Duration = Duration::from_millis(25);

/// An open store, and which file it was when it was opened.
#[derive(Debug)]
pub struct Store<F> {
    /// Where it really is: links resolved, so that a linked store is written through.
    pub path: PathBuf,
    /// The open file.
    pub file: F,
    /// What it was before it was read.
    pub before: Stat,
}

impl<F> Store<F> {
    /// What is read of it, until `abort` says to stop.
    pub fn source<'a, S: System<File = F>>(
        &'a self,
        system: &'a S,
        abort: &'a Abort,
    ) -> Source<'a, S> {
        Source {
            system,
            file: &self.file,
            path: &self.path,
            abort,
        }
    }

    /// Opens the store at `path` and has it read, once more for as long as somebody is writing it in
    /// place; `None` if there is none, or no more.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and of `read`; [`Error::ModifiedWhileRead`] if that takes too long.
    pub fn read<S: System<File = F>, T>(
        system: &S,
        path: &Path,
        mut read: impl FnMut(&Self) -> Result<T>,
    ) -> Result<Option<(Self, T)>> {
        for _ in 0..READS {
            let Some(store) = Self::open(system, path)? else {
                return Ok(None);
            };
            let outcome = read(&store);
            if !store.is_torn(system, &outcome)? {
                return Ok(Some((store, outcome?)));
            }
        }
        Err(Error::ModifiedWhileRead {
            path: path.to_owned(),
            attempts: READS,
        })
    }

    /// Was what was `read` no JSON because somebody is writing the store in place, so that half of
    /// it was the old one, half a new one? This takes a moment: who cuts a file off, to write it
    /// anew, leaves it standing like that for some milliseconds.
    ///
    /// # Errors
    /// [`Error::Io`] from the system.
    pub fn is_torn<S: System<File = F>, T>(&self, system: &S, read: &Result<T>) -> Result<bool> {
        if !matches!(read, Err(Error::Json { .. })) {
            return Ok(false);
        }
        system.sleep(WRITING);
        Ok(!self.is_current(system)?)
    }

    /// Opens the store at `path` for reading; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::NotAFile`] for anything but a regular file; [`Error::Io`] from the system.
    pub fn open<S: System<File = F>>(system: &S, path: &Path) -> Result<Option<Self>> {
        let real = match system.canonicalize(path) {
            Ok(real) => real,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error).context("find", path),
        };
        let file = match system.open(&real) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error).context("open", path),
        };
        let before = system.stat_open(&file).context("examine", path)?;
        if before.kind != Kind::File {
            return Err(Error::NotAFile {
                path: path.to_owned(),
                found: before.kind.name(),
            });
        }
        Ok(Some(Self {
            path: real,
            file,
            before,
        }))
    }

    /// Is it still the file at its path, unchanged since it was opened?
    ///
    /// # Errors
    /// [`Error::Io`] from the system.
    pub fn is_current<S: System<File = F>>(&self, system: &S) -> Result<bool> {
        match system.stat(&self.path) {
            Ok(now) => Ok(now == self.before),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error).context("examine", &self.path),
        }
    }
}

/// The file that is to become the store. Dropped before the commit, it leaves nothing behind.
#[derive(Debug)]
#[must_use = "a replacement that is dropped is thrown away"]
pub struct Replacement<'s, S: System> {
    system: &'s S,
    file: S::File,
    store: Store<S::File>,
    /// Its name, once it has one.
    name: Option<PathBuf>,
}

/// How a commit ended.
#[must_use]
pub enum Commit<'s, S: System> {
    /// The replacement is the store now.
    Done(Committed<'s, S>),
    /// The store changed meanwhile; it is as its last writer left it.
    Changed {
        /// What another writer had left before, if that may lack it: where it was, and where it is.
        kept: Option<(PathBuf, PathBuf)>,
    },
}

/// The next number of a temp file that has a name from its beginning.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

/// How many numbers are tried that crashed processes of the same pid may have left.
const NUMBERS_TRIED: u32 = 100;

/// A new file under a name that only this process and this sweep give.
fn create_named<S: System>(system: &S, store: &Path) -> Result<(S::File, PathBuf)> {
    let mut tried = 1;
    loop {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = leftovers::unfinished_name(store, system.pid(), number);
        match system.create_new(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < NUMBERS_TRIED => {
                tried += 1;
            }
            file => return Ok((file.context("create a temp file", &name)?, name)),
        }
    }
}

/// A commit that readers see, and that [`finish`](Committed::finish) makes durable.
#[must_use = "not durable before `finish`"]
pub struct Committed<'s, S: System> {
    /// Keeps the old file open: without a name it is gone for everyone else, and the file system
    /// takes its time to free a large one only when this is dropped.
    replacement: Box<Replacement<'s, S>>,
    /// Where the old file is now, where there was an exchange.
    old: Option<PathBuf>,
    after: Option<Stat>,
}

impl<'s, S: System> Replacement<'s, S> {
    /// A new file beside the store, of mode 0600, without a name where the platform knows such.
    ///
    /// # Errors
    /// [`Error::Io`] from the system: `ENOSPC`, `EROFS`, `EACCES`, ….
    pub fn create(system: &'s S, store: Store<S::File>) -> Result<Self> {
        let folder = folder_of(&store.path);
        let (file, name) = match system.create_unnamed(folder) {
            Ok(file) => (file, None),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let (file, name) = create_named(system, &store.path)?;
                (file, Some(name))
            }
            Err(error) => return Err(error).context("create a temp file in", folder),
        };
        let replacement = Self {
            system,
            file,
            store,
            name,
        };
        // Held while it has a name, so that nobody takes it for the left-over of a crash.
        // Where there is no flock, its age protects it.
        let _ = system.try_flock(&replacement.file);
        Ok(replacement)
    }

    /// The store that is to be replaced.
    #[must_use]
    pub fn store(&self) -> &Store<S::File> {
        &self.store
    }

    /// The file to write what stays to, from offset 0.
    #[must_use]
    pub fn file(&self) -> &S::File {
        &self.file
    }

    /// Waits until all `written` bytes are on the disk: after this, only names remain to be changed.
    ///
    /// # Errors
    /// [`Error::Io`] from the system. It is final: after a failed sync nobody knows what the disk
    /// holds, so this replacement must be thrown away.
    pub fn sync(&self, written: u64) -> Result<()> {
        let path = &self.store.path;
        self.system
            .copy_owner(&self.store.before, &self.file)
            .context("keep the owner of", path)?;
        self.system
            .sync(&self.file)
            .context("write the new content of", path)?;
        let size = self
            .system
            .stat_open(&self.file)
            .context("examine the new content of", path)?
            .size;
        if size != written {
            return Err(io::Error::other(format!(
                "{written} bytes were written, {size} are there"
            )))
            .context("write the new content of", path);
        }
        Ok(())
    }

    /// Makes it the store, if the store is still the file that it was made from. To be called with
    /// the store's lock held.
    ///
    /// # Errors
    /// [`Error::Io`] from the system, [`Error::Contended`] if somebody replaces the store again and
    /// again. The store is as its last writer left it.
    pub fn commit(mut self) -> Result<Commit<'s, S>> {
        if !self.store.is_current(self.system)? {
            return Ok(Commit::Changed { kept: None });
        }
        let name = self.publish()?;
        match self.system.exchange(&name, &self.store.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return self.commit_by_rename(&name);
            }
            Err(error) if is_missing(&error) => return Ok(Commit::Changed { kept: None }),
            Err(error) => return Err(error).context("replace", &self.store.path),
        }
        // From here on the name holds what was the store: dropping must not delete it unseen.
        self.name = None;
        let old = match self.system.stat(&name) {
            Ok(came_out) if came_out.same_contents(&self.store.before) => Some(name),
            Ok(_) => {
                let kept = self.put_back(&name)?;
                return Ok(Commit::Changed { kept });
            }
            Err(error) => {
                if self.put_back_unseen(&name) {
                    return Err(error).context("examine", &name);
                }
                // The exchange stands, and so must the archives. What came out stays where it is:
                // the next sweep sees by its name what it is.
                None
            }
        };
        Ok(Commit::Done(self.committed(old)))
    }

    /// Gives the file a name beside the store that tells, after a crash, what it was.
    fn publish(&mut self) -> Result<PathBuf> {
        let temp = self
            .system
            .stat_open(&self.file)
            .context("examine the new content of", &self.store.path)?;
        let name = leftovers::name(&self.store.path, &temp, &self.store.before);
        match &self.name {
            None => self.system.link(&self.file, &name),
            Some(provisional) => self.system.rename(provisional, &name),
        }
        .context("name a temp file", &name)?;
        self.name = Some(name.clone());
        Ok(name)
    }

    /// The nearest that a file system without exchange has.
    fn commit_by_rename(mut self, name: &Path) -> Result<Commit<'s, S>> {
        if CLOSES_BEFORE_RENAME && let Ok(new) = self.system.open(name) {
            // Closes the old one, which nobody reads any more.
            self.store.file = new;
        }
        let mut tried = 1;
        loop {
            if !self.store.is_current(self.system)? {
                return Ok(Commit::Changed { kept: None });
            }
            match self.system.rename(name, &self.store.path) {
                Err(error) if is_in_use(&error) && tried < RENAME_TRIES => {
                    tried += 1;
                    self.system.sleep(RENAME_PAUSE);
                }
                renamed => {
                    renamed.context("replace", &self.store.path)?;
                    break;
                }
            }
        }
        self.name = None;
        Ok(Commit::Done(self.committed(None)))
    }

    /// From here on nothing may fail the sweep: it would take the archives back, and the runs that
    /// they belong to are gone.
    fn committed(self, old: Option<PathBuf>) -> Committed<'s, S> {
        Committed {
            after: self.system.stat_open(&self.file).ok(),
            replacement: Box::new(self),
            old,
        }
    }

    /// Takes the exchange back where nobody can see what came out, and says whether it could.
    fn put_back_unseen(&self, name: &Path) -> bool {
        if self.system.exchange(name, &self.store.path).is_err() {
            return false;
        }
        // What is at the name now need not be ours: somebody may have written in between. Nothing
        // is lost if it stays, for the next sweep judges it.
        let ours = self.system.stat_open(&self.file);
        let there = self.system.stat(name);
        if let (Ok(ours), Ok(there)) = (ours, there)
            && there.same_file(&ours)
        {
            let _ = self.system.unlink(name);
        }
        true
    }

    /// Something else than the surveyed store came out of the exchange and stands at `name`: a
    /// program that ignores the lock wrote it. It goes back to the store's path.
    ///
    /// That program may write again in between; then what comes out is newer still, and goes back
    /// in its turn. It is over once what comes out is what was put in last. If that is not our own
    /// file, it is what that program wrote before: it may have made its newest from ours in the
    /// meantime, which lacks that, so it is kept, and where is returned.
    fn put_back(&self, name: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
        let path = &self.store.path;
        let ours = self
            .system
            .stat_open(&self.file)
            .context("examine the new content of", path)?;
        let mut put_in = ours;
        for _ in 0..PUT_BACK_ATTEMPTS {
            let going_in = self.system.stat(name).context("examine", name)?;
            match self.system.exchange(name, path) {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {
                    // Somebody removed the store: what they had not seen must not be lost.
                    self.system
                        .rename_no_replace(name, path)
                        .context("put back", path)?;
                    return Ok(None);
                }
                Err(error) => return Err(error).context("put back", path),
            }
            let came_out = self.system.stat(name).context("examine", name)?;
            if came_out.same_file(&ours) {
                // Best effort: a left-over is cleaned by the next sweep.
                let _ = self.system.unlink(name);
                return Ok(None);
            }
            if came_out.same_file(&put_in) {
                let kept = leftovers::keep(self.system, path, name).context("keep", name)?;
                return Ok(Some((name.to_owned(), kept)));
            }
            put_in = going_in;
        }
        Err(Error::Contended {
            path: path.clone(),
            attempts: PUT_BACK_ATTEMPTS,
        })
    }
}

impl<S: System> Drop for Replacement<'_, S> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = self.system.unlink(name);
        }
    }
}

impl<S: System> Committed<'_, S> {
    /// What the store is now, if the system tells.
    #[must_use]
    pub fn after(&self) -> Option<&Stat> {
        self.after.as_ref()
    }

    /// The store's folder, which [`finish`](Self::finish) syncs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        folder_of(&self.replacement.store.path)
    }

    /// Waits until the exchange is on the disk, and all else that happened in its folder, then lets
    /// the old file go. Needs no lock.
    ///
    /// # Errors
    /// [`Error::Io`] from the system: the new store is in place, but a power cut now may bring the
    /// old one back.
    pub fn finish(&mut self) -> Result<()> {
        let system = self.replacement.system;
        let folder = self.folder();
        system.sync_folder(folder).context("sync", folder)?;
        if let Some(old) = self.old.take() {
            // Best effort: another sweep may have recognised and removed it already.
            let _ = system.unlink(&old);
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
