//! The addon: the only file that knows Node.js.
//!
//! Each sweep has a thread of its own, so that neither the JavaScript thread nor libuv's pool of
//! four ever waits for a disk. Log lines go back as data and are replayed in `index.js`: a logger
//! called from here could throw where nobody can catch it.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use napi::JsDeferred;
use napi::bindgen_prelude::{Either, Env, Error, Object, Result, ToNapiValue};
use napi_derive::napi;

use crate::abort::Abort;
use crate::error;
use crate::inspect::{self, Inspection};
use crate::js;
use crate::report::{Failure, Fields, Level, LogLine, Reason, Report};
use crate::retention::{self, Setting};
use crate::store::census;
use crate::store::memory::Memory;
use crate::sweep::{self, Ageing, Options, Request};
use crate::system::Os;
use crate::transcripts::Tally;

/// Two sweeps of one store are at least this far apart, unless forced. The gateway's own figure.
const MIN_INTERVAL_MS: f64 = 5.0 * 60.0 * 1000.0;

/// A sweep's stack: the scanner does not recurse, so little is needed.
const STACK: usize = 512 * 1024;

/// What the addon remembers, per JavaScript environment: a worker thread has its own.
#[derive(Default)]
struct Environment {
    /// When each store was last swept, in milliseconds since 1970, by its path as given.
    last_sweep_ms: Mutex<HashMap<String, f64>>,
    memory: Memory,
}

impl Environment {
    fn of(env: Env) -> Result<Arc<Self>> {
        env.get_instance_data::<Arc<Self>>()?
            .map(|environment| Arc::clone(environment))
            .ok_or_else(|| Error::from_reason("the addon was not initialised in this environment"))
    }

    fn last_sweep_ms(&self) -> std::sync::MutexGuard<'_, HashMap<String, f64>> {
        // One insert at a time: a panic elsewhere cannot have left it half-changed.
        self.last_sweep_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The retention to sweep with, or why there is to be no sweep now.
    fn due(&self, request: &SweepRequest) -> std::result::Result<f64, Reason> {
        if request.dry_run {
            return request.retention_ms.ok_or(Reason::Disabled);
        }
        let mut last_sweep_ms = self.last_sweep_ms();
        let last = last_sweep_ms.get(&request.store_path).copied();
        if !request.force && request.now_ms - last.unwrap_or(0.0) < MIN_INTERVAL_MS {
            return Err(Reason::Throttled);
        }
        if request.retention_ms.is_none() {
            last_sweep_ms.insert(request.store_path.clone(), request.now_ms);
        }
        request.retention_ms.ok_or(Reason::Disabled)
    }

    fn sweep(
        &self,
        request: &SweepRequest,
        retention_ms: f64,
        store: error::Result<PathBuf>,
        abort: Abort,
        tell: impl FnOnce(Report),
    ) {
        let now_ms = request.now_ms;
        let store = match store {
            Ok(store) => store,
            Err(error) => return tell(Report::of_failure(&error)),
        };
        let sweep = Request {
            store: &store,
            now_ms,
            retention_ms,
        };
        let options = Options {
            ageing: match request.archive_retention {
                None => Ageing::WithRuns,
                Some(Either::A(ms)) => Ageing::After(ms),
                Some(Either::B(_)) => Ageing::Never,
            },
            remove_temps: request.remove_temps,
            abort,
        };
        if request.dry_run {
            return tell(sweep::dry_run(&Os, sweep, &options, &self.memory));
        }
        sweep::sweep_and_tell(&Os, sweep, &options, &self.memory, |report| {
            if report.swept {
                self.last_sweep_ms()
                    .insert(request.store_path.clone(), now_ms);
            }
            tell(report);
        });
    }
}

#[napi(module_exports)]
pub fn init(_exports: Object, env: Env) -> Result<()> {
    env.set_instance_data(Arc::new(Environment::default()), (), |_| {})
}

