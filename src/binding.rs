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

use napi::JsDeferred;
use napi::bindgen_prelude::{Either, Env, Error, External, Object, Result};
use napi_derive::napi;
use serde::Serialize;

use crate::abort::Abort;
use crate::error::{self, Failure};
use crate::gateway::js;
use crate::gateway::retention::{self, Setting};
use crate::inspect::{self, Inspection};
use crate::store::survey_cache::SurveyCache;
use crate::sweep::outcome::{LogLine, Mode, Outcome, Reason};
use crate::sweep::{self, Ageing, Options, Request};
use crate::system::Os;

/// Two sweeps of one store are at least this far apart, unless forced. The gateway's own figure.
const MIN_INTERVAL_MS: f64 = 5.0 * 60.0 * 1000.0;

/// A sweep's stack: the scanner does not recurse, so little is needed.
const STACK: usize = 512 * 1024;

/// What the addon remembers, per JavaScript environment: a worker thread has its own.
#[derive(Default)]
struct Environment {
    /// When each store was last swept, in milliseconds since 1970, by its path as given.
    last_sweep_ms: Mutex<HashMap<String, f64>>,
    memory: SurveyCache,
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
        tell: impl FnOnce(Outcome),
    ) {
        let now_ms = request.now_ms;
        let store = match store {
            Ok(store) => store,
            Err(error) => return tell(Outcome::failed_to_begin(&error)),
        };
        let sweep = Request {
            store: &store,
            now_ms,
            retention_ms,
        };
        let options = Options {
            ageing: match request.archive_retention_ms {
                None => Ageing::WithRuns,
                Some(f64::INFINITY) => Ageing::Never,
                Some(ms) => Ageing::After(ms),
            },
            remove_temps: request.remove_temps,
            abort,
        };
        if request.dry_run {
            return tell(sweep::preview(&Os, sweep, &options, &self.memory));
        }
        sweep::sweep_with(&Os, sweep, &options, &self.memory, |outcome| {
            if outcome.result.is_ok() {
                self.last_sweep_ms()
                    .insert(request.store_path.clone(), now_ms);
            }
            tell(outcome);
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
    /// How long archives are kept, in milliseconds; Infinity: for ever; absent: as runs are.
    pub archive_retention_ms: Option<f64>,
    /// Look for dead temp files also if no run is removed.
    pub remove_temps: bool,
}

impl SweepRequest {
    fn mode(&self) -> Mode {
        if self.dry_run {
            Mode::DryRun
        } else {
            Mode::Apply
        }
    }
}

/// What JavaScript holds of work that is under way: how far it is, and the means to stop it.
///
/// JavaScript asks, instead of being called: a callback that throws would be nobody's to catch.
#[derive(Default)]
pub struct Watch {
    read: AtomicU64,
    size: AtomicU64,
    abort: Abort,
}

impl Watch {
    fn note(&self, read: u64, size: u64) {
        self.read.store(read, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
    }
}

/// To be handed to one sweep or inspection.
#[napi(ts_return_type = "object")]
#[must_use]
pub fn new_watch() -> External<Arc<Watch>> {
    External::new(Arc::default())
}

/// Has the work fail with the code `ABORT_ERR`, soon; a sweep, unless its commit has begun.
#[napi(ts_args_type = "watch: object")]
pub fn abort(watch: &External<Arc<Watch>>) {
    watch.abort.request();
}

/// How far an inspection is, as JSON: an `InspectProgress` of `index.d.ts`.
#[napi(ts_args_type = "watch: object")]
#[must_use]
pub fn progress_of(watch: &External<Arc<Watch>>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Progress {
        bytes_read: u64,
        bytes: u64,
    }
    json(&Progress {
        bytes_read: watch.read.load(Ordering::Relaxed),
        bytes: watch.size.load(Ordering::Relaxed),
    })
}

/// Sweeps one store on a thread of its own. What comes of it is told as JSON, to which `index.js`
/// gives the form that the user sees: a [`Report`] and how much it reclaimed.
///
/// # Errors
/// When a sweep panics (a bug here, never the caller's fault).
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
    // All of this is settled at the call, whatever JavaScript does while the sweep is under way:
    // the throttle, and where a relative path leads.
    let retention_ms = match environment.due(&request) {
        Ok(retention_ms) => retention_ms,
        Err(reason) => {
            let (promised, promise) = env.create_deferred()?;
            let outcome = Outcome::not_swept(request.mode(), reason, request.retention_ms);
            fulfil(promised, swept(&outcome));
            return Ok(promise);
        }
    };
    let abort = watch.abort.clone();
    let path = request.store_path.clone();
    let work: Work = Box::new(move |store, tell| {
        let tell = |outcome| tell(swept(&outcome));
        environment.sweep(&request, retention_ms, store, abort, tell);
    });
    on_a_thread(env, "cron-session-reaper", path, work)
}

/// An answer to JavaScript: `{"ok": …}` or `{"error": …}`, for a sweep with its log lines.
#[derive(Serialize)]
struct Answer<'a, T, E> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<E>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a [LogLine]>,
}

impl<'a, T, E> Answer<'a, T, E> {
    fn of(result: std::result::Result<T, E>, log: Option<&'a [LogLine]>) -> Self {
        let (ok, error) = match result {
            Ok(ok) => (Some(ok), None),
            Err(error) => (None, Some(error)),
        };
        Self { ok, error, log }
    }
}

fn swept(outcome: &Outcome) -> String {
    json(&Answer::of(outcome.result.as_ref(), Some(&outcome.log)))
}

fn json(outcome: &impl Serialize) -> String {
    serde_json::to_string(outcome).expect("numbers and strings can always be written")
}

/// A promise that has still to be settled, with JSON.
type Promised = JsDeferred<String, Box<dyn FnOnce(Env) -> Result<String> + Send>>;

fn fulfil(promised: Promised, outcome: String) {
    promised.resolve(Box::new(move |_| Ok(outcome)));
}

/// What is to be done with a store, or where that was not to be found: it tells what came of it,
/// once.
type Work = Box<dyn FnOnce(error::Result<PathBuf>, &mut dyn FnMut(String)) + Send>;

/// Has the work done on a thread of its own, and promises what it tells. Where there is no thread
/// to be had (a limit of the system's), it is done at once with that failure: it only tells it then.
fn on_a_thread<'env>(env: &'env Env, name: &str, path: String, work: Work) -> Result<Object<'env>> {
    let (promised, promise) = env.create_deferred()?;
    let store = absolute(&path);
    // The thread fetches it, instead of being given it: a promise that is lost with a thread that
    // never began would keep Node.js running for ever.
    let task = Arc::new(Mutex::new(Some((work, promised))));
    let fetched = Arc::clone(&task);
    let started = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(move || keep_promise(&fetched, store));
    if let Err(source) = started {
        let failure = error::Error::Io {
            operation: "start a thread for",
            path: path.into(),
            source,
        };
        keep_promise(&task, Err(failure));
    }
    Ok(promise)
}

