//! The addon: the only file that knows Node.js.
//!
//! Each sweep and each inspection runs on a separate thread, so that neither the JavaScript thread
//! nor one of libuv's four threads waits for a disk.
//!
//! Every result crosses the bridge as one JSON text: `{"ok", "error", "log"}`, of which `ok` or `error`
//! is `null`, in the shapes that `index.d.ts` documents. `index.js` replays the log lines: no caller
//! could catch what a logger throws if it were called from here.

#![expect(
    clippy::needless_pass_by_value,
    reason = "napi passes arguments by value; on a function, its macro would copy this"
)]

use std::collections::HashMap;
use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use napi::JsDeferred;
use napi::bindgen_prelude::{Either, Env, Error, External, Object, Result};
use napi_derive::napi;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::abort::Abort;
use crate::error::{self, Context, Failure};
use crate::folder::{self, FreeRequest};
use crate::gateway::js;
use crate::gateway::retention::{self, Setting};
use crate::gateway::session_key::RunKeys;
use crate::inspect::{self, InspectOptions, Inspection};
use crate::store::survey_cache::SurveyCache;
use crate::sweep::exclusive::{ExclusiveSweep, Step, StoreChange};
use crate::sweep::outcome::{LogLine, Mode, Outcome, Reason};
use crate::sweep::{self, Ageing, Options, Request};
use crate::system::{Os, path_text};

/// The least time between two sweeps of one store, unless forced: the gateway's own figure.
const MIN_INTERVAL_MS: f64 = 5.0 * 60.0 * 1000.0;

/// The stack of a thread, in bytes. The scanner does not recurse, so this is enough.
const STACK: usize = 512 * 1024;

/// The state of one JavaScript environment. Each worker thread has its own.
#[derive(Default)]
struct Environment {
    /// The time of the last sweep of each store, in milliseconds since 1970, by the path as given.
    last_sweep_ms: Mutex<HashMap<String, f64>>,
    /// One for each value of [`RunKeys`].
    survey_caches: [SurveyCache; 2],
}

impl Environment {
    fn of(env: Env) -> Result<Arc<Self>> {
        env.get_instance_data::<Arc<Self>>()?
            .map(|environment| Arc::clone(environment))
            .ok_or_else(|| Error::from_reason("the addon was not initialised in this environment"))
    }

    /// Returns the retention to sweep with, or the reason why no sweep is due.
    fn due(&self, request: &SweepRequest) -> std::result::Result<f64, Reason> {
        if request.dry_run {
            return request.retention_ms.ok_or(Reason::Disabled);
        }
        let mut last_sweep_ms = lock(&self.last_sweep_ms);
        let last = last_sweep_ms.get(&request.store_path).copied();
        let since = request.now_ms - last.unwrap_or(0.0);
        // A negative interval means that the clock was set back since: without a sweep now, the
        // throttle would last until the clock has caught up.
        if !request.force && (0.0..MIN_INTERVAL_MS).contains(&since) {
            return Err(Reason::Throttled);
        }
        if request.retention_ms.is_none() {
            last_sweep_ms.insert(request.store_path.clone(), request.now_ms);
        }
        request.retention_ms.ok_or(Reason::Disabled)
    }

    /// Returns the store's absolute path and the retention to sweep with, or the outcome of a call that
    /// does not sweep. Both are decided during the call, so that nothing that JavaScript does later
    /// changes them.
    fn begin(&self, request: &SweepRequest) -> std::result::Result<(PathBuf, f64), Box<Outcome>> {
        let retention_ms = self.due(request).map_err(|reason| {
            let mode = if request.dry_run {
                Mode::DryRun
            } else {
                Mode::Apply
            };
            Outcome::not_swept(mode, reason, request.retention_ms)
        })?;
        let store = absolute(&request.store_path);
        let store = store.map_err(|error| Outcome::failed_to_begin(&error))?;
        Ok((store, retention_ms))
    }

    /// Starts the throttle of a store after a successful sweep.
    fn remember_sweep(&self, request: &SweepRequest, outcome: &Outcome) {
        if outcome.result.is_ok() {
            lock(&self.last_sweep_ms).insert(request.store_path.clone(), request.now_ms);
        }
    }
}

#[napi(module_exports)]
pub fn init(_exports: Object, env: Env) -> Result<()> {
    env.set_instance_data(Arc::new(Environment::default()), (), |_| {})
}