/// What to sweep, already checked by `index.js`.
#[napi(object, object_to_js = false)]
pub struct SweepRequest {
    /// The store, as the caller named it.
    pub store_path: String,
    /// The moment to compare with, in milliseconds since 1970.
    pub now_ms: f64,
    /// How long runs are kept, in milliseconds; absent: sweeping is disabled.
    pub retention_ms: Option<f64>,
    /// Sweep even if the last sweep was less than five minutes ago.
    pub force: bool,
    /// Only say what a sweep would do.
    pub dry_run: bool,
    /// How long archives are kept, in milliseconds; `false`: for ever; absent: as runs are.
    pub archive_retention: Option<Either<f64, bool>>,
    /// Look for dead temp files also if no run is removed.
    pub remove_temps: bool,
}

/// Stops a sweep that it is handed to.
#[napi]
#[derive(Default)]
pub struct SweepControl {
    abort: Abort,
}

#[napi]
impl SweepControl {
    /// Of one sweep.
    #[napi(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the sweep fail with the code `ABORT_ERR`, unless its commit has begun.
    #[napi]
    pub fn abort(&self) {
        self.abort.request();
    }
}

/// What came of a sweep.
#[napi(object, object_from_js = false)]
pub struct SweepOutcome {
    /// What it did.
    pub report: SweepReport,
    /// What is to be logged, in this order.
    pub log: Vec<SweepLogLine>,
    /// Why it failed, if it did.
    pub failure: Option<SweepFailure>,
}

/// What a sweep did. The fields are explained in `index.d.ts`.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct SweepReport {
    /// The sweep ran to its end.
    pub swept: bool,
    /// Why nothing was removed.
    pub reason: Option<&'static str>,
    /// How many entries were removed, or would have been.
    pub pruned: f64,
    /// The entries of the store.
    pub entries: SweptEntries,
    /// What was archived.
    pub transcripts: ArchivedTranscripts,
    /// What was deleted because of its age.
    pub archives: RemovedArchives,
    /// Left-over temp files.
    pub temps: RemovedTemps,
    /// Sizes.
    pub bytes: SweptBytes,
    /// Where the time went.
    pub ms: SweepTimes,
}

/// The entries of a swept store.
#[napi(object, object_from_js = false)]
pub struct SweptEntries {
    /// How many there were.
    pub seen: f64,
    /// How many stay.
    pub kept: f64,
    /// How many went.
    pub pruned: f64,
    /// How many are expired and stay.
    pub locked: f64,
}

/// Transcripts that were archived.
#[napi(object, object_from_js = false)]
pub struct ArchivedTranscripts {
    /// How many.
    pub archived: f64,
    /// Their size.
    pub bytes: f64,
}

/// Archives that were deleted.
#[napi(object, object_from_js = false)]
pub struct RemovedArchives {
    /// How many.
    pub removed: f64,
    /// Their size.
    pub bytes: f64,
}

/// Temp files that a crash had left.
#[napi(object, object_from_js = false)]
pub struct RemovedTemps {
    /// How many were deleted.
    pub removed: f64,
    /// Their size.
    pub bytes: f64,
    /// Where those are that were kept.
    pub kept: Vec<String>,
}

/// Sizes in bytes.
#[napi(object, object_from_js = false)]
pub struct SweptBytes {
    /// The store's, before.
    pub before: f64,
    /// The store's, after.
    pub after: f64,
    /// What was freed in all.
    pub reclaimed: f64,
}

/// Durations in milliseconds.
#[napi(object, object_from_js = false)]
pub struct SweepTimes {
    /// Reading and preparing.
    pub surveying: f64,
    /// Waiting for the lock.
    pub waiting: f64,
    /// Holding it.
    pub holding: f64,
    /// All of it.
    pub total: f64,
}

/// Why a sweep failed.
#[napi(object, object_from_js = false)]
pub struct SweepFailure {
    /// As a sentence.
    pub message: String,
    /// For programs.
    pub code: String,
    /// What it is about.
    pub path: Option<String>,
    /// Where in a store that is no JSON.
    pub line: Option<f64>,
    /// Where in that line.
    pub column: Option<f64>,
}

