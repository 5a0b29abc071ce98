//! What a sweep removes, keeps and archives: read from the store in one pass, applied or previewed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::error::Result;
use crate::store::leftovers::{self, Leftovers};
use crate::store::reading::Buffer;
use crate::store::rewrite::{self, Facts, RemovalPolicy, Rewritten};
use crate::store::scan::SessionId;
use crate::store::{Store, StorePaths};
use crate::system::{Stat, System};
use crate::transcripts::Tally;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{Folder, Transcript};
use crate::transcripts::references::References;

use super::context::{Context, RemovedRuns};
use super::other_stores::OtherStores;
use super::outcome::StoreFigures;
use super::run_transcripts::{RunTranscripts, is_any_locked};

/// What a sweep of a store removes.
#[derive(Debug)]
pub(super) struct RemovalPlan {
    /// The store's attributes when it was read.
    pub(super) before: Stat,
    /// What was found in the store, and what remains of it.
    pub(super) rewrite: Rewritten,
    pub(super) figures: StoreFigures,
    /// The transcripts to archive.
    pub(super) transcripts: Vec<Transcript>,
    /// The links at which removed runs name a transcript.
    links: HashSet<PathBuf>,
    /// Why it is unknown whether removed runs have further transcripts.
    pub(super) failures: Vec<String>,
    /// The other stores that can reference the transcripts, as they were read.
    other_stores: Vec<(PathBuf, Stat)>,
    /// The temp files to classify: none if this sweep does not search for them.
    pub(super) leftovers: Leftovers,
    /// When the store's contents were last written by any process but a sweep, in nanoseconds since
    /// 1970.
    pub(super) written_at: i128,
    /// The runs that are removed from the store, if they are collected.
    pub(super) removed_runs: Vec<RemovedRun>,
    /// The folders that were listed for this plan.
    pub(super) listings: Listings,
}

impl RemovalPlan {
    /// Returns whether a live process holds a transcript locked that is to be archived.
    pub(super) fn is_locked<S: System>(&self, system: &S) -> bool {
        let paths = self.transcripts.iter().map(|it| &it.path);
        is_any_locked(system, paths.chain(&self.links))
    }

    /// Returns whether another store was changed since it was read, so that it can reference a transcript
    /// that is to be archived.
    pub(super) fn is_outdated<S: System>(&self, system: &S) -> bool {
        let mut stores = self.other_stores.iter();
        stores.any(|(path, before)| system.stat(path).is_ok_and(|now| now != *before))
    }
}

/// A run that is removed from the store.
#[derive(Debug)]
pub(crate) struct RemovedRun {
    /// The entry's key: the JSON string in the file.
    pub(crate) key: Box<RawValue>,
    /// The entry's `sessionId`, if it is a string.
    pub(super) session_id: Option<String>,
}

/// What one pass over a store found. Nothing but the store was looked at so far, except for the
/// transcripts of expired runs.
pub(super) struct Draft<'c, 'a, S: System> {
    pub(super) rewrite: Rewritten,
    pub(super) figures: StoreFigures,
    /// The other stores that were read.
    pub(super) other_stores: Vec<(PathBuf, Stat)>,
    collected: Collector<'c, 'a, S>,
}

impl<'c, 'a, S: System> Draft<'c, 'a, S> {
    /// Reads the store once. With `out`, writes the kept entries to it.
    pub(super) fn read(
        sweep: &'c Context<'a, S>,
        paths: &StorePaths,
        store: &Store<S::File>,
        out: Option<&S::File>,
        buffer: &mut Buffer,
    ) -> Result<Self> {
        let mut collected = Collector::new(sweep, folder_of(paths));
        let rewrite = rewrite::rewrite(
            store.source(sweep.system, &sweep.options.abort),
            sweep.expiry,
            out,
            &mut collected,
            buffer.bytes(),
        )?;
        let figures = StoreFigures::of_rewrite(store.before.size, &rewrite, collected.locked);
        Ok(Self {
            rewrite,
            figures,
            other_stores: Vec::new(),
            collected,
        })
    }

    /// Reads the other stores that can reference the transcripts. `owner` is the owner of this one.
    pub(super) fn add_other_stores(
        &mut self,
        paths: &StorePaths,
        owner: u32,
        buffer: &mut Buffer,
    ) -> Result<()> {
        self.other_stores = self.collected.add_other_stores(paths, owner, buffer)?;
        Ok(())
    }

    /// Completes the plan: lists the folders, to find out which transcripts kept entries reference
    /// and which temp files crashed writers left.
    pub(super) fn into_plan(
        self,
        sweep: &Context<'a, S>,
        paths: &StorePaths,
        before: Stat,
    ) -> Result<RemovalPlan> {
        let Self {
            rewrite,
            figures,
            other_stores,
            mut collected,
        } = self;
        let mut listings = Listings::new(sweep.archive_cutoff_ms, &sweep.options.abort);
        let removed_runs = mem::take(&mut collected.removed_runs);
        let links = mem::take(&mut collected.links);
        let failures = mem::take(&mut collected.runs.failures);
        let transcripts = collected.unreferenced_transcripts(&mut listings)?;
        Ok(RemovalPlan {
            before,
            figures,
            transcripts,
            links,
            failures,
            other_stores,
            leftovers: find_leftovers(sweep, paths, &before, rewrite.removed, &mut listings)?,
            written_at: sweep.written_at(&before),
            rewrite,
            removed_runs,
            listings,
        })
    }
}

