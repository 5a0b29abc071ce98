//! The sweep, top to bottom. No file-system detail here: see the rooms it calls.

pub mod outcome;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::abort::Abort;
use crate::error::{Error, Result};
use crate::gateway::js;
use crate::lock::{self, Lock};
use crate::store::leftovers::{self, Leftovers, Temps};
use crate::store::reading::{Buffer, READ_AT_ONCE};
use crate::store::replace::{Commit, Committed, Replacement, Store};
use crate::store::rewrite::{self, RemovalPolicy, Rewritten as Rewrite, Run};
use crate::store::scan::SessionId;
use crate::store::survey::{self, Survey};
use crate::store::survey_cache::SurveyCache;
use crate::sweep::outcome::{Entries, Reason, Report, Size};
use crate::system::{Stat, System};
use crate::transcripts::Tally;
use crate::transcripts::archive::{self, Archive};
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{Folder, References, Transcript};

/// The store may change while it is rewritten, which takes no lock. The attempt after these begins
/// with the lock in hand, so that the sweep gets done however busy the store is.
const ATTEMPTS_WITHOUT_LOCK: u32 = 2;

/// Under the lock only a program that ignores it can change the store. After this many attempts in
/// all, the sweep gives way to it.
const ATTEMPTS: u32 = 8;

/// What to sweep.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The store, as an absolute path without `.` and `..`.
    pub store: &'a Path,
    /// The moment to compare with, in milliseconds since 1970.
    pub now_ms: f64,
    /// How long a run is kept after its last update, in milliseconds.
    pub retention_ms: f64,
}

impl Request<'_> {
    /// A run last updated before this is expired.
    fn cutoff_ms(&self) -> f64 {
        self.now_ms - self.retention_ms
    }
}

/// Where a sweep may differ from the gateway's. The default is the gateway's.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// When archives are deleted.
    pub ageing: Ageing,
    /// Look for dead temp files also if no run is removed, and take the lock if there are any.
    pub remove_temps: bool,
    /// May be requested at any time. Until the commit begins the sweep then ends with
    /// [`Error::Aborted`], and everything is as it was; after that it is too late.
    pub abort: Abort,
}

/// When archives are deleted. A folder is looked through only in the sweep of a store that exists.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Ageing {
    /// Those older than the runs' retention, in the folders in which this sweep archived something.
    /// The gateway's rule.
    #[default]
    WithRuns,
    /// Never.
    Never,
    /// Those older than this, in milliseconds: in the same folders, and always in the store's own.
    After(f64),
}

impl Ageing {
    /// An archive made before this is deleted.
    fn cutoff_ms(self, request: Request<'_>) -> f64 {
        match self {
            Self::WithRuns => request.cutoff_ms(),
            Self::After(ms) => request.now_ms - ms,
            Self::Never => f64::NEG_INFINITY,
        }
    }
}

/// Removes the expired runs of one store and archives their transcripts.
///
/// Never fails: what went wrong is in the report's log, and the store is as it was (but see
/// [`Error`]). `memory` is what earlier sweeps of the same caller found.
///
/// ```
/// use cron_session_reaper::{store::survey_cache::SurveyCache, sweep, system::Os};
///
/// let folder = tempfile::tempdir()?;
/// let store = folder.path().join("sessions.json");
/// std::fs::write(&store, r#"{"agent:main:cron:job:run:1":{"updatedAt":0},"agent:main:main":{}}"#)?;
///
/// let request = sweep::Request { store: &store, now_ms: 2e9, retention_ms: 1e9 };
/// let report = sweep::sweep(&Os, request, &SurveyCache::new());
///
/// assert_eq!(report.pruned, 1);
/// assert_eq!(std::fs::read_to_string(&store)?, r#"{"agent:main:main":{}}"#);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sweep<S: System>(system: &S, request: Request<'_>, memory: &SurveyCache) -> Report {
    let mut told = Report::default();
    let options = Options::default();
    sweep_and_tell(system, request, &options, memory, |report| told = report);
    told
}

