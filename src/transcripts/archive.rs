//! Renames transcripts away, back again if the sweep fails, and deletes archives that grew old.
//!
//! An archive is the transcript itself under the name `<transcript>.deleted.<stamp>`, so that
//! archiving costs one rename and can be undone by one.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result, is_missing};
use crate::gateway::js;
use crate::system::{System, describe, rename_to_vacant};
use crate::transcripts::Tally;

const INFIX: &str = ".deleted.";

/// How many milliseconds a stamp moves on before a name is given up: one second of archives of
/// one and the same transcript.
const STAMPS_TRIED: i64 = 1000;

/// The transcripts that a sweep has archived so far, and how to undo it.
///
/// Archiving is best effort: what cannot be renamed stays where it is, is told in
/// [`warnings`](Self::warnings), and stops no other. Dropping this undoes nothing: a sweep that is
/// killed here leaves entries whose transcripts are archived, which the next sweep finishes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cron_session_reaper::system::Os;
/// use cron_session_reaper::transcripts::archive::Archive;
///
/// let sessions = tempfile::tempdir()?;
/// let transcript = sessions.path().join("a1.jsonl");
/// std::fs::write(&transcript, "")?;
///
/// let mut archive = Archive::new(&Os);
/// assert!(archive.add(&transcript, 1_772_366_400_000));
/// assert!(sessions.path().join("a1.jsonl.deleted.2026-03-01T12-00-00.000Z").exists());
///
/// assert!(archive.undo().is_empty());
/// assert!(transcript.exists());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "if the sweep fails, what was archived has to be renamed back with `undo`"]
pub struct Archive<'s, S> {
    system: &'s S,
    archived: Vec<Archived>,
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Archived {
    transcript: PathBuf,
    stamp_ms: i64,
}

impl Archived {
    fn name(&self) -> PathBuf {
        archive_name(&self.transcript, self.stamp_ms)
    }
}

