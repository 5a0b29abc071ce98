//! The store on disk: read it, rewrite it, replace it.
//!
//! [`StorePaths`] resolves the store's path once. [`reading`] reads a store in chunks, and [`scan`] parses
//! them in constant memory.
//! [`survey`] uses it to find out whether a run is expired, [`rewrite`] to write the kept entries to
//! another file. [`replace`] puts that file in the store's place. [`leftovers`] removes what crashed
//! writers left beside the store. [`survey_cache`] avoids reading an unchanged store again.

pub mod leftovers;
pub mod reading;
pub mod replace;
pub mod rewrite;
pub mod scan;
pub mod survey;
pub mod survey_cache;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::abort::Abort;
use crate::error::{Context, Error, Result, is_missing};
use crate::gateway::session_key::RunKeys;
use crate::store::reading::Source;
use crate::system::{Kind, Refusal, Rights, Stat, System};

/// How often a store is read that another process is writing in place.
const READ_ATTEMPTS: u32 = 8;

/// How long a process that writes a store in place may leave it incomplete between two writes.
const INCOMPLETE_WRITE: Duration = Duration::from_millis(25);

/// Which entries of a store are expired runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expiry {
    /// A run is expired if its `updatedAt` is less than this, in milliseconds since 1970.
    pub cutoff_ms: f64,
    /// Which keys are keys of runs.
    pub keys: RunKeys,
}

impl Expiry {
    /// Returns whether a run with this `updatedAt` is expired. NaN, as in JavaScript, never is.
    pub(crate) fn expires(self, updated_at: f64) -> bool {
        updated_at < self.cutoff_ms
    }
}

impl From<f64> for Expiry {
    fn from(cutoff_ms: f64) -> Self {
        Self {
            cutoff_ms,
            keys: RunKeys::default(),
        }
    }
}

/// The paths of a store, resolved once for a sweep.
///
/// ```
/// use cron_session_reaper::{store::StorePaths, system::Os};
///
/// let folder = tempfile::tempdir()?;
/// let named = folder.path().join("sessions.json");
/// assert!(StorePaths::resolve(&Os, &named)?.is_none());
///
/// std::fs::write(&named, "{}")?;
/// let paths = StorePaths::resolve(&Os, &named)?.expect("the store exists");
/// assert_eq!(paths.lock, paths.folder.join("sessions.json.lock"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePaths {
    /// The store as the caller named it: absolute, without `.` and `..`.
    pub named: PathBuf,
    /// The store with all links resolved. A linked store is written through.
    pub real: PathBuf,
    /// The folder of [`named`](Self::named) with all links resolved: where the transcripts are.
    pub folder: PathBuf,
    /// The lock file, where the gateway has it: in [`folder`](Self::folder), named after the store.
    pub lock: PathBuf,
}

impl StorePaths {
    /// Resolves the paths of the store at `named`, an absolute path without `.` and `..`. Returns
    /// `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::NotAFile`] for the root directory, [`Error::Io`] if the path cannot be resolved,
    /// [`Error::Refused`] if this user must not follow it.
    pub fn resolve<S: System>(system: &S, named: &Path) -> Result<Option<Self>> {
        let (Some(folder), Some(name)) = (named.parent(), named.file_name()) else {
            return Err(Error::not_a_store(named, Kind::Folder));
        };
        let real = match system.canonicalize(named) {
            Ok(real) => real,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error).context("find", named),
        };
        let folder = system.canonicalize(folder).context("resolve", folder)?;
        confirm_rights(system, named, &real, &folder)?;
        let mut lock = name.to_owned();
        lock.push(".lock");
        Ok(Some(Self {
            named: named.to_owned(),
            real,
            lock: folder.join(lock),
            folder,
        }))
    }

    /// Returns whether a path in the folder is the store, or the link to it that was named.
    pub(crate) fn is_store(&self, path: &Path) -> bool {
        let is_named = |name| path == self.folder.join(name);
        path == self.real || self.named.file_name().is_some_and(is_named)
    }
}

/// Does a part of a sweep or an inspection of the store at `named` with the rights that it may use:
/// those of the user who controls the path.
///
/// # Errors
/// [`Error::Refused`] if this user must not access the store, and those of `work`.
pub(crate) fn with_rights<S: System, T>(
    system: &S,
    named: &Path,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let rights = limit_rights(system, named)?;
    work().map_err(|error| error.explained_by(&rights))
}

