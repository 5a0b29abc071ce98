//! Temp files that crashed writers left beside a store.
//!
//! A crashed writer never removes its temp file; 787 MB of them were reported. Most are useless:
//! the beginning of a store, or a superseded one. But a temp file that is newer than the store, or that
//! an exchange of names moved out of the store's place, can be the only copy of what a writer saved.
//! Therefore each file is classified by what is known about it, and one that can be the only copy is
//! kept under a name that no sweep deletes.
//!
//! Classify files only while the store's lock is held. Otherwise a live writer's temp file could be
//! classified just before its writer renames it to the store.

mod names;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use self::names::kept_name;
pub use self::names::unfinished_name;
pub(crate) use self::names::{TempName, exchange_name};
use crate::error::{Context, Result, is_missing};
use crate::gateway::js;
use crate::system::{Kind, Process, Stat, System, describe, path_text, rename_to_vacant};

/// The age from which a temp file's writer can be assumed to be gone. The gateway writes a temp file
/// within seconds.
const MIN_AGE: Duration = Duration::from_secs(10 * 60);

/// The maximum size of a lock file's temp file. A lock file has about 100 bytes.
const MAX_LOCK_SIZE: u64 = 4096;

/// How many removed files are left open. A process may open about a thousand files.
const MAX_OPEN: usize = 128;

/// How many stamps are tried for the name of a kept file, each one millisecond later than the previous
/// one.
const STAMPS_TRIED: i64 = 1000;

/// What was done with the temp files of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleared {
    /// The number of removed files.
    pub removed: u64,
    /// Their total size in bytes.
    pub bytes: u64,
    /// The files that can be the only copy of something: the old and the new path of each.
    pub kept: Vec<(PathBuf, PathBuf)>,
    /// Why files could not be examined or removed. The next sweep tries again.
    pub failures: Vec<String>,
    /// Why files that can be the only copy of something could not be kept. They have their old names.
    pub not_kept: Vec<String>,
}

/// Whether a sweep is applied or only previewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Files are removed and renamed.
    Apply,
    /// Nothing is changed: only what would be removed and kept is returned.
    DryRun,
}

impl Mode {
    /// Makes a change, unless this is a dry run.
    fn apply<T>(self, change: impl FnOnce() -> io::Result<T>) -> io::Result<Option<T>> {
        (self == Self::Apply).then(change).transpose()
    }
}

/// The files beside a store that have the name of a temp file, of the store or of its lock.
///
/// Listing a large folder takes longer than everything else a sweep does, so this happens before the
/// lock is taken. [`clear`](Self::clear) then classifies the files.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    store: PathBuf,
    /// The store lacks nothing that was written before, in nanoseconds since 1970.
    superseded_before: i128,
    /// Whether that is also true of a missing store, because a database contains its data.
    is_migrated: bool,
    /// The new store, if the sweep that clears these files has replaced the store. It holds the flock of
    /// that file itself, as every commit does.
    pub(crate) new_store: Option<Stat>,
    files: Vec<(PathBuf, TempName)>,
}

/// Selects the temp files of a store and its lock by name. `store` is the store's real path, with a
/// link resolved. The names are those of regular files, `beside_store` in the store's folder and
/// `beside_lock` in the lock file's folder, which can be the same.
///
/// The files are compared with the store as it was before a sweep replaced it, written at `written_at`,
/// in nanoseconds since 1970. The new store is younger than all of them, but contains nothing that the
/// old one did not.
pub(crate) fn find(
    store: &Path,
    lock: &Path,
    beside_store: &[String],
    beside_lock: &[String],
    written_at: i128,
) -> Leftovers {
    let of_store = named(store, beside_store, TempName::of_store);
    let of_lock = named(lock, beside_lock, TempName::of_lock);
    Leftovers {
        store: store.to_owned(),
        superseded_before: written_at,
        is_migrated: false,
        new_store: None,
        files: of_store.chain(of_lock).collect(),
    }
}

/// Returns the temp files of `file` among the files `beside` it.
fn named(
    file: &Path,
    beside: &[String],
    parse: fn(&str, &str) -> Option<TempName>,
) -> impl Iterator<Item = (PathBuf, TempName)> {
    let own = file.file_name().and_then(OsStr::to_str);
    beside
        .iter()
        .filter_map(move |name| Some((file.with_file_name(name), parse(own?, name)?)))
}

impl Leftovers {
    /// Returns whether there is no such file.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns whether one of the files is from a native sweep, which leaves a file only if it crashes.
    pub(crate) fn has_native(&self) -> bool {
        let is_native = |(_, name): &(_, TempName)| !matches!(name, TempName::Gateway { .. });
        self.files.iter().any(is_native)
    }

