//! Temp files that a crash left beside a store.
//!
//! A crashed writer leaves its temp file behind for ever; 787 MB of them were reported. Most are
//! worth nothing: the start of a store, or one that has long been superseded. But one that is newer
//! than the store, or that an exchange of names threw out, may be the only copy of what some writer
//! saved. So each is judged by what it is for certain, and what may be an only copy is kept under
//! a name that nothing deletes.
//!
//! All of this is done with the store's lock held, or a live writer's temp file might be judged
//! while its writer is about to make it the store.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::error::{Context, Result};
use crate::gateway::js;
use crate::system::{Kind, Process, Stat, System, rename_to_vacant};
use crate::transcripts::listing::Listings;

/// How old a temp file must be before its writer may be taken for gone. The gateway writes one
/// within seconds.
const OLD: Duration = Duration::from_secs(10 * 60);

/// A lock file is some 100 bytes; what is larger is something else.
const LARGEST_LOCK: u64 = 4096;

/// How many milliseconds the stamp of a kept file's name moves on before giving up.
const STAMPS_TRIED: i64 = 1000;

/// The name under which a commit exchanges its temp file with the store:
/// `<store>.reaper.<inode of the temp>.<inode of the old store>.tmp`.
///
/// After a crash the numbers tell what stands there. The temp's own: the exchange never was. The
/// old store's: the exchange was made and the old store only waits to be removed. Any other: a
/// writer that ignores the lock was faster, and what came out is that writer's store.
///
/// ```
/// use std::path::Path;
/// use cron_session_reaper::store::leftovers;
/// use cron_session_reaper::system::{Kind, Stat};
///
/// let stat = |ino| Stat { dev: 1, ino, size: 2, mtime: 0, ctime: 0, kind: Kind::File, uid: 0, gid: 0 };
/// assert_eq!(
///     leftovers::name(Path::new("/s/sessions.json"), &stat(12), &stat(34)),
///     Path::new("/s/sessions.json.reaper.12.34.tmp")
/// );
/// ```
#[must_use]
pub fn name(store: &Path, temp: &Stat, old: &Stat) -> PathBuf {
    with_suffix(store, &format!(".reaper.{}.{}.tmp", temp.ino, old.ino))
}

/// The name of a temp file where files cannot be without one while they are written:
/// `<store>.<pid>-<number>.reaper.tmp`. It becomes [`name`] before the exchange.
///
/// The number tells the sweeps of one process apart, and a process from one before it that had the
/// same pid, as in a container every run of the gateway has.
///
/// ```
/// use std::path::Path;
/// use cron_session_reaper::store::leftovers;
///
/// assert_eq!(
///     leftovers::unfinished_name(Path::new("/s/sessions.json"), 42, 7),
///     Path::new("/s/sessions.json.42-7.reaper.tmp")
/// );
/// ```
#[must_use]
pub fn unfinished_name(store: &Path, pid: u64, number: u32) -> PathBuf {
    with_suffix(store, &format!(".{pid}-{number}.reaper.tmp"))
}

/// What became of the temp files of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Temps {
    /// How many were removed.
    pub removed: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Those that may be the only copy of something: where each stood, and where it is now.
    #[serde(serialize_with = "where_they_are")]
    pub kept: Vec<(PathBuf, PathBuf)>,
}

fn where_they_are<S: Serializer>(
    kept: &[(PathBuf, PathBuf)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(kept.iter().map(|(_, to)| to.to_string_lossy()))
}

impl Temps {
    /// What the user should look at, a sentence for each file that was kept.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.kept.iter().map(|(from, to)| {
            format!(
                "{} may hold sessions that the store lacks; it was kept as {}",
                from.display(),
                to.display()
            )
        })
    }
}

/// The temp files of a store and of its lock, as far as names tell. Which of them are dead is
/// judged later, with the lock held: listing a large folder takes longer than all the rest.
#[derive(Debug)]
pub struct Leftovers {
    store: PathBuf,
    /// When the store was written that they are judged beside, in nanoseconds since 1970. `None`:
    /// the one that stands there then.
    superseded_before: Option<i128>,
    temps: Vec<(PathBuf, Temp)>,
    lock_temps: Vec<PathBuf>,
}