/// What to sweep. `index.js` has checked the types.
#[napi(object, object_to_js = false)]
pub struct SweepRequest {
    /// The store, as the caller named it.
    pub store_path: String,
    /// The current time, in milliseconds since 1970.
    pub now_ms: f64,
    /// How long runs are kept, in milliseconds. Absent: sweeping is disabled.
    pub retention_ms: Option<f64>,
    /// Sweep even if the last sweep was less than five minutes ago.
    pub force: bool,
    /// Only report what a sweep would do.
    pub dry_run: bool,
    /// How long archives are kept, in milliseconds. Infinity: for ever. Absent: as long as runs.
    pub archive_retention_ms: Option<f64>,
    /// Look for dead temp files even if no run is removed.
    pub remove_temps: bool,
}

impl SweepRequest {
    fn options(&self, abort: Abort) -> Options {
        Options {
            ageing: match self.archive_retention_ms {
                None => Ageing::WithRuns,
                Some(f64::INFINITY) => Ageing::Never,
                Some(ms) => Ageing::After(ms),
            },
            remove_temps: self.remove_temps,
            abort,
            ..Options::default()
        }
    }
}

/// JavaScript's handle on a running sweep or inspection: reads its progress and aborts it.
///
/// JavaScript polls it. The addon calls no JavaScript function, because no caller could catch what
/// such a function throws.
#[derive(Default)]
pub struct Watch {
    bytes_read: AtomicU64,
    bytes: AtomicU64,
    abort: Abort,
}

/// Returns the version of the crate. `load.js` compares it with the version of the npm package.
#[napi]
#[must_use]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Creates a watch for one sweep or inspection.
#[napi(ts_return_type = "object")]
#[must_use]
pub fn new_watch() -> External<Arc<Watch>> {
    External::new(Arc::default())
}

/// Makes the watched work fail with the code `ABORT_ERR` as soon as it can stop. A sweep whose
/// commit has begun is not stopped.
#[napi(ts_args_type = "watch: object")]
pub fn abort(watch: &External<Arc<Watch>>) {
    watch.abort.request();
}

/// Returns the progress of an inspection, as JSON: `{"ok": InspectProgress}`.
#[napi(ts_args_type = "watch: object")]
#[must_use]
pub fn progress_of(watch: &External<Arc<Watch>>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct InspectProgress {
        bytes_read: u64,
        bytes: u64,
    }
    // Acquired before `bytes` is read, so that no bytes appear as read of a store of size 0.
    let bytes_read = watch.bytes_read.load(Ordering::Acquire);
    let bytes = watch.bytes.load(Ordering::Relaxed);
    let progress = InspectProgress { bytes_read, bytes };
    answer(&std::result::Result::<_, Failure>::Ok(progress), &[])
}

/// Sweeps one store on a separate thread. The promise resolves to JSON: `{"ok": SweepReport}` or
/// `{"error": SweepError}`, each with the lines to log beside it, as
/// `"log": [{"level", "fields", "message"}]`.
///
/// # Errors
/// The promise rejects if the sweep panics, which is a bug in this package.
#[napi(
    ts_args_type = "request: SweepRequest, watch: object",
    ts_return_type = "Promise<string>"
)]
pub fn sweep<'env>(
    env: &'env Env,
    request: SweepRequest,
    watch: &External<Arc<Watch>>,
) -> Result<Object<'env>> {
    let environment = Environment::of(*env)?;
    let (store, retention_ms) = match environment.begin(&request) {
        Ok(begun) => begun,
        Err(outcome) => {
            let (deferred, promise) = env.create_deferred()?;
            resolve(deferred, sweep_answer(&outcome));
            return Ok(promise);
        }
    };
    let abort = watch.abort.clone();
    let path = request.store_path.clone();
    let job: Job = Box::new(move |started, report| {
        let mut report = |outcome: &Outcome| report(sweep_answer(outcome));
        if let Err(error) = started {
            return report(&Outcome::failed_to_begin(&error));
        }
        let sweep = Request {
            store: &store,
            now_ms: request.now_ms,
            retention_ms,
        };
        let options = request.options(abort);
        let cache = &environment.survey_caches[options.run_keys as usize];
        if request.dry_run {
            return report(&sweep::preview(&Os, sweep, &options, cache));
        }
        sweep::sweep_with(&Os, sweep, &options, cache, |outcome| {
            environment.remember_sweep(&request, &outcome);
            report(&outcome);
        });
    });
    spawn_settling(env, "cron-session-reaper", path, job)
}