impl<'s, S: System> Archive<'s, S> {
    /// Nothing archived yet.
    pub fn new(system: &'s S) -> Self {
        Self {
            system,
            archived: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Archives one transcript, a path that
    /// [`Folder::transcripts`](super::locate::Folder::transcripts) gave. `now_ms` is the wall
    /// clock's time in milliseconds since 1970. Says whether it was archived.
    ///
    /// An archive of that name is never overwritten: the stamp moves on by a millisecond.
    pub fn add(&mut self, transcript: &Path, now_ms: i64) -> bool {
        for stamp_ms in now_ms..now_ms.saturating_add(STAMPS_TRIED) {
            let archive = archive_name(transcript, stamp_ms);
            match rename_to_vacant(self.system, transcript, &archive) {
                Ok(()) => {
                    self.archived.push(Archived {
                        transcript: transcript.to_owned(),
                        stamp_ms,
                    });
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if is_missing(&error) => return false,
                Err(error) => {
                    self.warn(transcript, &describe(&error));
                    return false;
                }
            }
        }
        self.warn(transcript, "all its archive names are taken");
        false
    }

    fn warn(&mut self, transcript: &Path, why: &str) {
        let transcript = transcript.display();
        self.warnings
            .push(format!("cannot archive {transcript}: {why}"));
    }

    /// How many transcripts were archived.
    #[must_use]
    pub fn len(&self) -> usize {
        self.archived.len()
    }

    /// Was none archived?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.archived.is_empty()
    }

    /// The folders in which a transcript was archived, each once.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let transcripts = self.archived.iter().map(|archived| &archived.transcript);
        let mut seen = HashSet::new();
        transcripts
            .filter_map(|transcript| transcript.parent())
            .filter(move |folder| seen.insert(*folder))
    }

    /// Those whose stamp is before `cutoff_ms`, in milliseconds since 1970. There are some only if
    /// the sweep's moment lies in the future.
    pub fn expired(&self, cutoff_ms: f64) -> impl Iterator<Item = PathBuf> {
        self.archived
            .iter()
            .filter(move |archived| is_expired(archived.stamp_ms, cutoff_ms))
            .map(Archived::name)
    }

    /// What could not be archived and why, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Waits until the new names are on the disk, but for those in `folder`: its caller has to sync
    /// that one anyway.
    ///
    /// # Errors
    /// The first folder's that could not be synced; the others are synced all the same.
    pub fn sync_outside(&self, folder: &Path) -> Result<()> {
        let mut outcome = Ok(());
        for folder in self.folders().filter(|it| *it != folder) {
            let synced = self.system.sync_folder(folder).context("sync", folder);
            outcome = outcome.and(synced);
        }
        outcome
    }

    /// Renames everything back, the last first. Never over a file that has come to stand in the
    /// transcript's place. Returns what could not be undone, a sentence each.
    #[must_use = "what could not be undone has to be reported"]
    pub fn undo(self) -> Vec<String> {
        let mut warnings = Vec::new();
        for archived in self.archived.iter().rev() {
            let (archive, transcript) = (archived.name(), &archived.transcript);
            if let Err(error) = rename_to_vacant(self.system, &archive, transcript) {
                warnings.push(format!(
                    "cannot undo the archiving of {}: {}; its contents are in {}",
                    transcript.display(),
                    describe(&error),
                    archive.display()
                ));
            }
        }
        warnings
    }
}

fn archive_name(transcript: &Path, stamp_ms: i64) -> PathBuf {
    let stamp = js::archive_stamp(stamp_ms);
    let mut name = OsString::with_capacity(transcript.as_os_str().len() + 33);
    name.push(transcript);
    name.push(INFIX);
    name.push(stamp);
    name.into()
}

/// Deletes archives, and says how many and of what size. One that cannot be deleted stops no other.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cron_session_reaper::system::Os;
/// use cron_session_reaper::transcripts::archive;
///
/// let sessions = tempfile::tempdir()?;
/// let archives = [sessions.path().join("a.jsonl.deleted.2026-03-01T12-00-00.000Z")];
/// std::fs::write(&archives[0], "{}\n")?;
///
/// assert_eq!(archive::count(archives.clone()).bytes, 3);
/// assert_eq!(archive::remove(&Os, archives.clone()).files, 1);
/// assert!(!archives[0].exists());
/// # Ok(()) }
/// ```
pub fn remove<S: System>(system: &S, archives: impl IntoIterator<Item = PathBuf>) -> Tally {
    tally(archives, |archive| system.unlink(archive).is_ok())
}

/// What [`remove`] would delete now.
pub fn count(archives: impl IntoIterator<Item = PathBuf>) -> Tally {
    tally(archives, |_| true)
}

fn tally(
    archives: impl IntoIterator<Item = PathBuf>,
    mut goes: impl FnMut(&Path) -> bool,
) -> Tally {
    let mut tally = Tally::default();
    for archive in archives {
        let bytes = fs::symlink_metadata(&archive).map_or(0, |metadata| metadata.len());
        if goes(&archive) {
            tally.add(bytes);
        }
    }
    tally
}

/// The stamp in an archive's name, in milliseconds since 1970. An archive is a file whose name, after
/// the last `.deleted.` in it, is nothing but a stamp of the form that the gateway writes,
/// milliseconds optional.
pub(crate) fn stamp_of(name: &std::ffi::OsStr) -> Option<i64> {
    let (_, stamp) = name.to_str()?.rsplit_once(INFIX)?;
    js::parse_archive_stamp(stamp)
}

/// Is an archive of this stamp to be deleted? Both are in milliseconds since 1970, the cutoff with
/// fractions, as `now - retention` is in JavaScript.
#[allow(
    clippy::cast_precision_loss,
    reason = "four-digit years are far below 2^53 ms"
)]
pub(crate) fn is_expired(stamp_ms: i64, cutoff_ms: f64) -> bool {
    (stamp_ms as f64) < cutoff_ms
}