/// Lists the temp files of a store. `store` is the store's real path (a link resolved), `lock` its
/// lock file. What is no regular file, and what has any other name, is none.
///
/// # Errors
/// If a folder cannot be listed.
pub fn find(store: &Path, lock: &Path, listings: &mut Listings) -> Result<Leftovers> {
    let mut suspects = Leftovers {
        store: store.to_owned(),
        superseded_before: None,
        temps: Vec::new(),
        lock_temps: Vec::new(),
    };
    let (Some(names), Some(folder), Some(lock_folder)) =
        (Names::of(store, lock), store.parent(), lock.parent())
    else {
        return Ok(suspects);
    };
    for name in &listings.of(folder)?.temps {
        if let Some(temp) = names.temp(name) {
            suspects.temps.push((folder.join(name), temp));
        }
    }
    for name in &listings.of(lock_folder)?.temps {
        if names.is_lock_temp(name) {
            suspects.lock_temps.push(lock_folder.join(name));
        }
    }
    Ok(suspects)
}

impl Leftovers {
    /// Is one of them a native sweep's? Only a crash leaves such behind.
    #[must_use]
    pub fn any_native(&self) -> bool {
        let is_native = |(_, temp): &(PathBuf, Temp)| match temp {
            Temp::Exchanged { .. } => true,
            Temp::Written { by_gateway, .. } => !by_gateway,
        };
        !self.lock_temps.is_empty() || self.temps.iter().any(is_native)
    }

    /// The same, to be judged beside the store as it was before a sweep replaced it, written at
    /// `mtime`, in nanoseconds since 1970: the new one is younger than any of them, yet holds
    /// nothing that the old one did not.
    #[must_use]
    pub fn judged_beside(self, mtime: i128) -> Self {
        Self {
            superseded_before: Some(mtime),
            ..self
        }
    }

    /// Removes those that are dead. Call it with the store's lock held.
    ///
    /// What a live process may still be writing is left alone; one that cannot be removed stops no
    /// other.
    ///
    /// # Errors
    /// If the store cannot be looked at.
    pub fn remove_dead<S: System>(&self, system: &S) -> Result<Temps> {
        self.judge(system, Sentence::CarriedOut)
    }

    /// What [`remove_dead`](Self::remove_dead) would do now, as far as can be told without the
    /// lock. What would be kept is told to be where it stands.
    ///
    /// # Errors
    /// If the store cannot be looked at.
    pub fn count_dead<S: System>(&self, system: &S) -> Result<Temps> {
        self.judge(system, Sentence::Counted)
    }

    fn judge<S: System>(&self, system: &S, sentence: Sentence) -> Result<Temps> {
        let mut temps = Temps::default();
        if self.temps.is_empty() && self.lock_temps.is_empty() {
            return Ok(temps);
        }
        let store = match system.stat(&self.store) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            stat => Some(stat.context("look at", &self.store)?),
        };
        let judge = Judge {
            system,
            superseded_before: store.map(|store| self.superseded_before.unwrap_or(store.mtime)),
            store,
            path: &self.store,
            sentence,
        };
        // Best effort: what cannot be judged or removed now is tried again at the next sweep.
        for (path, temp) in &self.temps {
            let _ = judge.carry_out(path, temp, &mut temps);
        }
        for path in &self.lock_temps {
            let _ = judge.remove_lock_temp(path, &mut temps);
        }
        Ok(temps)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn strip_tmp(name: &str) -> Option<&str> {
    name.strip_suffix(".tmp")
}

/// The names of the temp files of one store and its lock.
pub(crate) struct Names<'p> {
    store: &'p str,
    lock: &'p str,
}

/// What a temp file's name tells.
#[derive(Debug, PartialEq, Eq)]
enum Temp {
    /// A commit's, named by [`name`].
    Exchanged { temp: u64, old: u64 },
    /// One that becomes the store once it is complete.
    Written { pid: Option<u64>, by_gateway: bool },
}

impl<'p> Names<'p> {
    /// Returns `None` if a name is not valid Unicode: then no file counts as a temp file of it.
    pub(crate) fn of(store: &'p Path, lock: &'p Path) -> Option<Self> {
        Some(Self {
            store: store.file_name()?.to_str()?,
            lock: lock.file_name()?.to_str()?,
        })
    }

    /// Returns whether a file of this name is a temp file of the store.
    pub(crate) fn is_store_temp(&self, name: &str) -> bool {
        self.temp(name).is_some()
    }

    fn temp(&self, name: &str) -> Option<Temp> {
        let middle = strip_tmp(name)?
            .strip_prefix(self.store)?
            .strip_prefix('.')?;
        let by_gateway = |pid| Temp::Written {
            pid,
            by_gateway: true,
        };
        match middle.split('.').collect::<Vec<_>>()[..] {
            ["reaper", temp, old] => Some(Temp::Exchanged {
                temp: number(temp)?,
                old: number(old)?,
            }),
            [which, "reaper"] => {
                let (pid, count) = which.split_once('-')?;
                number(count)?;
                Some(Temp::Written {
                    pid: Some(number(pid)?),
                    by_gateway: false,
                })
            }
            [uuid] if is_uuid(uuid) => Some(by_gateway(None)),
            [pid, uuid] if is_uuid(uuid) => Some(by_gateway(Some(number(pid)?))),
            _ => None,
        }
    }