/// A sweep whose commit runs inside an exclusive section of JavaScript: its steps, each on a separate
/// thread.
pub struct Steps {
    environment: Arc<Environment>,
    request: SweepRequest,
    /// The sweep, or the outcome if it did not begin. `None` while a step runs, and after the last.
    sweep: Option<std::result::Result<ExclusiveSweep<'static, Os>, Box<Outcome>>>,
}

/// Creates a sweep that [`prepare_sweep`], [`commit_sweep`] and [`finish_sweep`] drive. If none is due
/// now, it ends at the first step.
///
/// # Errors
/// If the addon was not initialised in this environment.
#[napi(ts_return_type = "object")]
pub fn new_sweep(
    env: Env,
    request: SweepRequest,
    descendants: bool,
) -> Result<External<Arc<Mutex<Steps>>>> {
    let environment = Environment::of(env)?;
    let run_keys = if descendants {
        RunKeys::RunsAndDescendants
    } else {
        RunKeys::Runs
    };
    let sweep = environment.begin(&request).map(|(store, retention_ms)| {
        let sweep = Request {
            store: &store,
            now_ms: request.now_ms,
            retention_ms,
        };
        let options = Options {
            run_keys,
            ..request.options(Abort::default())
        };
        let cache = &environment.survey_caches[run_keys as usize];
        ExclusiveSweep::new(&Os, sweep, &options, cache)
    });
    Ok(External::new(Arc::new(Mutex::new(Steps {
        environment,
        request,
        sweep: Some(sweep),
    }))))
}

/// Surveys the store and prepares the sweep. The promise resolves to JSON: `{"step"}`, which is
/// `"ready"`, `"changed"` or `"ended"`.
///
/// # Errors
/// The promise rejects if the step panics, which is a bug in this package.
#[napi(ts_args_type = "sweep: object", ts_return_type = "Promise<string>")]
pub fn prepare_sweep<'env>(
    env: &'env Env,
    sweep: &External<Arc<Mutex<Steps>>>,
) -> Result<Object<'env>> {
    spawn_step(env, sweep, |sweep| (sweep.prepare(), None))
}

/// Replaces the store. The promise resolves to JSON: `{"step", "change"}`. The step is `"committed"`,
/// `"changed"` or `"ended"`; the change is a `StoreChange` if the store's file changed, else `null`.
///
/// # Errors
/// The promise rejects if the step panics, which is a bug in this package.
#[napi(ts_args_type = "sweep: object", ts_return_type = "Promise<string>")]
pub fn commit_sweep<'env>(
    env: &'env Env,
    sweep: &External<Arc<Mutex<Steps>>>,
) -> Result<Object<'env>> {
    spawn_step(env, sweep, ExclusiveSweep::commit)
}

/// Completes or discards the sweep. The promise resolves to the same JSON as that of [`sweep`].
///
/// # Errors
/// The promise rejects if the step panics, which is a bug in this package.
#[napi(ts_args_type = "sweep: object", ts_return_type = "Promise<string>")]
pub fn finish_sweep<'env>(
    env: &'env Env,
    sweep: &External<Arc<Mutex<Steps>>>,
) -> Result<Object<'env>> {
    let sweep = Arc::clone(sweep);
    let path = lock(&sweep).request.store_path.clone();
    let job: Job = Box::new(move |_, report| {
        let mut steps = lock(&sweep);
        match steps.sweep.take() {
            Some(Ok(sweep)) => sweep.finish(|outcome| {
                steps.environment.remember_sweep(&steps.request, &outcome);
                report(sweep_answer(&outcome));
            }),
            Some(Err(outcome)) => report(sweep_answer(&outcome)),
            // A step panicked.
            None => report(sweep_answer(&Outcome::failed_to_begin(
                &error::Error::Aborted,
            ))),
        }
    });
    spawn_settling(env, "cron-session-reaper", path, job)
}