/// Limits this thread's rights, until the result is dropped, as [`with_rights`] does.
///
/// # Errors
/// [`Error::Refused`] if this user must not access the store.
pub(crate) fn limit_rights<S: System>(system: &S, named: &Path) -> Result<Rights> {
    system
        .limit_rights(named)
        .map_err(|refusal| refused(named, refusal))
}

/// Makes sure that the path `named`, which resolves to `real` in the folder `folder`, leads to where
/// [`limit_rights`] found it to lead.
///
/// # Errors
/// [`Error::Refused`] if this user must not follow it.
pub(crate) fn confirm_rights<S: System>(
    system: &S,
    named: &Path,
    real: &Path,
    folder: &Path,
) -> Result<()> {
    system
        .confirm_rights(named, real, folder)
        .map_err(|refusal| refused(named, refusal))
}

fn refused(store: &Path, refusal: Refusal) -> Error {
    Error::Refused {
        operation: "access",
        path: store.to_owned(),
        refusal,
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store<F> {
    /// Its path, with all links resolved.
    pub path: PathBuf,
    /// The open file.
    pub file: F,
    /// The file's attributes before it was read.
    pub before: Stat,
}

impl<F> Store<F> {
    /// Opens the store for reading. Returns `None` if it no longer exists.
    ///
    /// # Errors
    /// [`Error::NotAFile`] for anything but a regular file; [`Error::Io`] from the system.
    pub fn open<S: System<File = F>>(system: &S, paths: &StorePaths) -> Result<Option<Self>> {
        // Before it is opened: opening a device can have side effects.
        match system.stat(&paths.real) {
            Ok(stat) if stat.kind == Kind::File => {}
            Ok(stat) => return Err(Error::not_a_store(&paths.named, stat.kind)),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error).context("examine", &paths.named),
        }
        let file = match system.open(&paths.real) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error).context("open", &paths.named),
        };
        let before = system.stat_open(&file).context("examine", &paths.named)?;
        if before.kind != Kind::File {
            return Err(Error::not_a_store(&paths.named, before.kind));
        }
        Ok(Some(Self {
            path: paths.real.clone(),
            file,
            before,
        }))
    }

    /// Opens the store at `named` and calls `read` with it, again as long as another process is writing
    /// the store in place. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// Those of [`StorePaths::resolve`], of [`open`](Self::open) and of `read`; [`Error::ModifiedWhileRead`] after eight
    /// attempts.
    pub fn read<S: System<File = F>, T>(
        system: &S,
        named: &Path,
        mut read: impl FnMut(&StorePaths, &Self) -> Result<T>,
    ) -> Result<Option<(StorePaths, Self, T)>> {
        let Some(paths) = StorePaths::resolve(system, named)? else {
            return Ok(None);
        };
        for _ in 0..READ_ATTEMPTS {
            let Some(store) = Self::open(system, &paths)? else {
                return Ok(None);
            };
            let outcome = read(&paths, &store);
            if !store.was_incomplete(system, &outcome)? {
                return Ok(Some((paths, store, outcome?)));
            }
        }
        Err(Error::ModifiedWhileRead {
            path: paths.named,
            attempts: READ_ATTEMPTS,
        })
    }

    /// Returns whether reading the store failed because another process is writing it in place, so
    /// that what was read is partly the old and partly a new store. If `outcome` is invalid JSON,
    /// this waits 25 ms to see whether the store changes.
    ///
    /// # Errors
    /// [`Error::Io`] from the system.
    pub fn was_incomplete<S: System<File = F>, T>(
        &self,
        system: &S,
        outcome: &Result<T>,
    ) -> Result<bool> {
        if !matches!(outcome, Err(Error::Json { .. })) {
            return Ok(false);
        }
        system.sleep(INCOMPLETE_WRITE);
        Ok(!self.is_current(system)?)
    }

    /// Returns whether the file at the store's path is still this one, unchanged since it was opened.
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

    /// Returns what a pass reads the store from, until `abort` is requested.
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
}

#[cfg(test)]
mod tests;