    /// Returns whether a file of this name is a temp file of the lock.
    pub(crate) fn is_lock_temp(&self, name: &str) -> bool {
        strip_tmp(name)
            .and_then(|name| name.strip_prefix(self.lock)?.strip_prefix('.'))
            .is_some_and(|middle| !middle.is_empty())
    }
}

/// Digits only: `parse` would also take a sign.
fn number(digits: &str) -> Option<u64> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What is to become of a temp file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It may still be written.
    Leave,
    /// The store has all that is in it.
    Remove,
    /// It may be the only copy of something.
    Keep,
}

/// What is done with a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sentence {
    CarriedOut,
    Counted,
}

/// Renames a file beside the store that may be the only copy of something to
/// `<store>.kept.<stamp>`, never over a file that is already there, and says what it is called now.
///
/// # Errors
/// From the system. It is called what it was called, then.
pub fn keep<S: System>(system: &S, store: &Path, path: &Path) -> io::Result<PathBuf> {
    let now_ms = js::epoch_ms(system.now()).max(0);
    for stamp_ms in now_ms..now_ms.saturating_add(STAMPS_TRIED) {
        let stamp = js::archive_stamp(stamp_ms);
        let kept = with_suffix(store, &format!(".kept.{stamp}"));
        match rename_to_vacant(system, path, &kept) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| kept),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Judges the temp files of one store.
struct Judge<'s, S> {
    system: &'s S,
    /// The store as it stands, if there is one.
    store: Option<Stat>,
    /// What was written later than this, in nanoseconds since 1970, the store may lack. `None`: it
    /// lacks everything.
    superseded_before: Option<i128>,
    path: &'s Path,
    sentence: Sentence,
}