/// The same, but tells the report as soon as it stands, when nothing is left to do but to free what
/// the old store took on the disk. For a large store that may take as long as all the rest.
pub fn sweep_and_tell<S: System>(
    system: &S,
    request: Request<'_>,
    options: &Options,
    memory: &SurveyCache,
    tell: impl FnOnce(Report),
) {
    let mut sweep = Sweep::new(system, request, options, memory);
    let old_store = sweep.run();
    sweep.enter(Phase::Finishing);
    let mut report = sweep.report;
    match &old_store {
        Ok(_) => report.succeeded(request.retention_ms),
        Err(error) => report.failed(error),
    }
    tell(report);
    drop(old_store);
}

/// What a sweep would do now. It takes no lock, writes nothing, and neither uses nor changes what
/// is remembered of the store's contents.
///
/// ```
/// use cron_session_reaper::{sweep::outcome::Reason, store::survey_cache::SurveyCache, sweep, system::Os};
///
/// let folder = tempfile::tempdir()?;
/// let store = folder.path().join("sessions.json");
/// std::fs::write(&store, r#"{"agent:main:cron:job:run:1":{"updatedAt":0},"agent:main:main":{}}"#)?;
///
/// let request = sweep::Request { store: &store, now_ms: 2e9, retention_ms: 1e9 };
/// let report = sweep::dry_run(&Os, request, &sweep::Options::default(), &SurveyCache::new());
///
/// assert_eq!((report.pruned, report.reason), (1, Some(Reason::DryRun)));
/// assert_eq!(report.size.before, std::fs::metadata(&store)?.len());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn dry_run<S: System>(
    system: &S,
    request: Request<'_>,
    options: &Options,
    memory: &SurveyCache,
) -> Report {
    let mut sweep = Sweep::new(system, request, options, memory);
    let outcome = sweep.rehearse();
    sweep.enter(Phase::Finishing);
    let mut report = sweep.report;
    if let Err(error) = outcome {
        report.failed(&error);
    }
    report
}

/// One sweep under way.
struct Sweep<'a, S: System> {
    system: &'a S,
    request: Request<'a>,
    options: &'a Options,
    memory: &'a SurveyCache,
    report: Report,
    buffer: Buffer,
    listings: Listings,
    phase: Phase,
    /// Since when, on the system's steady clock. That is also the one that the lock waits by, so a
    /// system made for tests decides what is measured too.
    since: Duration,
}

/// What a sweep is at, for its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Surveying,
    Waiting,
    Holding,
    Finishing,
}

/// What reading the whole store and writing what stays came to.
enum Preparation<'a, S: System> {
    /// There is something to remove.
    Ready(Box<Prepared<'a, S>>),
    /// Nothing goes after all, or there is no store any more.
    NothingGoes,
    /// The store was written while it was read.
    Changed,
}

/// A store without its expired runs, on the disk, and what is to be done when it is committed.
struct Prepared<'a, S: System> {
    replacement: Replacement<'a, S>,
    /// What was found in the store, and what is left of it.
    rewrite: Rewrite,
    /// Transcripts of the runs that go.
    transcripts: Vec<Transcript>,
    /// Temp files that a crashed writer may have left.
    suspects: Leftovers,
    /// When the store was last written by anyone but a sweep, in nanoseconds since 1970.
    written_at: i128,
}

/// A store that is committed but not known to be on the disk before [`Sweep::finish`]. It keeps the
/// old one open.
struct Done<'a, S: System> {
    committed: Committed<'a, S>,
    archive: Archive<'a, S>,
    /// Of what was archived.
    transcripts: Tally,
    rewrite: Rewrite,
}

