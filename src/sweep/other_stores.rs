//! The other stores in a folder, for example backups, and the stores of other agents: a transcript belongs
//! to all of them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context as _, Error, OTHER_STORE, Result, is_missing};
use crate::gateway::js;
use crate::store::StorePaths;
use crate::store::reading::{Buffer, Source, read_to_end};
use crate::store::scan::{Entry, Visitor};
use crate::system::{Kind, Stat, System};
use crate::transcripts::links::Target;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::Folder;
use crate::transcripts::references::References;

use super::context::Context;
use super::plan::add_kept;

/// A store that a process writes in place is incomplete for a moment. So it is read again, after a pause.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(25);

/// How long an empty file may be one that is being written.
const WRITING_MS: i128 = 10_000;

/// The other stores that were read for one sweep.
pub(super) struct OtherStores<'c, 'a, S: System> {
    sweep: &'c Context<'a, S>,
    paths: &'c StorePaths,
    /// The owner of the swept store.
    owner: u32,
    /// Those inside the folders, as they were read.
    pub(super) read: Vec<(PathBuf, Stat)>,
}

/// A file that can be another store, open.
struct Found<F> {
    path: PathBuf,
    file: F,
    before: Stat,
    is_outside: bool,
}

impl<'c, 'a, S: System> OtherStores<'c, 'a, S> {
    pub(super) fn new(sweep: &'c Context<'a, S>, paths: &'c StorePaths, owner: u32) -> Self {
        Self {
            sweep,
            paths,
            owner,
            read: Vec::new(),
        }
    }

    /// Adds what the other stores in `folder` reference to `references`, which are those of that folder. An
    /// entry that a sweep of such a store would remove does not count. A file that does not begin as a
    /// store is ignored.
    ///
    /// # Errors
    /// If a file with the name of a store cannot be read to its end: as long as its references are
    /// unknown, no transcript can be archived safely.
    pub(super) fn add_references(
        &mut self,
        folder: &Folder,
        references: &mut References<'a, S>,
        buffer: &mut Buffer,
    ) -> Result<()> {
        let own = self.paths.named.file_name();
        // Without a cutoff, because no archives are needed.
        let mut listings = Listings::new(f64::NEG_INFINITY, &self.sweep.options.abort);
        for name in &listings.of(folder.real())?.possible_stores {
            self.sweep.options.abort.check()?;
            if is_named_like_store(name, own) {
                let path = folder.real().join(name);
                self.add_store(folder, &path, references, buffer)?;
            }
        }
        Ok(())
    }

    fn add_store(
        &mut self,
        folder: &Folder,
        path: &Path,
        references: &mut References<'a, S>,
        buffer: &mut Buffer,
    ) -> Result<()> {
        let (system, abort) = (self.sweep.system, &self.sweep.options.abort);
        let mut attempt = 1;
        loop {
            let found = match self.open(folder, path) {
                Err(error) if is_missing(&error) => return Ok(()),
                found => found.context(OTHER_STORE, path)?,
            };
            let Some(found) = found else {
                return Ok(());
            };
            let source = Source {
                system,
                file: &found.file,
                path,
                abort,
            };
            let mut kept = KeptEntries {
                sweep: self.sweep,
                references,
            };
            let result = read_to_end(source, buffer.bytes(), &mut kept);
            let is_unchanged = system
                .stat_open(&found.file)
                .is_ok_and(|after| after == found.before);
            match result {
                Ok(()) if is_unchanged => {
                    // What is outside is not accessed with the lock held.
                    if !found.is_outside {
                        self.read.push((found.path, found.before));
                    }
                    return Ok(());
                }
                Err(Error::Json { .. })
                    if !may_be_store(system, &found.file)
                        || self.is_kept_temp(path)
                        || self.is_abandoned(&found.before) =>
                {
                    return Ok(());
                }
                Ok(()) | Err(Error::Json { .. }) if attempt < ATTEMPTS => {}
                Ok(()) => {
                    return Err(Error::ModifiedWhileRead {
                        path: path.to_owned(),
                        attempts: ATTEMPTS,
                    });
                }
                Err(error) => return Err(of_other_store(error)),
            }
            attempt += 1;
            system.sleep(PAUSE);
        }
    }

