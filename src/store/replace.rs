//! Replaces a store by its rewritten copy: compare and swap.
//!
//! The file at the store's path must still be the file that was read. Where the file system can
//! exchange two names, this is checked again *after* the exchange, on the file that came out: if a
//! process that ignores the lock wrote in between, its file is put back.
//!
//! # Limitations
//! Without exchange (some network and FUSE file systems, Windows) the comparison takes place only
//! before the rename. What such a process writes in the microseconds between is lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{Context, Error, Result, is_missing};
use crate::store::{Store, leftovers};
use crate::system::{Obstacle, Refusal, Stat, System, is_unmapped};

/// How often a file that came out of an exchange is put back before the sweep gives up, because
/// another process replaces the store again each time.
const PUT_BACK_ATTEMPTS: u32 = 1000;

/// How often, and at what interval, a rename is retried that fails because another process has the
/// file open. On Windows, virus scanners, indexers and backups open files for a few milliseconds.
/// (The renames of transcripts are not retried: there are many, and a failure is only a warning.)
const RENAME_ATTEMPTS: u32 = 10;
const RENAME_PAUSE: Duration = Duration::from_millis(10);

/// Some file systems of Windows do not replace an open file.
const CLOSES_BEFORE_RENAME: bool = cfg!(windows);

/// How many names of temp files are tried: crashed processes with the same pid may have left some.
const NAMES_TRIED: u32 = 100;

/// When a replacement gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// Once it is complete, where the file system has unnamed files.
    #[default]
    WhenComplete,
    /// When it is created: an unnamed file could not be given a name.
    AtCreation,
}

/// The file that will replace a store. If it is dropped before, no trace of it remains.
#[derive(Debug)]
#[must_use = "a replacement that is dropped is discarded"]
pub struct Replacement<'s, S: System> {
    system: &'s S,
    file: S::File,
    store: Store<S::File>,
    /// Its name, if it has one.
    name: Option<PathBuf>,
}

/// What came of an attempt to replace a store.
#[must_use]
pub enum Swap<'s, S: System> {
    /// The replacement is the store now.
    Replaced(Box<Replaced<'s, S>>),
    /// The store changed since it was read. It is as its last writer left it.
    Changed {
        /// An older state of the store that its last writer may not have seen: its path before and
        /// now.
        kept: Option<(PathBuf, PathBuf)>,
    },
    /// The replacement has no name and cannot be given one. The store is unchanged. The caller creates
    /// another replacement, with [`Naming::AtCreation`].
    Unnameable,
}

/// A replaced store. Readers see the new file; [`finish`](Self::finish) makes this durable.
#[must_use = "the replacement is not durable before `finish`"]
pub struct Replaced<'s, S: System> {
    /// Keeps the old file open. Once it has no name, closing it frees its blocks, which takes time
    /// for a large file.
    replacement: Replacement<'s, S>,
    /// The old file, if it has a name because the names were exchanged.
    old: Option<OldFile>,
    after: Option<Stat>,
}

/// The file that was the store before an exchange.
struct OldFile {
    name: PathBuf,
    /// Its attributes after the exchange, which changed its `ctime`.
    exchanged: Stat,
}