/// Locks a mutex, also after a panic: no change in this file can be left half made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn_step<'env>(
    env: &'env Env,
    steps: &Arc<Mutex<Steps>>,
    step: impl FnOnce(ExclusiveSweep<'static, Os>) -> (ExclusiveSweep<'static, Os>, Option<StoreChange>)
    + Send
    + 'static,
) -> Result<Object<'env>> {
    #[derive(Serialize)]
    struct StepAnswer {
        step: Step,
        change: Option<StoreChange>,
    }
    let steps = Arc::clone(steps);
    let path = lock(&steps).request.store_path.clone();
    let job: Job = Box::new(move |started, report| {
        let mut steps = lock(&steps);
        let (sweep, change) = match (steps.sweep.take(), started) {
            (Some(Ok(sweep)), Ok(())) => {
                let (sweep, change) = step(sweep);
                (Some(Ok(sweep)), change)
            }
            (Some(Ok(sweep)), Err(error)) => (Some(Ok(sweep.fail(error))), None),
            (ended, _) => (ended, None),
        };
        let step = match &sweep {
            Some(Ok(sweep)) => sweep.step(),
            _ => Step::Ended,
        };
        steps.sweep = sweep;
        report(json(&StepAnswer { step, change }));
    });
    spawn_settling(env, "cron-session-reaper", path, job)
}

/// Returns a result, and the lines to log, as JavaScript receives them.
fn answer<T: Serialize, E: Serialize>(
    result: &std::result::Result<T, E>,
    log: &[LogLine],
) -> String {
    #[derive(Serialize)]
    struct Answer<'a, T, E> {
        ok: Option<&'a T>,
        error: Option<&'a E>,
        log: &'a [LogLine],
    }
    json(&Answer {
        ok: result.as_ref().ok(),
        error: result.as_ref().err(),
        log,
    })
}

fn sweep_answer(outcome: &Outcome) -> String {
    answer(&outcome.result, &outcome.log)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and strings can always be serialised")
}

/// A promise that is not settled yet. It resolves to JSON.
type Deferred = JsDeferred<String, Box<dyn FnOnce(Env) -> Result<String> + Send>>;

fn resolve(deferred: Deferred, json: String) {
    deferred.resolve(Box::new(move |_| Ok(json)));
}

/// The work on one store. It receives the error if its thread did not start, and calls the function
/// once with the resulting JSON.
type Job = Box<dyn FnOnce(error::Result<()>, &mut dyn FnMut(String)) + Send>;

/// Runs a job on a new thread and returns a promise for its result.
///
/// If the system cannot start a thread (a resource limit), the job runs on this thread with that
/// error, which it only reports.
fn spawn_settling<'env>(
    env: &'env Env,
    name: &str,
    path: String,
    job: Job,
) -> Result<Object<'env>> {
    let (deferred, promise) = env.create_deferred()?;
    // The thread takes the job out of the mutex instead of owning it: if the thread never starts,
    // its closure is dropped, and a dropped deferred would keep Node.js running for ever.
    let task = Arc::new(Mutex::new(Some((job, deferred))));
    let task_of_thread = Arc::clone(&task);
    let started = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(move || settle(&task_of_thread, Ok(())));
    if let Err(source) = started {
        let failure = error::Error::Io {
            operation: "start a thread for",
            path: path.into(),
            source,
        };
        settle(&task, Err(failure));
    }
    Ok(promise)
}

/// Runs the job, and settles its promise as soon as the job reports.
fn settle(task: &Mutex<Option<(Job, Deferred)>>, started: error::Result<()>) {
    let task = lock(task).take();
    let Some((job, deferred)) = task else {
        return;
    };
    let mut deferred = Some(deferred);
    let mut report = |json| {
        if let Some(deferred) = deferred.take() {
            resolve(deferred, json);
        }
    };
    let job = AssertUnwindSafe(|| job(started, &mut report));
    if let (Err(panic), Some(deferred)) = (panic::catch_unwind(job), deferred) {
        deferred.reject(Error::from_reason(panic_message(&*panic)));
    }
}

/// Makes the store's path absolute, as Node.js's `path.resolve` does. The current directory, which
/// may have been removed, is queried only for a relative path.
fn absolute(store: &str) -> error::Result<PathBuf> {
    if store.is_empty() {
        return Err(error::Error::NoStorePath);
    }
    let store = Path::new(store);
    let base = if store.is_absolute() {
        PathBuf::new()
    } else {
        env::current_dir().context("find the current directory for", store)?
    };
    Ok(js::resolve(&base, store))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    format!("internal error in cron-session-reaper: {text}; please report it")
}