    /// Returns whether a file is empty and no process is writing it: it was not written for ten seconds.
    fn is_abandoned(&self, stat: &Stat) -> bool {
        let now_ms = js::epoch_ms(self.sweep.system.now());
        stat.size == 0 && i128::from(now_ms) - stat.mtime / 1_000_000 > WRITING_MS
    }

    /// Returns whether a sweep kept this file: it was the temp file of a writer that crashed, perhaps
    /// before the file was complete.
    fn is_kept_temp(&self, path: &Path) -> bool {
        let own = self.paths.named.file_name().unwrap_or_default();
        let prefix = [own.as_encoded_bytes(), b".kept."].concat();
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(&prefix)
    }

    /// Opens a file with all links resolved, without waiting for the writer of a FIFO. Returns `None` if
    /// it is not a regular file, if it is the swept store, or for a link that neither the store's owner
    /// nor root made: it could lead root to a file that its maker must not read.
    fn open(&self, folder: &Folder, path: &Path) -> io::Result<Option<Found<S::File>>> {
        let system = self.sweep.system;
        let named = system.stat(path)?;
        if named.kind == Kind::Link && ![self.owner, 0].contains(&named.uid) {
            return Ok(None);
        }
        let (real, is_outside) = match folder.follow(system, path)? {
            Target::Inside { path, .. } => (path, false),
            Target::Outside(target) if self.sweep.lookups.allow(&target) => {
                (system.canonicalize(path)?, true)
            }
            Target::Outside(_) => {
                return Err(io::Error::other(
                    "it leads outside the folder, where a sweep accesses no more than 64 paths and none \
                 with the lock held; the next sweep will retry",
                ));
            }
        };
        if real == self.paths.real || system.stat(&real)?.kind != Kind::File {
            return Ok(None);
        }
        let file = system.open_no_follow(&real)?;
        let before = system.stat_open(&file)?;
        Ok((before.kind == Kind::File).then_some(Found {
            path: real,
            file,
            before,
            is_outside,
        }))
    }
}

/// Returns whether a file that is not valid JSON can be a damaged or edited store: it is empty, or begins
/// with `{` or a comment, in UTF-8 or UTF-16.
fn may_be_store<S: System>(system: &S, file: &S::File) -> bool {
    let mut start = [0; 64];
    let Ok(read) = system.read_at(file, &mut start, 0) else {
        return true;
    };
    let is_insignificant =
        |byte: &&u8| byte.is_ascii_whitespace() || b"\0\xef\xbb\xbf\xfe\xff".contains(byte);
    let first = start[..read].iter().find(|byte| !is_insignificant(byte));
    first.is_none_or(|first| b"{/".contains(first))
}

fn of_other_store(error: Error) -> Error {
    match error {
        Error::Json {
            path,
            line,
            column,
            reason,
        } => Error::Json {
            path,
            line,
            column,
            reason: format!(
                "{reason}; it is unknown which transcripts this other store references, so move it to \
                 another folder if it is not needed"
            ),
        },
        error => error,
    }
}

/// Returns whether a file has the name of a store: `*.json` or a copy of one, a name that begins with
/// that of the swept store, or one with its extension.
fn is_named_like_store(name: &OsStr, own: Option<&OsStr>) -> bool {
    let lower = |name: &OsStr| name.to_string_lossy().to_lowercase();
    let (name, own) = (lower(name), lower(own.unwrap_or_default()));
    let extension = |name: &str| name.rsplit_once('.').map(|(_, end)| end.to_owned());
    name.contains(".json") || name.starts_with(&own) || extension(&name) == extension(&own)
}

/// Passes the entries of another store that a sweep of it would keep.
struct KeptEntries<'k, 'c, 'a, S: System> {
    sweep: &'c Context<'a, S>,
    references: &'k mut References<'a, S>,
}

impl<S: System> Visitor for KeptEntries<'_, '_, '_, S> {
    fn entry(&mut self, entry: &Entry<'_>, _: u64) {
        let expiry = self.sweep.expiry;
        let expires = entry.updated_at().is_some_and(|at| expiry.expires(at));
        if entry.is_object() && !(expires && entry.key().is_run(expiry.keys)) {
            let file = entry.session_file();
            add_kept(self.references, &entry.session_id(), file.as_deref());
        }
    }
}