impl<'a, S: System> Sweep<'a, S> {
    fn new(
        system: &'a S,
        request: Request<'a>,
        options: &'a Options,
        memory: &'a SurveyCache,
    ) -> Self {
        Self {
            system,
            request,
            options,
            memory,
            report: Report::default(),
            buffer: Buffer::new(READ_AT_ONCE),
            listings: Listings::new(options.ageing.cutoff_ms(request)),
            phase: Phase::Surveying,
            since: system.monotonic(),
        }
    }

    /// The whole sweep. What comes back is the old store, if there is a new one.
    fn run(&mut self) -> Result<Option<Done<'a, S>>> {
        let is_first_look = !self.memory.knows(self.request.store);
        let mut done = self.prune()?;
        let has_store = self.report.reason != Some(Reason::NoStore);
        if done.is_none() {
            let looks = has_store && (self.options.remove_temps || is_first_look);
            let go_on = self.options.abort.check();
            go_on
                .and_then(|()| if looks { self.clear_temps() } else { Ok(()) })
                // Then the next look is the first.
                .inspect_err(|_| self.memory.forget(self.request.store))?;
        }
        self.enter(Phase::Finishing);
        let system = self.system;
        let mut archived_in = Vec::new();
        if let Some(done) = &mut done {
            if let Err(error) = self.finish(done) {
                // The old store may still be there, under its other name: the next sweep looks.
                self.memory.forget(self.request.store);
                return Err(error);
            }
            archived_in.extend(done.archive.folders().map(Path::to_owned));
            // Their folders may have been listed before they were there.
            let expired = done.archive.expired(self.archive_cutoff_ms());
            self.report.archives += archive::remove(system, expired);
        }
        if has_store {
            self.age_archives(archived_in, |archives| archive::remove(system, archives));
        }
        Ok(done)
    }

    /// What the whole sweep would do, in one pass.
    fn rehearse(&mut self) -> Result<()> {
        let read = Store::read(self.system, self.request.store, |store| {
            let folder = Folder::of(self.request.store)?;
            let mut bystanders = Bystanders::new(self.system, folder);
            let rewrite = rewrite::rewrite(
                store.source(self.system, &self.options.abort),
                self.request.cutoff_ms(),
                None,
                &mut bystanders,
                self.buffer.bytes(),
            )?;
            Ok((rewrite, bystanders))
        })?;
        let Some((store, (rewrite, bystanders))) = read else {
            self.no_store();
            return Ok(());
        };
        self.saw(&store, &rewrite, bystanders.locked);

        let suspects = self.suspects(&store.path, &store.before)?;
        // They are looked for when there is a commit, and in the first sweep.
        let is_first_look = !self.memory.knows(self.request.store);
        let looks = rewrite.removed > 0 || self.options.remove_temps;
        if looks || is_first_look && suspects.any_native() {
            self.report.temps = suspects.count_dead(self.system)?;
        }
        let mut archived_in = Vec::new();
        if rewrite.removed > 0 {
            self.removed(&rewrite);
            self.report.reason = Some(Reason::DryRun);
            let going = bystanders.transcripts_that_go(&mut self.listings)?;
            let mut seen = HashSet::new();
            for transcript in &going {
                // What two sessions share is archived once.
                if seen.insert(&*transcript.path) {
                    self.report.transcripts.add(transcript.bytes);
                    archived_in.extend(transcript.path.parent().map(Path::to_owned));
                }
            }
        }
        self.age_archives(archived_in, |archives| archive::count(archives));
        // With a moment to compare with that lies in the future, what was just archived is old.
        if archive::is_expired(self.wall_clock_ms(), self.archive_cutoff_ms()) {
            self.report.archives += self.report.transcripts;
        }
        Ok(())
    }

    /// Surveys; then prepares without the lock and commits with it, again if the store changed
    /// meanwhile.
    fn prune(&mut self) -> Result<Option<Done<'a, S>>> {
        if !self.is_due()? {
            return Ok(None);
        }
        let mut lock: Option<Lock<'a, S>> = None;
        for attempt in 1..=ATTEMPTS {
            if attempt > ATTEMPTS_WITHOUT_LOCK && lock.is_none() {
                lock = Some(self.acquire()?);
            }
            let prepared = match self.prepare()? {
                Preparation::Ready(prepared) => prepared,
                Preparation::NothingGoes => return Ok(None),
                Preparation::Changed => continue,
            };
            let held = match lock.take() {
                Some(held) => held,
                // Nobody need wait for what is to be thrown away, and that takes its time.
                None if !self.is_current(&prepared)? => continue,
                None => self.acquire()?,
            };
            if self.may_commit(&prepared, &held)?
                && let Some(done) = self.commit(*prepared)?
            {
                if let Err(error) = held.release() {
                    self.report.noticed(&error);
                }
                return Ok(Some(done));
            }
            // Others have their turn while the sweep prepares once more without the lock.
            lock = (attempt >= ATTEMPTS_WITHOUT_LOCK).then_some(held);
            if lock.is_none() {
                self.enter(Phase::Surveying);
            }
        }
        Err(Error::Contended {
            path: self.request.store.to_owned(),
            attempts: ATTEMPTS,
        })
    }

    /// Is there a store, and may anything in it have expired? Takes no lock and writes nothing.
    fn is_due(&mut self) -> Result<bool> {
        let path = self.request.store;
        let cutoff_ms = self.request.cutoff_ms();
        if let Ok(stat) = self.system.stat_following(path)
            && let Some(entries) = self.memory.nothing_due(path, &stat, cutoff_ms)
        {
            self.nothing_goes(Reason::Unchanged, &stat, entries);
            return Ok(false);
        }
        let read_at = self.system.now();
        let Some(store) = Store::open(self.system, path)? else {
            self.no_store();
            return Ok(false);
        };
        let survey = survey::survey(
            store.source(self.system, &self.options.abort),
            cutoff_ms,
            self.buffer.bytes(),
        );
        if store.is_torn(self.system, &survey)? {
            return Ok(true); // So that it is read again: in the end, with the lock held.
        }
        let Survey::NothingDue { entries, earliest } = survey? else {
            return Ok(true);
        };
        self.nothing_goes(Reason::NothingExpired, &store.before, entries);
        self.remember(&store, entries, earliest, read_at);
        Ok(false)
    }

    /// Removes the temp files that are dead though no run goes.
    ///
    /// In every sweep: for those who ask for it. Otherwise in the first sweep after a start, if there
    /// is a native sweep's: after a crash between commit and clean-up nothing is due, yet the old
    /// store is still there.
    fn clear_temps(&mut self) -> Result<()> {
        let Some(store) = Store::open(self.system, self.request.store)? else {
            return Ok(()); // It disappeared this very moment.
        };
        let suspects = self.suspects(&store.path, &store.before)?;
        if !self.options.remove_temps && !suspects.any_native() {
            return Ok(());
        }
        if suspects.count_dead(self.system)? == Temps::default() {
            return Ok(());
        }
        self.remove_dead(&suspects)
    }

    /// The temp files of a store, judged beside what was last written by anyone but a sweep.
    fn suspects(&mut self, store: &Path, before: &Stat) -> Result<Leftovers> {
        let suspects = leftovers::find(store, &self.lock_path()?, &mut self.listings)?;
        Ok(suspects.judged_beside(self.written_at(before)))
    }

    /// When the contents of the store were last written by anyone but a sweep.
    fn written_at(&self, store: &Stat) -> i128 {
        let derived_from = self.memory.derived_from(self.request.store, store);
        derived_from.unwrap_or(store.mtime)
    }

    fn remove_dead(&mut self, suspects: &Leftovers) -> Result<()> {
        let held = self.acquire()?;
        self.report.cleared(suspects.remove_dead(self.system)?);
        let released = held.release();
        self.enter(Phase::Surveying);
        released
    }

    /// Writes what stays to a new file and waits until it is on the disk. Takes no lock: if the
    /// store changes meanwhile, the commit notices.
    fn prepare(&mut self) -> Result<Preparation<'a, S>> {
        let read_at = self.system.now();
        let Some(store) = Store::open(self.system, self.request.store)? else {
            self.no_store();
            return Ok(Preparation::NothingGoes);
        };
        let folder = Folder::of(self.request.store)?;
        let replacement = Replacement::create(self.system, store)?;
        let store = replacement.store();
        let mut bystanders = Bystanders::new(self.system, folder);
        let rewrite = rewrite::rewrite(
            store.source(self.system, &self.options.abort),
            self.request.cutoff_ms(),
            Some(replacement.file()),
            &mut bystanders,
            self.buffer.bytes(),
        );
        if store.is_torn(self.system, &rewrite)? {
            return Ok(Preparation::Changed);
        }
        let rewrite = rewrite?;
        self.saw(store, &rewrite, bystanders.locked);
        if rewrite.removed == 0 {
            self.remember(store, rewrite.entries, rewrite.earliest, read_at);
            return Ok(Preparation::NothingGoes);
        }
        replacement.sync(rewrite.bytes)?;
        // Anew for each attempt: a link may have come to point at what goes.
        self.listings = Listings::new(self.archive_cutoff_ms());
        Ok(Preparation::Ready(Box::new(Prepared {
            rewrite,
            transcripts: bystanders.transcripts_that_go(&mut self.listings)?,
            suspects: self.suspects(&store.path, &store.before)?,
            written_at: self.written_at(&store.before),
            replacement,
        })))
    }

    /// Is the store still the one that was prepared for?
    fn is_current(&self, prepared: &Prepared<'a, S>) -> Result<bool> {
        prepared.replacement.store().is_current(self.system)
    }

    /// Is the lock still ours, the store still the one that was prepared for, and is none of the
    /// transcripts written?
    fn may_commit(&self, prepared: &Prepared<'a, S>, lock: &Lock<'a, S>) -> Result<bool> {
        self.options.abort.check()?;
        lock.verify()?;
        Ok(self.is_current(prepared)?
            && !prepared
                .transcripts
                .iter()
                .any(|it| is_locked(self.system, &it.path)))
    }

    /// Archives the transcripts and exchanges the stores, or undoes what it did and says `None`
    /// because the store is not the one that was prepared for any more. To be called with the lock
    /// held, if [`may_commit`](Self::may_commit).
    ///
    /// The transcripts come first: after a crash in between, their entries still stand in the
    /// store, and the next sweep finishes the work. In the other order nobody would ever find them
    /// again.
    fn commit(&mut self, prepared: Prepared<'a, S>) -> Result<Option<Done<'a, S>>> {
        let system = self.system;
        let mut archive = Archive::new(system);
        let mut transcripts = Tally::default();
        for transcript in &prepared.transcripts {
            if archive.add(&transcript.path, self.wall_clock_ms()) {
                transcripts.add(transcript.bytes);
            }
        }
        let committed = match prepared.replacement.commit() {
            Ok(Commit::Done(committed)) => committed,
            Ok(Commit::Changed { kept }) => {
                self.report.undone(archive.undo());
                self.report.cleared(Temps {
                    kept: kept.into_iter().collect(),
                    ..Temps::default()
                });
                return Ok(None);
            }
            Err(error) => {
                self.report.undone(archive.undo());
                return Err(error);
            }
        };
        if let Some(after) = committed.after() {
            let Rewrite { kept, earliest, .. } = prepared.rewrite;
            let (path, now) = (self.request.store, system.now());
            self.memory
                .remember(path, after, kept, earliest, after.mtime, now);
            self.memory.is_derived(path, after, prepared.written_at);
        }
        match prepared.suspects.remove_dead(system) {
            Ok(temps) => self.report.cleared(temps),
            Err(error) => self.report.noticed(&error),
        }
        Ok(Some(Done {
            committed,
            archive,
            transcripts,
            rewrite: prepared.rewrite,
        }))
    }

    /// Makes the commit durable.
    fn finish(&mut self, done: &mut Done<'a, S>) -> Result<()> {
        self.report.not_archived(done.archive.warnings());
        done.archive.sync_outside(done.committed.folder())?;
        done.committed.finish()?;
        self.removed(&done.rewrite);
        self.report.transcripts = done.transcripts;
        Ok(())
    }

    /// Deletes old archives, or counts them, as `age` does; in each folder once.
    fn age_archives(
        &mut self,
        archived_in: Vec<PathBuf>,
        age: impl Fn(&mut dyn Iterator<Item = PathBuf>) -> Tally,
    ) {
        let mut folders = archived_in;
        match self.options.ageing {
            Ageing::WithRuns => {}
            Ageing::Never => return,
            Ageing::After(_) => match Folder::of(self.request.store) {
                Ok(folder) => folders.push(folder.real().to_owned()),
                Err(error) => self.report.cleanup_failed(&error),
            },
        }
        let mut seen = HashSet::new();
        for folder in folders.iter().filter(|it| seen.insert(it.as_path())) {
            match self.listings.of(folder) {
                Ok(listing) => {
                    let mut archives = listing.old_archives.iter().map(|name| folder.join(name));
                    self.report.archives += age(&mut archives);
                }
                Err(error) => self.report.cleanup_failed(&error),
            }
        }
    }

    fn archive_cutoff_ms(&self) -> f64 {
        self.options.ageing.cutoff_ms(self.request)
    }

    /// There is no store, or no more.
    fn no_store(&mut self) {
        self.report.reason = Some(Reason::NoStore);
        self.report.entries = Entries::default();
        self.report.size = Size::default();
    }

    /// The store was looked at, and nothing goes.
    fn nothing_goes(&mut self, reason: Reason, store: &Stat, entries: u64) {
        self.report.reason = Some(reason);
        self.report.entries = Entries {
            seen: entries,
            kept: entries,
            locked: 0,
        };
        self.report.size = Size {
            before: store.size,
            after: store.size,
        };
    }

    /// The store was read to its end. Whether anything is removed from it is not known yet.
    fn saw(&mut self, store: &Store<S::File>, rewrite: &Rewrite, locked: u64) {
        let entries = rewrite.entries;
        self.nothing_goes(Reason::NothingExpired, &store.before, entries);
        self.report.entries.locked = locked;
    }

    /// The expired runs are gone.
    fn removed(&mut self, rewrite: &Rewrite) {
        self.report.reason = None;
        self.report.pruned = rewrite.removed;
        self.report.entries.kept = rewrite.kept;
        self.report.size.after = rewrite.bytes;
    }

    /// Books the time since the last phase began.
    fn enter(&mut self, phase: Phase) {
        let now = self.system.monotonic();
        let passed = now.saturating_sub(self.since);
        let times = &mut self.report.times;
        times.total += passed;
        match self.phase {
            Phase::Surveying => times.surveying += passed,
            Phase::Waiting => times.waiting += passed,
            Phase::Holding => times.holding += passed,
            Phase::Finishing => {}
        }
        self.phase = phase;
        self.since = now;
    }

    /// What archives are stamped with: the wall clock's time, not the request's.
    fn wall_clock_ms(&self) -> i64 {
        js::epoch_ms(self.system.now()).max(0)
    }

    fn lock_path(&self) -> Result<PathBuf> {
        lock::lock_path(self.request.store)
    }

    fn acquire(&mut self) -> Result<Lock<'a, S>> {
        let path = self.lock_path()?;
        self.enter(Phase::Waiting);
        let lock = Lock::acquire_unless(self.system, &path, &self.options.abort)?;
        self.enter(Phase::Holding);
        Ok(lock)
    }

    fn remember(
        &self,
        store: &Store<S::File>,
        entries: u64,
        earliest_ms: f64,
        read_at: SystemTime,
    ) {
        let changed = store.before.mtime.max(store.before.ctime);
        self.memory.remember(
            self.request.store,
            &store.before,
            entries,
            earliest_ms,
            changed,
            read_at,
        );
    }
}