/// Returns the retention for a configured `sessionRetention`, in milliseconds; `null` if sweeping
/// is disabled.
#[napi(ts_args_type = "sessionRetention?: string | boolean | undefined")]
#[must_use]
pub fn resolve_retention_ms(session_retention: Option<Either<String, bool>>) -> Option<f64> {
    retention::resolve(match &session_retention {
        Some(Either::A(text)) => Setting::Text(text),
        Some(Either::B(false)) => Setting::Disabled,
        Some(Either::B(true)) | None => Setting::Absent,
    })
}

/// Parses a duration in the grammar of `sessionRetention` and returns it in milliseconds; `null` if
/// the text is not a duration.
#[napi]
#[must_use]
pub fn parse_duration(text: String) -> Option<f64> {
    retention::parse_duration(&text)
}

/// Forgets the times of the last sweeps in this environment.
///
/// # Errors
/// If the addon was not initialised in this environment.
#[napi]
pub fn reset_reaper_throttle(env: Env) -> Result<()> {
    lock(&Environment::of(env)?.last_sweep_ms).clear();
    Ok(())
}

/// What to inspect. `index.js` has checked the types.
#[napi(object, object_to_js = false)]
pub struct InspectRequest {
    /// The store, as the caller named it.
    pub store_path: String,
    /// The current time, in milliseconds since 1970.
    pub now_ms: f64,
    /// How long runs are kept, in milliseconds. Absent: for ever.
    pub retention_ms: Option<f64>,
    /// How many of the biggest entries and jobs to list; a whole number from 0.
    pub top: i64,
}

/// Inspects one store and its folder on a separate thread. The promise resolves to JSON:
/// `{"ok": StoreInspection}` or `{"error": InspectError}`.
///
/// # Errors
/// The promise rejects if the inspection panics, which is a bug in this package.
#[napi(
    ts_args_type = "request: InspectRequest, watch: object",
    ts_return_type = "Promise<string>"
)]
pub fn inspect<'env>(
    env: &'env Env,
    request: InspectRequest,
    watch: &External<Arc<Watch>>,
) -> Result<Object<'env>> {
    let watch = Arc::clone(watch);
    let path = request.store_path.clone();
    let store = absolute(&path);
    let job: Job = Box::new(move |started, report| {
        let found = started
            .and(store)
            .and_then(|store| inspect_store(&request, &store, &watch));
        let found = found.map_err(|error| Failure::from(&error));
        report(answer(&found, &[]));
    });
    spawn_settling(env, "cron-session-inspect", path, job)
}

fn inspect_store(
    request: &InspectRequest,
    store: &Path,
    watch: &Watch,
) -> error::Result<Inspection> {
    let options = InspectOptions {
        store,
        now_ms: request.now_ms,
        retention_ms: request.retention_ms,
        top: usize::try_from(request.top).unwrap_or(usize::MAX),
    };
    inspect::inspect(&Os, options, &watch.abort, |bytes_read, bytes| {
        watch.bytes.store(bytes, Ordering::Relaxed);
        watch.bytes_read.store(bytes_read, Ordering::Release);
    })
}

/// Returns by name what a sweep would remove, without changing anything. The promise resolves to JSON:
/// `{"ok": {"runs", "transcripts", "archives", "temps"}}` or `{"error"}`. Only the command calls this.
///
/// # Errors
/// The promise rejects if the work panics, which is a bug in this package.
#[napi(
    ts_args_type = "request: SweepRequest, watch: object",
    ts_return_type = "Promise<string>"
)]
pub fn list_removals<'env>(
    env: &'env Env,
    request: SweepRequest,
    watch: &External<Arc<Watch>>,
) -> Result<Object<'env>> {
    let abort = watch.abort.clone();
    let path = request.store_path.clone();
    let store = absolute(&path);
    let job: Job = Box::new(move |started, report| {
        let listed = started
            .and(store)
            .and_then(|store| removals(&request, &store, abort));
        let listed = listed.map_err(|error| Failure::from(&error));
        report(answer(&listed, &[]));
    });
    spawn_settling(env, "cron-session-list", path, job)
}