    /// Accepts that the store is missing: a database contains its data.
    pub(crate) fn migrated(self) -> Self {
        Self {
            is_migrated: true,
            ..self
        }
    }

    /// Returns the files that [`clear`](Self::clear) would remove now, with their sizes.
    ///
    /// # Errors
    /// If the store cannot be examined.
    pub(crate) fn removable<S: System>(&self, system: &S) -> Result<Vec<(PathBuf, u64)>> {
        let classifier = self.classifier(system)?;
        let removable = self.files.iter().filter_map(|(path, name)| {
            let (action, bytes) = classifier.action(path, *name).ok()?;
            (action == Action::Remove).then(|| (path.clone(), bytes))
        });
        Ok(removable.collect())
    }

    /// Removes the files that are superseded, and renames those that can be the only copy of something.
    /// Does not modify a file that a live process may still write. Call it with the store's lock held;
    /// [`Mode::DryRun`] gives an estimate without it.
    ///
    /// The first of the removed files are returned in `removed`, open: closing a large file frees its blocks,
    /// which takes a while, so the caller drops them after the lock's release.
    ///
    /// Best effort: a file that cannot be examined, removed or renamed does not affect the others and is
    /// one of the failures.
    ///
    /// # Errors
    /// If the store cannot be examined.
    pub(crate) fn clear<S: System>(
        &self,
        system: &S,
        mode: Mode,
        removed: &mut Vec<S::File>,
    ) -> Result<Cleared> {
        let mut cleared = Cleared::default();
        if self.files.is_empty() {
            return Ok(cleared);
        }
        let classifier = self.classifier(system)?;
        for (path, name) in &self.files {
            let (action, bytes) = match classifier.action(path, *name) {
                Ok(found) => found,
                Err(error) => {
                    let failure = failure("examine", path_text(path), &error);
                    cleared.failures.extend(failure);
                    continue;
                }
            };
            match action {
                Action::Leave => {}
                Action::Remove => match mode.apply(|| unlink_open(system, path, removed)) {
                    Ok(_) => {
                        cleared.removed += 1;
                        cleared.bytes += bytes;
                    }
                    Err(error) => {
                        let failure = failure("remove", path_text(path), &error);
                        cleared.failures.extend(failure);
                    }
                },
                Action::Keep => match mode.apply(|| keep(system, &self.store, path)) {
                    Ok(kept) => {
                        let kept = kept.unwrap_or_else(|| path.clone());
                        cleared.kept.push((path.clone(), kept));
                    }
                    Err(error) => {
                        let file = path_text(path);
                        let file =
                            format_args!("{file}, which may contain sessions that the store lacks");
                        cleared.not_kept.extend(failure("rename", file, &error));
                    }
                },
            }
        }
        Ok(cleared)
    }

    fn classifier<'a, S: System>(&'a self, system: &'a S) -> Result<Classifier<'a, S>> {
        let store = match system.stat(&self.store) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            stat => Some(stat.context("examine", &self.store)?),
        };
        Ok(Classifier {
            system,
            superseded_before: self.superseded_before,
            is_migrated: self.is_migrated,
            new_store: self.new_store.as_ref(),
            store,
            store_path: &self.store,
        })
    }
}

/// Returns why a file could not be cleaned up, or nothing if it does not exist any more.
fn failure(operation: &str, file: impl Display, error: &io::Error) -> Option<String> {
    let reason = describe(error);
    (!is_missing(error)).then(|| format!("cannot {operation} {file}: {reason}"))
}

/// Renames a file beside the store, which can be the only copy of something, to
/// `<store>.kept.<stamp>`, and returns the new path. Never overwrites a file.
///
/// # Errors
/// From the system. The file then keeps its name.
pub(crate) fn keep<S: System>(system: &S, store: &Path, path: &Path) -> io::Result<PathBuf> {
    let now_ms = js::epoch_ms(system.now()).max(0);
    for stamp_ms in now_ms..now_ms.saturating_add(STAMPS_TRIED) {
        let kept = kept_name(store, stamp_ms);
        match rename_to_vacant(system, path, &kept) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| kept),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Removes a file, and leaves it open as long as not too many are.
fn unlink_open<S: System>(system: &S, path: &Path, open: &mut Vec<S::File>) -> io::Result<()> {
    if open.len() < MAX_OPEN {
        open.extend(system.open_no_follow(path));
    }
    system.unlink(path)
}

/// What to do with a temp file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Nothing: a live process may still write it.
    Leave,
    /// Remove it: the store contains everything that is in it.
    Remove,
    /// Keep it under another name: it can be the only copy of something.
    Keep,
}