impl<'s, S: System> Replacement<'s, S> {
    /// Creates an empty file of mode 0600 beside the store, with the store's owner and extended
    /// attributes. It has no name yet if `naming` and the file system permit that.
    ///
    /// # Errors
    /// [`Error::Obstructed`] if no user can replace the store. [`Error::Refused`] if the owner cannot be
    /// preserved: the gateway could not read such a store.
    /// [`Error::Io`] from the system: `ENOSPC`, `EROFS`, `EACCES`, ….
    pub fn create(system: &'s S, store: Store<S::File>, naming: Naming) -> Result<Self> {
        check_obstacles(system, &store.path)?;
        let folder = folder_of(&store.path);
        let unnamed = match naming {
            Naming::WhenComplete => system.create_unnamed(folder),
            Naming::AtCreation => Err(io::ErrorKind::Unsupported.into()),
        };
        let (file, name) = match unnamed {
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
        // While it has a name, the flock shows other sweeps that it is not the leftover of a crash.
        // Without flock, its age does.
        let _ = system.try_flock(&replacement.file);
        replacement.preserve_attributes()?;
        Ok(replacement)
    }

    fn preserve_attributes(&self) -> Result<()> {
        let (system, store) = (self.system, &self.store);
        // A user of this namespace can have the id that stands for all users outside it.
        if is_unmapped(store.before.uid) && !system.is_own(&store.file) {
            return Err(not_preserved(&store.path, store.before.uid));
        }
        match system.copy_owner(&store.before, &self.file) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(not_preserved(&store.path, store.before.uid));
            }
            copied => copied.context("preserve the owner of", &store.path)?,
        }
        system
            .copy_attributes(&store.file, &self.file)
            .context("preserve the attributes of", &store.path)
    }

    /// Returns the store that will be replaced.
    #[must_use]
    pub fn store(&self) -> &Store<S::File> {
        &self.store
    }

    /// Returns the file to which the kept entries are written, from offset 0.
    #[must_use]
    pub fn file(&self) -> &S::File {
        &self.file
    }

    /// Waits until all `written` bytes are on the disk. After this, only names remain to be changed.
    ///
    /// # Errors
    /// [`Error::Io`] from the system. It is final: after a failed sync the contents of the disk are
    /// unknown, so this replacement must be discarded.
    pub fn sync(&self, written: u64) -> Result<()> {
        let path = &self.store.path;
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
                "{written} bytes were written, the file has {size}"
            )))
            .context("write the new content of", path);
        }
        Ok(())
    }

    /// Replaces the store, if the file at its path is still the one that was read. The caller holds
    /// the store's lock.
    ///
    /// # Errors
    /// [`Error::Io`] from the system; [`Error::Contended`] if another process replaces the store
    /// again and again. The store is as its last writer left it.
    pub fn replace(mut self) -> Result<Swap<'s, S>> {
        if !self.store.is_current(self.system)? {
            return Ok(Swap::Changed { kept: None });
        }
        let Some(name) = self.publish()? else {
            return Ok(Swap::Unnameable);
        };
        match self.system.exchange(&name, &self.store.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return self.replace_by_rename(&name);
            }
            Err(error) if is_missing(&error) => return Ok(Swap::Changed { kept: None }),
            // A kernel that does not report mount points.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let path = &self.store.path;
                return Err(obstructed("replace", path, Obstacle::MountPoint));
            }
            Err(error) => return Err(error).context("replace", &self.store.path),
        }
        // The name belongs to the old store now: dropping `self` must not delete it unchecked.
        self.name = None;
        let old = match self.system.stat(&name) {
            Ok(exchanged) if exchanged.same_contents(&self.store.before) => {
                Some(OldFile { name, exchanged })
            }
            Ok(_) => {
                let kept = self.put_back(&name)?;
                return Ok(Swap::Changed { kept });
            }
            Err(error) => {
                if self.put_back_unexamined(&name) {
                    return Err(error).context("examine", &name);
                }
                // The exchange cannot be undone, so the archives must not be undone either. The old
                // file keeps its name, from which the next sweep sees what it is.
                None
            }
        };
        Ok(Swap::Replaced(self.replaced(old)))
    }

    /// Gives the file a name beside the store that shows, after a crash, what the file is. Returns
    /// `None` if an unnamed file cannot be given any.
    fn publish(&mut self) -> Result<Option<PathBuf>> {
        let temp = self
            .system
            .stat_open(&self.file)
            .context("examine the new content of", &self.store.path)?;
        let name = leftovers::exchange_name(&self.store.path, &temp, &self.store.before);
        let named = match &self.name {
            None => match self.system.link(&self.file, &name) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
                linked => linked,
            },
            Some(provisional) => self.system.rename(provisional, &name),
        };
        named.context("name a temp file", &name)?;
        self.name = Some(name.clone());
        Ok(Some(name))
    }

    /// Replaces the store without an exchange.
    fn replace_by_rename(mut self, name: &Path) -> Result<Swap<'s, S>> {
        if CLOSES_BEFORE_RENAME && let Ok(new) = self.system.open(name) {
            // Closes the old file, which is not needed any more.
            self.store.file = new;
        }
        let mut attempt = 1;
        loop {
            if !self.store.is_current(self.system)? {
                return Ok(Swap::Changed { kept: None });
            }
            match self.system.rename(name, &self.store.path) {
                Err(error) if self.system.is_in_use(&error) && attempt < RENAME_ATTEMPTS => {
                    attempt += 1;
                    self.system.sleep(RENAME_PAUSE);
                }
                renamed => {
                    renamed.context("replace", &self.store.path)?;
                    break;
                }
            }
        }
        self.name = None;
        Ok(Swap::Replaced(self.replaced(None)))
    }

    /// Must not fail: the caller would undo the archives of runs that are already removed.
    fn replaced(self, old: Option<OldFile>) -> Box<Replaced<'s, S>> {
        Box::new(Replaced {
            after: self.system.stat_open(&self.file).ok(),
            replacement: self,
            old,
        })
    }

    /// Undoes the exchange if the file that came out cannot be examined. Returns whether it was
    /// undone.
    fn put_back_unexamined(&self, name: &Path) -> bool {
        if self.system.exchange(name, &self.store.path).is_err() {
            return false;
        }
        // The file at the name may be another process's, written in between. A file that is not
        // deleted here is classified by the next sweep.
        let ours = self.system.stat_open(&self.file);
        let found = self.system.stat(name);
        if let (Ok(ours), Ok(found)) = (ours, found)
            && found.same_file(&ours)
        {
            let _ = self.system.unlink(name);
        }
        true
    }

    /// Puts back the file at `name`, which came out of the exchange and is not the store that was
    /// read: a process that ignores the lock wrote it.
    ///
    /// That process may replace the store again before it is put back. Then its newer file comes
    /// out and is put back in turn, until the file that comes out is the one that was put in last.
    /// If that is not our own file, it is an older state by that process, which may have read ours
    /// in between and so lack it: it is kept, and its old and new path are returned.
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
                    // Another process removed the store without having seen this file, which must
                    // not be lost.
                    self.system
                        .rename_no_replace(name, path)
                        .context("put back", path)?;
                    return Ok(None);
                }
                Err(error) => return Err(error).context("put back", path),
            }
            let came_out = self.system.stat(name).context("examine", name)?;
            if came_out.same_file(&ours) {
                // Best effort: the next sweep removes a leftover.
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

impl<S: System> Replaced<'_, S> {
    /// Returns the new store's attributes, if the system could read them.
    #[must_use]
    pub fn after(&self) -> Option<&Stat> {
        self.after.as_ref()
    }

    /// Returns the store's folder, which [`finish`](Self::finish) syncs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        folder_of(&self.replacement.store.path)
    }

    /// Waits until the exchange, and every other change in the folder, is on the disk. Then removes
    /// the old file, unless a process that ignores the lock has written to it since: that file is
    /// kept beside the store, and its old and new path are returned. Needs no lock.
    ///
    /// # Errors
    /// [`Error::Io`] from the system: the new store is in place, but a power cut may bring the old
    /// one back.
    pub fn finish(&mut self) -> Result<Option<(PathBuf, PathBuf)>> {
        let Replacement { system, store, .. } = &self.replacement;
        let folder = self.folder();
        system.sync_folder(folder).context("sync", folder)?;
        let Some(OldFile { name, exchanged }) = self.old.take() else {
            return Ok(None);
        };
        match system.stat(&name) {
            Ok(now) if now == exchanged => {
                // Best effort: the next sweep removes a leftover.
                let _ = system.unlink(&name);
                Ok(None)
            }
            Ok(now) if now.same_file(&exchanged) => {
                let kept = leftovers::keep(*system, &store.path, &name).context("keep", &name)?;
                Ok(Some((name, kept)))
            }
            // Another sweep recognised and removed it, or it cannot be examined: then the next sweep
            // classifies it.
            _ => Ok(None),
        }
    }
}