/// One line for the caller's logger.
#[napi(object, object_from_js = false)]
pub struct SweepLogLine {
    /// Which method: `info` or `warn`.
    pub level: &'static str,
    /// The second argument.
    pub message: String,
    /// For a failure: what went wrong.
    pub err: Option<String>,
    /// For a success: how many entries were removed.
    pub pruned: Option<f64>,
    /// For a success: the retention in force, in milliseconds.
    pub retention_ms: Option<f64>,
}

/// Sweeps one store on a thread of its own.
///
/// # Errors
/// When a sweep panics (a bug here, never the caller's fault).
#[napi(ts_return_type = "Promise<SweepOutcome>")]
pub fn sweep<'env>(
    env: &'env Env,
    request: SweepRequest,
    control: Option<&SweepControl>,
) -> Result<Object<'env>> {
    let environment = Environment::of(*env)?;
    // All of this is settled at the call, whatever JavaScript does while the sweep is under way:
    // the throttle, and where a relative path leads.
    let retention_ms = match environment.due(&request) {
        Ok(retention_ms) => retention_ms,
        Err(reason) => {
            let (deferred, promise): (Promised<SweepOutcome>, _) = env.create_deferred()?;
            deferred.resolve(settled(Report::of_no_sweep(reason)));
            return Ok(promise);
        }
    };
    let abort = control.map_or_else(Abort::default, |control| control.abort.clone());
    let path = request.store_path.clone();
    let store = absolute(&path);
    on_a_thread(
        env,
        path,
        "cron-session-reaper",
        move |promised: Promised<SweepOutcome>, failure| {
            let mut promised = Some(promised);
            let tell = |report| {
                if let Some(promised) = promised.take() {
                    promised.resolve(settled(report));
                }
            };
            let store = failure.map_or(store, Err);
            let work = AssertUnwindSafe(|| {
                environment.sweep(&request, retention_ms, store, abort, tell);
            });
            if let (Err(panic), Some(promised)) = (panic::catch_unwind(work), promised) {
                promised.reject(Error::from_reason(describe(&*panic)));
            }
        },
    )
}

/// A promise that has still to be settled.
type Promised<T> = JsDeferred<T, Box<dyn FnOnce(Env) -> Result<T> + Send>>;

fn settled<T>(outcome: impl Into<T> + Send + 'static) -> Box<dyn FnOnce(Env) -> Result<T> + Send> {
    Box::new(move |_| Ok(outcome.into()))
}

/// Has the work done on a thread of its own, which settles the promise. Where there is no thread to
/// be had (a limit of the system's), it is done at once with that failure: it only tells it then.
fn on_a_thread<'env, T: ToNapiValue + 'static>(
    env: &'env Env,
    path: String,
    name: &str,
    work: impl FnOnce(Promised<T>, Option<error::Error>) + Send + 'static,
) -> Result<Object<'env>> {
    let (promised, promise) = env.create_deferred()?;
    // The thread fetches it, instead of being given it: a promise that is lost with a thread that
    // never began would keep Node.js running for ever.
    let waiting = Arc::new(Mutex::new(Some((promised, work))));
    let fetch = |waiting: &Mutex<Option<_>>| {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    };
    let for_thread = Arc::clone(&waiting);
    let started = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(move || {
            if let Some((promised, work)) = fetch(&for_thread) {
                work(promised, None);
            }
        });
    if let Err(source) = started
        && let Some((promised, work)) = fetch(&waiting)
    {
        work(
            promised,
            Some(error::Error::Io {
                operation: "start a thread for",
                path: path.into(),
                source,
            }),
        );
    }
    Ok(promise)
}

/// The store's path as Node.js resolves it.
fn absolute(store: &str) -> error::Result<PathBuf> {
    if store.is_empty() {
        return Err(error::Error::NoStorePath);
    }
    let here = std::env::current_dir().map_err(|source| error::Error::Io {
        operation: "find the current folder for",
        path: PathBuf::from(store),
        source,
    })?;
    Ok(js::resolve(&here, Path::new(store)))
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    format!("cron-session-reaper failed unexpectedly ({text}); please report this")
}