/// The names of what a sweep would remove, as JavaScript receives them.
#[derive(Default, Serialize)]
struct RemovalList {
    runs: Vec<Box<RawValue>>,
    transcripts: Vec<String>,
    archives: Vec<String>,
    temps: Vec<String>,
}

fn removals(request: &SweepRequest, store: &Path, abort: Abort) -> error::Result<RemovalList> {
    let Some(retention_ms) = request.retention_ms else {
        return Ok(RemovalList::default());
    };
    let sweep = Request {
        store,
        now_ms: request.now_ms,
        retention_ms,
    };
    let names = sweep::removals(&Os, sweep, &request.options(abort))?;
    let texts = |paths: Vec<PathBuf>| {
        let text = |path: PathBuf| path_text(&path).into_owned();
        paths.into_iter().map(text).collect()
    };
    Ok(RemovalList {
        runs: names.runs.into_iter().map(|run| run.key).collect(),
        transcripts: texts(names.transcripts),
        archives: texts(names.archives),
        temps: texts(names.temps),
    })
}

/// Counts the files in a store's folder by class. The promise resolves to JSON: `{"ok": {"classes":
/// [{"class", "files", "bytes", "oldestMs"}]}}` or `{"error"}`. The store need not exist. `others` are the
/// names of other stores in the folder. Only the command calls this.
///
/// # Errors
/// The promise rejects if the work panics, which is a bug in this package.
#[napi(
    ts_args_type = "storePath: string, others: Array<string>, watch: object",
    ts_return_type = "Promise<string>"
)]
pub fn folder_contents<'env>(
    env: &'env Env,
    store_path: String,
    others: Vec<String>,
    watch: &External<Arc<Watch>>,
) -> Result<Object<'env>> {
    let abort = watch.abort.clone();
    let store = absolute(&store_path);
    let job: Job = Box::new(move |started, report| {
        let found = started
            .and(store)
            .and_then(|store| folder::contents(&Os, &store, &others, &abort));
        let found = found.map_err(|error| Failure::from(&error));
        report(answer(&found, &[]));
    });
    spawn_settling(env, "cron-session-folder", store_path, job)
}

/// What to delete in a store's folder. Times are in milliseconds since 1970.
#[napi(object, object_to_js = false)]
pub struct FreeFolderRequest {
    /// The store, which need not exist.
    pub store_path: String,
    /// Delete archives made before this. Absent: none.
    pub archives_before_ms: Option<f64>,
    /// Delete resets made before this. Absent: none.
    pub resets_before_ms: Option<f64>,
    /// Delete backups made before this. Absent: none.
    pub backups_before_ms: Option<f64>,
    /// Delete dead locks and, in the folder of a migrated store, superseded temp files.
    pub dead: bool,
    /// Names of stores in the folder, which are not deleted.
    pub stores: Vec<String>,
    /// Names of stores in the folder. If one exists and cannot be read, the work fails.
    pub readable: Vec<String>,
    /// Only return what would be deleted.
    pub dry_run: bool,
}

/// Deletes files in a store's folder that no sweep deletes. The promise resolves to JSON:
/// `{"ok": {"files": [{"class", "path", "bytes"}], "failures": [string]}}` or `{"error"}`. Only the
/// command calls this.
///
/// # Errors
/// The promise rejects if the work panics, which is a bug in this package.
#[napi(
    ts_args_type = "request: FreeFolderRequest, watch: object",
    ts_return_type = "Promise<string>"
)]
pub fn free_folder<'env>(
    env: &'env Env,
    request: FreeFolderRequest,
    watch: &External<Arc<Watch>>,
) -> Result<Object<'env>> {
    let abort = watch.abort.clone();
    let path = request.store_path.clone();
    let store = absolute(&path);
    let job: Job = Box::new(move |started, report| {
        let freed = started.and(store).and_then(|store| {
            let request = FreeRequest {
                store: &store,
                archives_before_ms: request.archives_before_ms,
                resets_before_ms: request.resets_before_ms,
                backups_before_ms: request.backups_before_ms,
                dead: request.dead,
                stores: &request.stores,
                readable: &request.readable,
                mode: if request.dry_run {
                    Mode::DryRun
                } else {
                    Mode::Apply
                },
            };
            folder::free(&Os, &request, &abort)
        });
        let freed = freed.map_err(|error| Failure::from(&error));
        report(answer(&freed, &[]));
    });
    spawn_settling(env, "cron-session-free", path, job)
}