impl<S: System> Judge<'_, S> {
    fn carry_out(&self, path: &Path, temp: &Temp, temps: &mut Temps) -> io::Result<()> {
        let stat = self.system.stat(path)?;
        if stat.kind != Kind::File {
            return Ok(());
        }
        match self.verdict(path, &stat, temp)? {
            Verdict::Leave => Ok(()),
            Verdict::Remove => self.remove(path, &stat, temps),
            Verdict::Keep => self.keep(path, temps),
        }
    }

    fn verdict(&self, path: &Path, stat: &Stat, temp: &Temp) -> io::Result<Verdict> {
        match *temp {
            Temp::Exchanged { temp, .. } if stat.ino == temp => self.never_exchanged(path, stat),
            Temp::Exchanged { old, .. } if stat.ino == old && !self.is_newer(stat) => {
                Ok(Verdict::Remove)
            }
            Temp::Exchanged { .. } => self.thrown_out(),
            Temp::Written { pid, .. } => Ok(self.written(stat, pid)),
        }
    }

    /// A derivative of a store that still stands; its writer holds its flock as long as it lives.
    fn never_exchanged(&self, path: &Path, stat: &Stat) -> io::Result<Verdict> {
        let is_free = match self.is_unheld(path, stat) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.is_old(stat),
            is_free => is_free?,
        };
        Ok(if is_free {
            Verdict::Remove
        } else {
            Verdict::Leave
        })
    }

    /// Neither the temp nor the old store. A commit that lives still holds the flock of the file
    /// that it made the store, and will put this one back itself.
    fn thrown_out(&self) -> io::Result<Verdict> {
        let Some(store) = &self.store else {
            return Ok(Verdict::Keep);
        };
        match self.is_unheld(self.path, store) {
            Ok(false) => Ok(Verdict::Leave),
            Ok(true) => Ok(Verdict::Keep),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Verdict::Keep),
            Err(error) => Err(error),
        }
    }

    fn written(&self, stat: &Stat, pid: Option<u64>) -> Verdict {
        if !self.is_old(stat) || pid.is_some_and(|pid| self.may_write(pid, stat)) {
            Verdict::Leave
        } else if stat.size > 0 && self.is_newer(stat) {
            Verdict::Keep
        } else {
            Verdict::Remove
        }
    }

    /// May this process be the one that wrote the file? Not if it began after the last write: in a
    /// container every run of the gateway has the same pid.
    fn may_write(&self, pid: u64, stat: &Stat) -> bool {
        match self.system.process(pid) {
            Process::Gone => false,
            Process::Alive { started_ms, .. } => {
                started_ms.is_none_or(|started| i128::from(started) * 1_000_000 <= stat.mtime)
            }
        }
    }

    /// Was it written after the store, so that the store may lack what is in it?
    fn is_newer(&self, stat: &Stat) -> bool {
        self.superseded_before
            .is_none_or(|superseded| stat.mtime > superseded)
    }

    fn is_old(&self, stat: &Stat) -> bool {
        let now = self.system.now().duration_since(UNIX_EPOCH);
        let is_old = |now: Duration| {
            let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
            let old = i128::try_from(OLD.as_nanos()).unwrap_or(i128::MAX);
            now - stat.mtime >= old
        };
        now.is_ok_and(is_old)
    }

    /// Does nobody hold the file's flock? It is let go of again at once.
    fn is_unheld(&self, path: &Path, stat: &Stat) -> io::Result<bool> {
        let file = self.system.open_no_follow(path)?;
        let is_same = self.system.stat_open(&file)?.same_file(stat);
        Ok(is_same && self.system.try_flock(&file)?)
    }

    fn remove(&self, path: &Path, stat: &Stat, temps: &mut Temps) -> io::Result<()> {
        if self.sentence == Sentence::CarriedOut {
            self.system.unlink(path)?;
        }
        temps.removed += 1;
        temps.bytes += stat.size;
        Ok(())
    }

    fn keep(&self, path: &Path, temps: &mut Temps) -> io::Result<()> {
        let kept = match self.sentence {
            Sentence::Counted => path.to_owned(),
            Sentence::CarriedOut => keep(self.system, self.path, path)?,
        };
        temps.kept.push((path.to_owned(), kept));
        Ok(())
    }

    /// A contender flocks its lock file before it gives it a name, so one whose flock is free
    /// belongs to nobody.
    fn remove_lock_temp(&self, path: &Path, temps: &mut Temps) -> io::Result<()> {
        let stat = self.system.stat(path)?;
        if stat.kind != Kind::File || stat.size > LARGEST_LOCK {
            return Ok(());
        }
        let is_dead = match self.is_unheld(path, &stat) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.is_old(&stat),
            is_unheld => is_unheld?,
        };
        if is_dead {
            self.remove(path, &stat, temps)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";

    #[test]
    fn names_of_temp_files_are_told_from_all_others() {
        let store = Path::new("/s/sessions.json");
        let lock = Path::new("/s/sessions.json.lock");
        let names = Names::of(store, lock).unwrap();
        let written = |pid, by_gateway| Some(Temp::Written { pid, by_gateway });
        for (middle, told) in [
            (UUID.to_owned(), written(None, true)),
            (format!("77.{UUID}"), written(Some(77), true)),
            ("77-0.reaper".to_owned(), written(Some(77), false)),
            ("77.reaper".to_owned(), None),
            ("77-.reaper".to_owned(), None),
            ("77-x.reaper".to_owned(), None),
            (
                "reaper.12.34".to_owned(),
                Some(Temp::Exchanged { temp: 12, old: 34 }),
            ),
            (format!("+7.{UUID}"), None),
            (format!(".{UUID}"), None),
            (format!("a.{UUID}"), None),
            (UUID.replace('-', "_"), None),
            (UUID[1..].to_owned(), None),
            ("reaper.12".to_owned(), None),
            ("reaper.12.34.56".to_owned(), None),
            ("reaper..34".to_owned(), None),
            ("backup".to_owned(), None),
            (String::new(), None),
        ] {
            let name = format!("sessions.json.{middle}.tmp");
            assert_eq!(names.temp(&name), told, "{name}");
        }
        for other in ["sessions.json", "sessions.json.tmp", "other.json", ".tmp"] {
            assert_eq!(names.temp(other), None, "{other}");
        }
        assert!(names.is_lock_temp("sessions.json.lock.12-0.tmp"));
        assert!(!names.is_lock_temp("sessions.json.lock"));
        assert!(!names.is_lock_temp("sessions.json.lock.tmp"));
        assert!(!names.is_lock_temp("sessions.json.lock..tmp"));
    }

    #[test]
    fn the_names_it_gives_are_the_names_it_reads() {
        let store = Path::new("/s/sessions.json");
        let names = Names::of(store, store).unwrap();
        let told = |path: &Path| names.temp(path.file_name().unwrap().to_str().unwrap());
        let stat = |ino| Stat {
            dev: 1,
            ino,
            size: 0,
            mtime: 0,
            ctime: 0,
            kind: Kind::File,
            uid: 0,
            gid: 0,
        };
        assert_eq!(
            told(&name(store, &stat(u64::MAX), &stat(1))),
            Some(Temp::Exchanged {
                temp: u64::MAX,
                old: 1
            })
        );
        let by_us = Temp::Written {
            pid: Some(7),
            by_gateway: false,
        };
        assert_eq!(told(&unfinished_name(store, 7, 3)), Some(by_us));
    }
}