/// What must not come to harm while runs are removed: transcripts that entries which stay point
/// at, and transcripts that somebody is writing.
struct Bystanders<'a, S: System> {
    system: &'a S,
    folder: Folder,
    references: References,
    leaving: Vec<Leaving>,
    /// Where in `leaving` an id is.
    seen: HashMap<SessionId<'static>, usize>,
    /// How many expired runs stay, since somebody is writing their transcripts.
    locked: u64,
}

/// A session that goes and has transcripts. Most expired runs have none, and leave no trace here.
struct Leaving {
    id: SessionId<'static>,
    transcripts: Vec<Transcript>,
}

impl<'a, S: System> Bystanders<'a, S> {
    fn new(system: &'a S, folder: Folder) -> Self {
        Self {
            system,
            references: References::new(&folder),
            folder,
            leaving: Vec::new(),
            seen: HashMap::new(),
            locked: 0,
        }
    }

    /// One id removed several times counts once, with the last `sessionFile` that JavaScript does
    /// not take for false.
    fn leaves(&mut self, run: &Run, transcripts: Vec<Transcript>) {
        match self.seen.get(&run.session_id) {
            Some(&at) if run.session_file.is_some() => self.leaving[at].transcripts = transcripts,
            Some(_) => {}
            None if transcripts.is_empty() => {}
            None => {
                // An object is like no other.
                if run.session_id != SessionId::Compound {
                    self.seen.insert(run.session_id.clone(), self.leaving.len());
                }
                self.leaving.push(Leaving {
                    id: run.session_id.clone(),
                    transcripts,
                });
            }
        }
    }