/// Creates a file whose name no other process and no other sweep of this process uses.
fn create_named<S: System>(system: &S, store: &Path) -> Result<(S::File, PathBuf)> {
    static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut attempt = 1;
    loop {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = leftovers::unfinished_name(store, system.pid(), number);
        match system.create_new(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < NAMES_TRIED => {
                attempt += 1;
            }
            file => return Ok((file.context("create a temp file", &name)?, name)),
        }
    }
}

/// Checks whether a user can replace a store.
///
/// # Errors
/// [`Error::Obstructed`] if no user can.
pub(crate) fn check_obstacles<S: System>(system: &S, store: &Path) -> Result<()> {
    let folder = folder_of(store);
    if let Some(obstacle) = system.obstacle(store) {
        return Err(obstructed("replace", store, obstacle));
    }
    if let Some(obstacle) = system.obstacle(folder) {
        return Err(obstructed("change", folder, obstacle));
    }
    Ok(())
}

fn obstructed(operation: &'static str, path: &Path, obstacle: Obstacle) -> Error {
    Error::Obstructed {
        operation,
        path: path.to_owned(),
        obstacle,
    }
}

fn not_preserved(store: &Path, uid: u32) -> Error {
    Error::Refused {
        operation: "replace",
        path: store.to_owned(),
        refusal: if is_unmapped(uid) {
            Refusal::UnmappedOwner { uid }
        } else {
            Refusal::Owner { uid }
        },
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