/// The retention that a configured `sessionRetention` stands for, in milliseconds; `null` means
/// that sweeping is disabled.
#[napi(ts_args_type = "sessionRetention?: string | boolean | undefined")]
#[must_use]
#[allow(
    clippy::needless_pass_by_value,
    reason = "napi hands arguments over by value"
)]
pub fn resolve_retention_ms(session_retention: Option<Either<String, bool>>) -> Option<f64> {
    retention::resolve(match &session_retention {
        Some(Either::A(text)) => Setting::Text(text),
        Some(Either::B(false)) => Setting::Disabled,
        Some(Either::B(true)) | None => Setting::Absent,
    })
}

/// A duration in milliseconds; `null` if the text is none. The grammar is that of
/// `sessionRetention`.
#[napi]
#[must_use]
#[allow(
    clippy::needless_pass_by_value,
    reason = "napi hands arguments over by value"
)]
pub fn parse_duration(text: String) -> Option<f64> {
    retention::parse_duration(&text)
}

/// Forgets when stores were last swept, in this environment.
///
/// # Errors
/// When the addon was not initialised in this environment.
#[napi]
pub fn reset_reaper_throttle(env: Env) -> Result<()> {
    Environment::of(env)?.last_sweep_ms().clear();
    Ok(())
}

/// JavaScript counts in doubles.
#[allow(
    clippy::cast_precision_loss,
    reason = "no store has 2^53 entries or bytes"
)]
fn number(count: u64) -> f64 {
    count as f64
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl From<Report> for SweepOutcome {
    fn from(mut report: Report) -> Self {
        let log = std::mem::take(&mut report.log);
        let failure = report.failure.take();
        Self {
            report: report.into(),
            log: log.into_iter().map(SweepLogLine::from).collect(),
            failure: failure.map(SweepFailure::from),
        }
    }
}

impl From<Report> for SweepReport {
    fn from(report: Report) -> Self {
        Self {
            swept: report.swept,
            reason: report.reason.map(Reason::name),
            pruned: number(report.pruned),
            entries: SweptEntries {
                seen: number(report.entries.seen),
                kept: number(report.entries.kept),
                pruned: number(report.pruned),
                locked: number(report.entries.locked),
            },
            transcripts: ArchivedTranscripts {
                archived: number(report.transcripts.files),
                bytes: number(report.transcripts.bytes),
            },
            archives: RemovedArchives {
                removed: number(report.archives.files),
                bytes: number(report.archives.bytes),
            },
            temps: RemovedTemps {
                removed: number(report.temps.removed),
                bytes: number(report.temps.bytes),
                kept: report.temps.kept.iter().map(|(_, to)| text(to)).collect(),
            },
            bytes: SweptBytes {
                before: number(report.size.before),
                after: number(report.size.after),
                reclaimed: number(report.reclaimed()),
            },
            ms: SweepTimes {
                surveying: milliseconds(report.times.surveying),
                waiting: milliseconds(report.times.waiting),
                holding: milliseconds(report.times.holding),
                total: milliseconds(report.times.total),
            },
        }
    }
}

impl From<LogLine> for SweepLogLine {
    fn from(line: LogLine) -> Self {
        let level = match line.level {
            Level::Info => "info",
            Level::Warn => "warn",
        };
        let (err, pruned, retention_ms) = match line.fields {
            Fields::Failure { err } => (Some(err), None, None),
            Fields::Pruned {
                pruned,
                retention_ms,
            } => (None, Some(number(pruned)), Some(retention_ms)),
        };
        Self {
            level,
            message: line.message,
            err,
            pruned,
            retention_ms,
        }
    }
}

impl From<Failure> for SweepFailure {
    fn from(failure: Failure) -> Self {
        let (line, column) = failure.position.unzip();
        Self {
            message: failure.message,
            code: failure.code,
            path: failure.path.as_deref().map(text),
            line: line.map(number),
            column: column.map(number),
        }
    }
}

// What follows is the inspection of a store, which shares nothing with sweeps.

/// What to inspect, already checked by `index.js`.
#[napi(object, object_to_js = false)]
pub struct InspectionRequest {
    /// The store, as the caller named it.
    pub store_path: String,
    /// The moment to compare with, in milliseconds since 1970.
    pub now_ms: f64,
    /// How long runs are kept, in milliseconds; absent: for ever.
    pub retention_ms: Option<f64>,
    /// How many of the biggest entries and jobs to name.
    pub top: u32,
}

/// How far an inspection is, and the means to stop it.
///
/// JavaScript asks, instead of being called: a callback that throws would be nobody's to catch.
#[napi]
#[derive(Default)]
pub struct InspectionWatch {
    state: Arc<WatchState>,
}

#[derive(Default)]
struct WatchState {
    read: AtomicU64,
    size: AtomicU64,
    abort: Abort,
}

#[napi]
impl InspectionWatch {
    /// For one inspection.
    #[napi(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of the store were read.
    #[napi(getter)]
    #[must_use]
    pub fn bytes_read(&self) -> f64 {
        number(self.state.read.load(Ordering::Relaxed))
    }

    /// How many bytes the store has; 0 before the first is read.
    #[napi(getter)]
    #[must_use]
    pub fn bytes(&self) -> f64 {
        number(self.state.size.load(Ordering::Relaxed))
    }

    /// Has the inspection fail with the code `ABORT_ERR`, soon.
    #[napi]
    pub fn abort(&self) {
        self.state.abort.request();
    }
}

impl WatchState {
    fn note(&self, read: u64, size: u64) -> error::Result<()> {
        self.read.store(read, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
        self.abort.check()
    }
}

/// What became of an inspection: one of the two.
#[napi(object, object_from_js = false)]
pub struct InspectionOutcome {
    /// What was found.
    pub found: Option<StoreInspection>,
    /// Why nothing was.
    pub failure: Option<SweepFailure>,
}

/// What was found. `index.d.ts` has the documentation.
#[napi(object, object_from_js = false)]
pub struct StoreInspection {
    /// Size of the store.
    pub bytes: f64,
    /// Entries in it.
    pub entries: f64,
    /// By kind.
    pub kinds: Vec<KindSum>,
    /// Runs of cron jobs.
    pub runs: RunsSum,
    /// The biggest entries.
    pub biggest_entries: Vec<BigEntry>,
    /// The biggest jobs.
    pub biggest_jobs: Vec<BigJob>,
    /// Transcripts in the folder.
    pub transcripts: FilesSum,
    /// Archives in the folder.
    pub archives: ArchivesSum,
    /// Temp files of the store.
    pub temps: FilesSum,
    /// All other files.
    pub others: FilesSum,
}

/// Entries of one kind.
#[napi(object, object_from_js = false)]
pub struct KindSum {
    /// What sort of session.
    pub kind: String,
    /// How many.
    pub entries: f64,
    /// Their bytes.
    pub bytes: f64,
}

/// Runs of all jobs.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct RunsSum {
    /// How many.
    pub total: f64,
    /// How many of them a sweep would remove.
    pub expired: f64,
    /// Bytes of all.
    pub bytes: f64,
    /// Bytes of the expired ones.
    pub expired_bytes: f64,
    /// The least `updatedAt`.
    pub oldest_ms: Option<f64>,
    /// The greatest `updatedAt`.
    pub newest_ms: Option<f64>,
}

/// One entry.
#[napi(object, object_from_js = false)]
pub struct BigEntry {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: f64,
}

/// The runs of one job.
#[napi(object, object_from_js = false)]
pub struct BigJob {
    /// The job's id.
    pub job: String,
    /// How many runs.
    pub runs: f64,
    /// How many of them a sweep would remove.
    pub expired: f64,
    /// Bytes of all its runs.
    pub bytes: f64,
}

/// Files of one sort.
#[napi(object, object_from_js = false)]
pub struct FilesSum {
    /// How many.
    pub files: f64,
    /// Their bytes.
    pub bytes: f64,
}

/// Archived transcripts.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct ArchivesSum {
    /// How many.
    pub files: f64,
    /// Their bytes.
    pub bytes: f64,
    /// The stamp of the oldest.
    pub oldest_ms: Option<f64>,
}