fn keep_promise(task: &Mutex<Option<(Work, Promised)>>, store: error::Result<PathBuf>) {
    let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((work, promised)) = task else {
        return;
    };
    let mut promised = Some(promised);
    let mut tell = |outcome| {
        if let Some(promised) = promised.take() {
            fulfil(promised, outcome);
        }
    };
    let work = AssertUnwindSafe(|| work(store, &mut tell));
    if let (Err(panic), Some(promised)) = (panic::catch_unwind(work), promised) {
        promised.reject(Error::from_reason(describe(&*panic)));
    }
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
    format!("internal error in cron-session-reaper: {text}; please report it")
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

// What follows is the inspection of a store.

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

/// Looks at one store and its folder, on a thread of its own. What comes of it is told as JSON, to
/// which `index.js` gives the form that the user sees: an [`Inspection`], or a [`Failure`].
///
/// # Errors
/// When the inspection panics (a bug here, never the caller's fault).
#[napi(
    ts_args_type = "request: InspectionRequest, watch: object",
    ts_return_type = "Promise<string>"
)]
pub fn inspect<'env>(
    env: &'env Env,
    request: InspectionRequest,
    watch: &External<Arc<Watch>>,
) -> Result<Object<'env>> {
    let watch = Arc::clone(watch);
    let path = request.store_path.clone();
    let work: Work = Box::new(move |store, tell| {
        let found = store.and_then(|store| look(&request, &store, &watch));
        tell(json(&Answer::of(
            found.map_err(|error| Failure::from(&error)),
            None,
        )));
    });
    on_a_thread(env, "cron-session-inspect", path, work)
}

fn look(request: &InspectionRequest, store: &Path, watch: &Watch) -> error::Result<Inspection> {
    let request = inspect::Request {
        store,
        now_ms: request.now_ms,
        retention_ms: request.retention_ms,
        top: usize::try_from(request.top).unwrap_or(usize::MAX),
    };
    inspect::inspect(&Os, request, &watch.abort, |read, size| {
        watch.note(read, size);
    })
}