/// Classifies the temp files of one store.
struct Classifier<'a, S> {
    system: &'a S,
    store_path: &'a Path,
    /// The current store, if it exists.
    store: Option<Stat>,
    /// See [`Leftovers`], as for the next field.
    superseded_before: i128,
    is_migrated: bool,
    new_store: Option<&'a Stat>,
}

impl<S: System> Classifier<'_, S> {
    /// Returns what to do with a file, and its size.
    fn action(&self, path: &Path, name: TempName) -> io::Result<(Action, u64)> {
        let stat = self.system.stat(path)?;
        let action = match stat.kind {
            Kind::File => self.classify(path, &stat, name)?,
            _ => Action::Leave,
        };
        Ok((action, stat.size))
    }

    fn classify(&self, path: &Path, stat: &Stat, name: TempName) -> io::Result<Action> {
        match name {
            // Not a lock file.
            TempName::Lock if stat.size > MAX_LOCK_SIZE => Ok(Action::Leave),
            TempName::Lock => self.classify_by_flock(path, stat),
            // The exchange was not made, so the store from which the file was derived still exists.
            TempName::Exchange { temp, .. } if stat.ino == temp => {
                self.classify_by_flock(path, stat)
            }
            TempName::Exchange { old, .. } if stat.ino == old && !self.is_newer(stat) => {
                Ok(Action::Remove)
            }
            TempName::Exchange { .. } => self.classify_other_writers_store(),
            TempName::Unfinished { pid } => Ok(self.classify_by_age(stat, Some(pid))),
            TempName::Gateway { pid } => Ok(self.classify_by_age(stat, pid)),
        }
    }

    /// Classifies a file whose writer holds its flock as long as it is alive: a lock file from before
    /// it has a name, a replacement from before it is exchanged.
    fn classify_by_flock(&self, path: &Path, stat: &Stat) -> io::Result<Action> {
        let is_dead = match self.is_unheld(path, stat) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.is_old(stat),
            is_unheld => is_unheld?,
        };
        Ok(if is_dead {
            Action::Remove
        } else {
            Action::Leave
        })
    }

    /// Classifies the store of a writer that ignores the lock, which an exchange moved out of the
    /// store's place. A commit that is alive still holds the flock of the file that it made the store,
    /// and moves this one back itself.
    fn classify_other_writers_store(&self) -> io::Result<Action> {
        let Some(store) = &self.store else {
            return Ok(Action::Keep);
        };
        if self.new_store.is_some_and(|it| it.same_file(store)) {
            return Ok(Action::Keep);
        }
        match self.is_unheld(self.store_path, store) {
            Ok(false) => Ok(Action::Leave),
            Ok(true) => Ok(Action::Keep),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Action::Keep),
            Err(error) => Err(error),
        }
    }

    /// Classifies a file whose writer renames it to the store once it is complete.
    fn classify_by_age(&self, stat: &Stat, pid: Option<u64>) -> Action {
        if !self.is_old(stat) || pid.is_some_and(|pid| self.can_be_writer(pid, stat)) {
            Action::Leave
        } else if stat.size > 0 && self.is_newer(stat) {
            Action::Keep
        } else {
            Action::Remove
        }
    }

    /// Returns whether this process can have written the file. A process that started after the last
    /// write cannot: in a container, every run of the gateway has the same pid.
    fn can_be_writer(&self, pid: u64, stat: &Stat) -> bool {
        match self.system.process(pid) {
            Process::Gone => false,
            Process::Alive { started_ms, .. } => {
                started_ms.is_none_or(|started| i128::from(started) * 1_000_000 <= stat.mtime)
            }
        }
    }

    /// Returns whether the file was written after the store, which then may lack what is in it.
    fn is_newer(&self, stat: &Stat) -> bool {
        let is_lost = self.store.is_none() && !self.is_migrated;
        is_lost || stat.mtime > self.superseded_before
    }

    fn is_old(&self, stat: &Stat) -> bool {
        let now = self.system.now().duration_since(UNIX_EPOCH);
        let nanoseconds = |it: Duration| i128::try_from(it.as_nanos()).unwrap_or(i128::MAX);
        now.is_ok_and(|now| nanoseconds(now) - stat.mtime >= nanoseconds(MIN_AGE))
    }

    /// Returns whether no process holds the file's flock. The flock taken here ends when the file is
    /// closed on return.
    fn is_unheld(&self, path: &Path, stat: &Stat) -> io::Result<bool> {
        let file = self.system.open_no_follow(path)?;
        let is_same = self.system.stat_open(&file)?.same_file(stat);
        Ok(is_same && self.system.try_flock(&file)?)
    }
}