/// Looks at one store and its folder, on a thread of its own.
///
/// # Errors
/// When the inspection panics (a bug here, never the caller's fault).
#[napi(ts_return_type = "Promise<InspectionOutcome>")]
pub fn inspect<'env>(
    env: &'env Env,
    request: InspectionRequest,
    watch: &InspectionWatch,
) -> Result<Object<'env>> {
    let state = Arc::clone(&watch.state);
    let path = request.store_path.clone();
    let store = absolute(&path);
    on_a_thread(
        env,
        path,
        "cron-session-inspect",
        move |promised: Promised<InspectionOutcome>, failure| {
            let store = failure.map_or(store, Err);
            let work = AssertUnwindSafe(|| InspectionOutcome::of(&request, store, &state));
            match panic::catch_unwind(work) {
                Ok(outcome) => promised.resolve(settled(outcome)),
                Err(panic) => promised.reject(Error::from_reason(describe(&*panic))),
            }
        },
    )
}

impl InspectionOutcome {
    fn of(request: &InspectionRequest, store: error::Result<PathBuf>, state: &WatchState) -> Self {
        let found = store.and_then(|store| {
            let request = inspect::Request {
                store: &store,
                now_ms: request.now_ms,
                retention_ms: request.retention_ms,
                top: usize::try_from(request.top).unwrap_or(usize::MAX),
            };
            inspect::inspect(&Os, request, |read, size| state.note(read, size))
        });
        let failure = found.as_ref().err().map(Failure::from);
        Self {
            failure: failure.map(SweepFailure::from),
            found: found.ok().map(StoreInspection::from),
        }
    }
}

