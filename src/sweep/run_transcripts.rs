//! The transcripts of expired runs, and whether a live process writes one of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::lock;
use crate::system::{System, describe};
use crate::transcripts::archive::cannot_archive;
use crate::transcripts::locate::{Folder, Transcript, merged};

use super::context::Context;

/// How many `sessionFile`s are remembered.
const MAX_NAMED: usize = 1024;

/// How many failures are remembered. One message stands for all of them.
const MAX_FAILURES: usize = 1024;

/// Finds transcripts during one pass over a store.
pub(super) struct RunTranscripts<'c, 'a, S: System> {
    sweep: &'c Context<'a, S>,
    pub(super) folder: Folder,
    /// What the `sessionFile`s of the last runs name. A file that many runs name is examined once.
    named: HashMap<String, Named>,
    /// Why it is unknown whether there are further transcripts.
    pub(super) failures: Vec<String>,
}

/// What a `sessionFile` names.
#[derive(Clone)]
enum Named {
    Nothing,
    /// A transcript that a live process holds locked.
    Locked,
    Unlocked(Transcript),
}

impl Named {
    fn transcript(self) -> Option<Transcript> {
        match self {
            Self::Unlocked(transcript) => Some(transcript),
            Self::Nothing | Self::Locked => None,
        }
    }
}

impl<'c, 'a, S: System> RunTranscripts<'c, 'a, S> {
    pub(super) fn new(sweep: &'c Context<'a, S>, folder: Folder) -> Self {
        Self {
            sweep,
            folder,
            named: HashMap::new(),
            failures: Vec::new(),
        }
    }

    /// Returns the transcripts of a run, of which there are at most two: first the one that its
    /// `sessionFile` names. Returns `None` if a live process holds one of them locked.
    pub(super) fn unlocked(
        &mut self,
        session_id: Option<&str>,
        session_file: Option<&str>,
    ) -> Option<Vec<Transcript>> {
        let mut of_id = session_id.and_then(|id| self.folder.of_id(id));
        let by_file = match session_file {
            Some(file) => self.named(file, &mut of_id),
            None => Named::Nothing,
        };
        let by_id = of_id.map_or(Named::Nothing, |path| self.find(&path));
        let is_locked = [&by_file, &by_id]
            .iter()
            .any(|it| matches!(it, Named::Locked));
        (!is_locked).then(|| merged(by_file.transcript(), by_id.transcript()))
    }

    /// Returns what a `sessionFile` names. Removes `of_id` if it is the same path: nearly always it is, and
    /// is then examined once.
    fn named(&mut self, session_file: &str, of_id: &mut Option<PathBuf>) -> Named {
        if let Some(known) = self.named.get(session_file) {
            return known.clone();
        }
        let path = self.folder.named_by(session_file);
        of_id.take_if(|of_id| path.as_ref() == Some(of_id));
        let found = path.map_or(Named::Nothing, |path| self.find(&path));
        if self.named.len() >= MAX_NAMED {
            self.named.clear();
        }
        self.named.insert(session_file.to_owned(), found.clone());
        found
    }

    fn find(&mut self, path: &Path) -> Named {
        let sweep = self.sweep;
        match self.folder.transcript(sweep.system, &sweep.lookups, path) {
            Ok(None) => Named::Nothing,
            Ok(Some(found)) if is_any_locked(sweep.system, found.names()) => Named::Locked,
            Ok(Some(found)) => Named::Unlocked(found),
            Err(error) => {
                if self.failures.len() < MAX_FAILURES {
                    self.failures.push(cannot_archive(path, &describe(&error)));
                }
                Named::Nothing
            }
        }
    }
}

/// Returns whether a live process holds `<name>.lock` of one of the transcripts, which have these
/// names.
pub(super) fn is_any_locked<'n, S: System>(
    system: &S,
    mut names: impl Iterator<Item = &'n PathBuf>,
) -> bool {
    names.any(|name| {
        let mut lock = name.as_os_str().to_owned();
        lock.push(".lock");
        lock::is_held_by_live_process(system, lock.as_ref())
    })
}