/// Which leftovers a sweep searches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    None,
    /// All, if there is one of a native sweep: after a crash between the commit and its cleanup no
    /// run is expired, but the old store is still there.
    IfSweepCrashed,
    All,
}

impl Search {
    /// Listing a large folder takes longer than the rest of a sweep that removes nothing, so that is
    /// done only on request and in the first sweep of a store.
    pub(super) fn of<S: System>(sweep: &Context<'_, S>, removed: u64) -> Self {
        if removed > 0 || sweep.options.remove_temps {
            Self::All
        } else if sweep.is_first {
            Self::IfSweepCrashed
        } else {
            Self::None
        }
    }
}

/// Finds the temp files of a store from which `removed` runs are removed, if this sweep searches for
/// them.
pub(super) fn find_leftovers<S: System>(
    sweep: &Context<'_, S>,
    paths: &StorePaths,
    before: &Stat,
    removed: u64,
    listings: &mut Listings,
) -> Result<Leftovers> {
    let search = Search::of(sweep, removed);
    if search == Search::None {
        return Ok(Leftovers::default());
    }
    let beside_store = listings.beside(&paths.real)?;
    let beside_lock = listings.of(&paths.folder)?;
    let found = leftovers::find(
        &paths.real,
        &paths.lock,
        &beside_store.temp_files,
        &beside_lock.temp_files,
        sweep.written_at(before),
    );
    if search == Search::IfSweepCrashed && !found.has_native() {
        return Ok(Leftovers::default());
    }
    Ok(found)
}

/// Returns how many transcripts there are, and the folders that they are in.
pub(super) fn tally(transcripts: &[Transcript]) -> (Tally, Vec<&Path>) {
    let mut tally = Tally::default();
    for transcript in transcripts {
        tally.add(transcript.bytes);
    }
    let folders: HashSet<&Path> = transcripts
        .iter()
        .filter_map(|it| it.path.parent())
        .collect();
    (tally, folders.into_iter().collect())
}

/// Collects the transcripts of removed runs, and what kept entries reference.
struct Collector<'c, 'a, S: System> {
    sweep: &'c Context<'a, S>,
    folder: Folder,
    runs: RunTranscripts<'c, 'a, S>,
    references: References<'a, S>,
    /// What the other stores in subfolders with transcripts reference.
    in_subfolders: Vec<References<'a, S>>,
    /// The transcripts that exist, each once, and their positions by path.
    transcripts: Vec<Transcript>,
    positions: HashMap<PathBuf, NonZeroU32>,
    /// The links at which removed runs name them.
    links: HashSet<PathBuf>,
    /// One for each removed run that has transcripts or names a file: 16 bytes.
    sessions: Vec<RemovedSession>,
    /// The removed runs, if they are collected.
    removed_runs: Vec<RemovedRun>,
    locked: u64,
}

/// The transcripts of one removed run.
struct RemovedSession {
    /// A hash of the session id. Its lowest bit is set if the run has a `sessionFile`.
    id: u64,
    /// The positions of its transcripts, of which there are at most two.
    transcripts: [Option<NonZeroU32>; 2],
}

const HAS_SESSION_FILE: u64 = 1;

impl<'c, 'a, S: System> Collector<'c, 'a, S> {
    fn new(sweep: &'c Context<'a, S>, folder: Folder) -> Self {
        Self {
            sweep,
            references: References::new(sweep.system, &folder),
            in_subfolders: Vec::new(),
            runs: RunTranscripts::new(sweep, folder.clone()),
            folder,
            transcripts: Vec::new(),
            positions: HashMap::new(),
            links: HashSet::new(),
            sessions: Vec::new(),
            removed_runs: Vec::new(),
            locked: 0,
        }
    }

    fn add(&mut self, run: &Facts<'_>, transcripts: Vec<Transcript>) {
        let has_file = run.session_file.is_some();
        if transcripts.is_empty() && !has_file {
            return;
        }
        let id = match &run.session_id {
            SessionId::Text(text) => self.references.hash_id(&**text),
            // In JavaScript, objects compare by identity.
            SessionId::Compound => self.references.hash_id(&(self.sessions.len(), "object")),
            id => self.references.hash_id(id),
        };
        let mut found = transcripts.into_iter().filter_map(|it| self.position(it));
        let transcripts = [found.next(), found.next()];
        self.sessions.push(RemovedSession {
            id: if has_file { id | HAS_SESSION_FILE } else { id },
            transcripts,
        });
    }

    /// Returns a transcript's position plus 1; `None` beyond four billion transcripts.
    fn position(&mut self, transcript: Transcript) -> Option<NonZeroU32> {
        if let Some(position) = self.positions.get(&transcript.path) {
            return Some(*position);
        }
        let position = u32::try_from(self.transcripts.len() + 1).ok()?;
        let position = NonZeroU32::new(position)?;
        self.positions.insert(transcript.path.clone(), position);
        self.transcripts.push(transcript);
        Some(position)
    }