impl From<Inspection> for StoreInspection {
    fn from(found: Inspection) -> Self {
        let census = found.census;
        let files = |sum: Tally| FilesSum {
            files: number(sum.files),
            bytes: number(sum.bytes),
        };
        let kind = |(kind, sum): (String, census::Sum)| KindSum {
            kind,
            entries: number(sum.entries),
            bytes: number(sum.bytes),
        };
        let entry = |(key, bytes)| BigEntry {
            key,
            bytes: number(bytes),
        };
        let job = |(job, sums): (String, census::Job)| BigJob {
            job,
            runs: number(sums.runs.entries),
            expired: number(sums.expired.entries),
            bytes: number(sums.runs.bytes),
        };
        Self {
            bytes: number(found.bytes),
            entries: number(census.all.entries),
            kinds: census.kinds.into_iter().map(kind).collect(),
            runs: RunsSum {
                total: number(census.runs.runs.entries),
                expired: number(census.runs.expired.entries),
                bytes: number(census.runs.runs.bytes),
                expired_bytes: number(census.runs.expired.bytes),
                oldest_ms: census.updated_at_ms.map(|(least, _)| least),
                newest_ms: census.updated_at_ms.map(|(_, greatest)| greatest),
            },
            biggest_entries: census.biggest_entries.into_iter().map(entry).collect(),
            biggest_jobs: census.biggest_jobs.into_iter().map(job).collect(),
            transcripts: files(found.transcripts),
            archives: ArchivesSum {
                files: number(found.archives.files),
                bytes: number(found.archives.bytes),
                oldest_ms: found.oldest_archive_ms.map(moment),
            },
            temps: files(found.temps),
            others: files(found.others),
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "four-digit years are far below 2^53 ms"
)]
fn moment(epoch_ms: i64) -> f64 {
    epoch_ms as f64
}