    /// The transcripts of the removed runs that no entry which stays points at.
    fn transcripts_that_go(self, listings: &mut Listings) -> Result<Vec<Transcript>> {
        let referenced = self.references.settle(listings)?;
        let mut going = Vec::new();
        for Leaving { id, transcripts } in self.leaving {
            let stays = match id.text() {
                Some(id) => referenced.has_session(id),
                None => referenced.has_odd_id(&id),
            };
            if stays {
                continue;
            }
            let unreferenced = transcripts
                .into_iter()
                .filter(|it| !referenced.has_path(&it.path));
            going.extend(unreferenced);
        }
        Ok(going)
    }
}

impl<S: System> RemovalPolicy for Bystanders<'_, S> {
    /// A run whose transcript is locked by a live process is still being written, however old its
    /// entry looks.
    fn removes(&mut self, run: &Run) -> bool {
        let file = run.session_file.as_deref();
        let transcripts = self.folder.transcripts(run.session_id.text(), file);
        if transcripts
            .iter()
            .any(|it| is_locked(self.system, &it.path))
        {
            self.locked += 1;
            return false;
        }
        self.leaves(run, transcripts);
        true
    }

    fn keeps(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>) {
        self.references.add(session_id.text(), session_file);
        // An id that is no string, which the gateway never writes, protects its like, unless
        // JavaScript takes it for false.
        let protects = match session_id {
            SessionId::Boolean(value) => *value,
            SessionId::Number(bits) => f64::from_bits(*bits) != 0.0,
            _ => false,
        };
        if protects {
            self.references.add_odd_id(session_id);
        }
    }

    fn restart(&mut self) {
        *self = Self::new(self.system, self.folder.clone());
    }
}

/// Does a live process hold `<transcript>.lock`?
fn is_locked<S: System>(system: &S, transcript: &Path) -> bool {
    let mut lock = transcript.as_os_str().to_owned();
    lock.push(".lock");
    lock::is_held_by_live_process(system, Path::new(&lock))
}
