//! The transcripts of expired runs, and whether a live process writes one of them.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::lock;
use crate::system::{System, describe};
use crate::transcripts::archive::cannot_archive;
use crate::transcripts::locate::{Folder, MAX_REMEMBERED, Transcript, file_name, lock_of, merged};

use super::context::Context;

/// How much memory the remembered files can use, in bytes: enough for about 15,000 of them. The largest
/// folder that was reported has 8,000 transcripts.
const MAX_KNOWN_BYTES: usize = 4 << 20;

/// What a remembered file uses beside its text, in bytes.
const KNOWN_BYTES: usize = 256;

/// How many failures are remembered. One message stands for all of them.
const MAX_FAILURES: usize = 1024;

/// Finds transcripts during one pass over a store.
pub(super) struct RunTranscripts<'c, 'a, S: System> {
    sweep: &'c Context<'a, S>,
    folder: Folder,
    /// What the last runs name, by `sessionFile` or `<sessionId>.jsonl`. A file that many runs name is
    /// examined once.
    known: HashMap<String, Named>,
    known_bytes: usize,
    /// Why it is unknown whether there are further transcripts.
    pub(super) failures: Vec<String>,
}

/// What a `sessionFile` or `<sessionId>.jsonl` names.
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
            folder: folder.remembering_missing(),
            known: HashMap::new(),
            known_bytes: 0,
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
        if self.sweep.options.abort.check().is_err() {
            // The pass ends at its next read. Until then there can be thousands of runs.
            return None;
        }
        let is_same = |name: &String| {
            session_file.is_some_and(|file| {
                file.ends_with(&**name) && self.folder.named_by(file) == self.folder.named_by(name)
            })
        };
        // Nearly always both are the same path, which is then examined once.
        let of_id = session_id.and_then(file_name).filter(|it| !is_same(it));
        let [by_file, by_id] = [session_file, of_id.as_deref()]
            .map(|it| it.map_or(Named::Nothing, |it| self.named(it)));
        let is_locked = [&by_file, &by_id]
            .iter()
            .any(|it| matches!(it, Named::Locked));
        (!is_locked).then(|| merged(by_file.transcript(), by_id.transcript()))
    }

    fn named(&mut self, file: &str) -> Named {
        if let Some(known) = self.known.get(file) {
            return known.clone();
        }
        let found = self.find(file);
        if file.len() <= MAX_REMEMBERED {
            let bytes = file.len() + KNOWN_BYTES;
            if self.known_bytes + bytes > MAX_KNOWN_BYTES {
                self.known.clear();
                self.known_bytes = 0;
            }
            self.known_bytes += bytes;
            self.known.insert(file.to_owned(), found.clone());
        }
        found
    }

    fn find(&mut self, file: &str) -> Named {
        let sweep = self.sweep;
        let Some(path) = self.folder.named_by(file) else {
            return Named::Nothing;
        };
        match self.folder.transcript(sweep.system, &sweep.lookups, &path) {
            Ok(None) => match self.folder.lock_of_missing(sweep.system, &path) {
                // Its writer is about to create it.
                Some(lock) if lock::is_held_by_live_process(sweep.system, &lock) => Named::Locked,
                _ => Named::Nothing,
            },
            Ok(Some(found)) if is_any_locked(sweep.system, found.names()) => Named::Locked,
            Ok(Some(found)) => Named::Unlocked(found),
            Err(error) => {
                if self.failures.len() < MAX_FAILURES {
                    self.failures.push(cannot_archive(&path, &describe(&error)));
                }
                Named::Nothing
            }
        }
    }
}

/// Returns whether a live process holds the lock of a transcript, which has these names.
pub(super) fn is_any_locked<'n, S: System>(
    system: &S,
    mut names: impl Iterator<Item = &'n PathBuf>,
) -> bool {
    names.any(|name| lock::is_held_by_live_process(system, &lock_of(name)))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::store::survey_cache::SurveyCache;
    use crate::sweep::{Options, Request};
    use crate::testing::Faulty;

    /// Calls `work` with the transcripts of a store's folder in which `subfolder` cannot be entered.
    fn with_runs(work: impl FnOnce(&mut RunTranscripts<'_, '_, Faulty>)) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("sessions.json");
        let system = Faulty::new(|call, path| {
            let fails = call == "stat" && path.ends_with("subfolder");
            fails.then_some(ErrorKind::PermissionDenied)
        });
        let request = Request {
            store: &store,
            now_ms: 0.0,
            retention_ms: 0.0,
        };
        let sweep = Context::new(&system, request, &Options::default(), &SurveyCache::new());
        work(&mut RunTranscripts::new(&sweep, Folder::of(&store)));
    }

    /// Returns the `n`-th of many texts of this length. No file can have such a long name.
    fn nth_file(n: usize, length: usize) -> String {
        format!("{n:0>width$}.jsonl", width = length - ".jsonl".len())
    }

    #[test]
    fn remembers_files_up_to_a_bound_and_then_begins_anew() {
        let length = 256;
        let fitting = MAX_KNOWN_BYTES / (length + KNOWN_BYTES);
        with_runs(|runs| {
            for (count, remembered) in [(fitting, fitting), (1, 1), (99, 100)] {
                for n in 0..count {
                    let file = nth_file(n + remembered * fitting, length);
                    assert!(runs.unlocked(None, Some(&file)).unwrap().is_empty());
                }
                assert_eq!(runs.known.len(), remembered);
            }
        });
    }

    #[test]
    fn remembers_no_text_that_is_longer_than_a_path() {
        with_runs(|runs| {
            for (length, remembered) in [(MAX_REMEMBERED, 1), (MAX_REMEMBERED + 1, 1)] {
                runs.unlocked(None, Some(&nth_file(0, length)));
                assert_eq!(runs.known.len(), remembered, "{length}");
            }
        });
    }

    #[test]
    fn remembers_a_bounded_number_of_failures() {
        with_runs(|runs| {
            for n in 0..2 * MAX_FAILURES {
                runs.unlocked(None, Some(&format!("subfolder/{n}.jsonl")));
            }
            assert_eq!(runs.failures.len(), MAX_FAILURES);
        });
    }
}
