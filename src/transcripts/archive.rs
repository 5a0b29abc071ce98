//! Archives transcripts, undoes this if the sweep fails, and deletes expired archives.
//!
//! An archive is the transcript under another name, so archiving is one rename and undoing it is
//! another.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result, is_missing};
use crate::system::{System, describe, path_text, rename_to_vacant};
use crate::transcripts::Tally;
use crate::transcripts::archive_name::{archive_path, is_expired};

/// How many stamps are tried, each one millisecond later than the previous one, before a transcript
/// is left under its own name.
const STAMPS_TRIED: i64 = 1000;

/// The transcripts that a sweep has archived so far.
///
/// Archiving is best effort: a transcript that cannot be renamed keeps its name, is reported by
/// [`warnings`](Self::warnings) and does not affect the others. Dropping this value does not undo
/// anything: if a sweep is killed at this point, the store still has the entries of the archived
/// transcripts, and the next sweep removes them.
#[derive(Debug)]
#[must_use = "call `undo` if the sweep fails"]
pub(crate) struct Archive<'s, S> {
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
    fn path(&self) -> PathBuf {
        archive_path(&self.transcript, self.stamp_ms)
    }
}

impl<'s, S: System> Archive<'s, S> {
    /// Creates an archive without transcripts.
    pub(crate) fn new(system: &'s S) -> Self {
        Self {
            system,
            archived: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Archives one transcript and returns whether it was archived. `transcript` is a path from
    /// [`Folder::transcripts`](super::locate::Folder::transcripts), `now_ms` the wall clock's time in
    /// milliseconds since 1970.
    ///
    /// Never overwrites an archive: if the name exists, the stamp advances by a millisecond.
    pub(crate) fn add(&mut self, transcript: &Path, now_ms: i64) -> bool {
        for stamp_ms in now_ms..now_ms.saturating_add(STAMPS_TRIED) {
            match rename_to_vacant(self.system, transcript, &archive_path(transcript, stamp_ms)) {
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
        let reason = format!("all {STAMPS_TRIED} archive names that were tried exist");
        self.warn(transcript, &reason);
        false
    }

    fn warn(&mut self, transcript: &Path, reason: &str) {
        self.warnings.push(cannot_archive(transcript, reason));
    }

    /// Returns the folders of the archived transcripts, each once.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        let transcripts = self.archived.iter().map(|archived| &archived.transcript);
        let mut seen = HashSet::new();
        transcripts
            .filter_map(|transcript| transcript.parent())
            .filter(move |folder| seen.insert(*folder))
    }

    /// Returns the archives of this sweep that have already expired: those whose stamp is before
    /// `cutoff_ms`, in milliseconds since 1970. There are none unless the sweep's `now` is in the
    /// future.
    pub(crate) fn expired(&self, cutoff_ms: f64) -> impl Iterator<Item = PathBuf> {
        self.archived
            .iter()
            .filter(move |archived| is_expired(archived.stamp_ms, cutoff_ms))
            .map(Archived::path)
    }

    /// Returns one message for each transcript that could not be archived.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Syncs the folders of the archived transcripts except `folder`, which the caller syncs itself.
    ///
    /// # Errors
    /// The first error. The remaining folders are synced nevertheless.
    pub(crate) fn sync_outside(&self, folder: &Path) -> Result<()> {
        let mut result = Ok(());
        for folder in self.folders().filter(|it| *it != folder) {
            let synced = self.system.sync_folder(folder).context("sync", folder);
            result = result.and(synced);
        }
        result
    }

    /// Renames all transcripts back, in reverse order. Never overwrites a new file with the
    /// transcript's name. Returns one message for each transcript that could not be renamed back.
    #[must_use = "report the transcripts that could not be renamed back"]
    pub(crate) fn undo(self) -> Vec<String> {
        let mut warnings = Vec::new();
        for archived in self.archived.iter().rev() {
            let (archive, transcript) = (archived.path(), &archived.transcript);
            if let Err(error) = rename_to_vacant(self.system, &archive, transcript) {
                warnings.push(format!(
                    "cannot undo the archiving of {}: {}; its contents are in {}",
                    path_text(transcript),
                    describe(&error),
                    path_text(&archive)
                ));
            }
        }
        warnings
    }
}

/// Returns the message about a transcript that cannot be archived.
pub(crate) fn cannot_archive(transcript: &Path, reason: &str) -> String {
    format!("cannot archive {}: {reason}", path_text(transcript))
}

/// Deletes archives and returns the number and size of those that were deleted. Best effort: an
/// archive that cannot be deleted is added to `failures` and does not affect the others.
pub(crate) fn remove<S: System>(
    system: &S,
    archives: impl IntoIterator<Item = PathBuf>,
    failures: &mut Vec<String>,
) -> Tally {
    tally(archives, |archive| match system.unlink(archive) {
        Ok(()) => true,
        Err(error) => {
            if !is_missing(&error) {
                let (archive, reason) = (path_text(archive), describe(&error));
                failures.push(format!("cannot delete {archive}: {reason}"));
            }
            false
        }
    })
}

/// Returns what [`remove`] would return, without deleting anything.
pub(crate) fn count(archives: impl IntoIterator<Item = PathBuf>) -> Tally {
    tally(archives, |_| true)
}

fn tally(
    archives: impl IntoIterator<Item = PathBuf>,
    mut is_counted: impl FnMut(&Path) -> bool,
) -> Tally {
    let mut tally = Tally::default();
    for archive in archives {
        let bytes = fs::symlink_metadata(&archive).map_or(0, |metadata| metadata.len());
        if is_counted(&archive) {
            tally.add(bytes);
        }
    }
    tally
}