    /// Adds what the other stores in the folders of the transcripts reference. Returns those stores.
    fn add_other_stores(
        &mut self,
        paths: &StorePaths,
        owner: u32,
        buffer: &mut Buffer,
    ) -> Result<Vec<(PathBuf, Stat)>> {
        let mut others = OtherStores::new(self.sweep, paths, owner);
        if self.transcripts.is_empty() {
            return Ok(others.read);
        }
        others.add_references(&self.folder, &mut self.references, buffer)?;
        let parents = self.transcripts.iter().filter_map(|it| it.path.parent());
        let subfolders: BTreeSet<_> = parents.filter(|it| *it != paths.folder).collect();
        for path in subfolders {
            let store = [paths.real.clone(), paths.real.clone()];
            let folder = Folder::new(path.to_owned(), path.to_owned(), store);
            let mut references = References::new(self.sweep.system, &folder);
            others.add_references(&folder, &mut references, buffer)?;
            if !references.is_empty() {
                self.in_subfolders.push(references);
            }
        }
        Ok(others.read)
    }

    /// Returns the transcripts of removed runs that no kept entry references.
    fn unreferenced_transcripts(mut self, listings: &mut Listings) -> Result<Vec<Transcript>> {
        self.positions = HashMap::new();
        let mut is_removed = vec![false; self.transcripts.len()];
        let id_of = |session: &RemovedSession| session.id & !HAS_SESSION_FILE;
        self.sessions.sort_by_key(id_of);
        for same_id in self.sessions.chunk_by(|a, b| id_of(a) == id_of(b)) {
            if self.references.has_id(id_of(&same_id[0])) {
                continue;
            }
            for position in last_session_file(same_id).iter().flatten() {
                is_removed[position.get() as usize - 1] = true;
            }
        }
        let mut is_removed = is_removed.into_iter();
        self.transcripts.retain(|_| is_removed.next() == Some(true));
        let lookups = &self.sweep.lookups;
        let mut transcripts = self.transcripts;
        for references in self.in_subfolders.into_iter().chain([self.references]) {
            transcripts = references.unreferenced(transcripts, listings, lookups)?;
        }
        Ok(transcripts)
    }
}

/// Returns the transcripts of a session of which several runs were removed. The last `sessionFile` that
/// is not falsy in JavaScript counts, from the first run on that has a transcript. This is the gateway's
/// rule.
fn last_session_file(runs: &[RemovedSession]) -> [Option<NonZeroU32>; 2] {
    let has_transcript = |run: &RemovedSession| run.transcripts.iter().any(Option::is_some);
    let Some(first) = runs.iter().position(has_transcript) else {
        return [None, None];
    };
    let rest = &runs[first..];
    let last = rest.iter().rfind(|run| run.id & HAS_SESSION_FILE != 0);
    last.unwrap_or(&rest[0]).transcripts
}

impl<S: System> RemovalPolicy for Collector<'_, '_, S> {
    /// A run whose transcript is locked by a live process is still being written, however old its
    /// entry is.
    fn removes(&mut self, run: &Facts<'_>) -> bool {
        let (id, file) = (run.session_id.text(), run.session_file.as_deref());
        let Some(mut transcripts) = self.runs.unlocked(id, file) else {
            self.locked += 1;
            return false;
        };
        for transcript in &mut transcripts {
            self.links.extend(transcript.links.drain(..));
        }
        if self.sweep.removed_runs == RemovedRuns::Collect {
            let json = String::from_utf8_lossy(&run.key).into_owned();
            self.removed_runs.push(RemovedRun {
                key: RawValue::from_string(json).expect("a scanned key is a JSON string"),
                session_id: run.session_id.text().map(str::to_owned),
            });
        }
        self.add(run, transcripts);
        true
    }

    fn keeps(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>) {
        add_kept(&mut self.references, session_id, session_file);
    }

    fn restart(&mut self) {
        *self = Self::new(self.sweep, self.folder.clone());
    }
}

/// Adds what a kept entry references.
pub(super) fn add_kept<S: System>(
    references: &mut References<'_, S>,
    session_id: &SessionId<'_>,
    session_file: Option<&str>,
) {
    references.add(session_id.text(), session_file);
    // An id that is not a string, which the gateway never writes, protects removed runs with an equal
    // id, unless it is falsy in JavaScript.
    let protects = match session_id {
        SessionId::Boolean(value) => *value,
        SessionId::Number(bits) => f64::from_bits(*bits) != 0.0,
        _ => false,
    };
    if protects {
        references.add_non_string_id(session_id);
    }
}

pub(super) fn folder_of(paths: &StorePaths) -> Folder {
    let named = paths.named.parent().unwrap_or(&paths.named);
    let store = paths.named.file_name().unwrap_or_default();
    Folder::new(
        named.to_owned(),
        paths.folder.clone(),
        [paths.folder.join(store), paths.real.clone()],
    )
}
