//! The addon: the only file that knows Node.js.
//!
//! Each sweep has a thread of its own, so that neither the JavaScript thread nor libuv's pool of
//! four ever waits for a disk. Log lines go back as data and are replayed in `index.js`: a logger
//! called from here could throw where nobody can catch it.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use napi::bindgen_prelude::{Either, Env, Error, Object, Result};
use napi_derive::napi;

use crate::error;
use crate::js;
use crate::report::{Fields, Level, Report};
use crate::retention::{self, Setting};
use crate::store::memory::Memory;
use crate::sweep::{self, Request};
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

    /// The retention to sweep with; `None` if it is too early for a sweep or sweeping is disabled.
    fn due(&self, request: &SweepRequest) -> Option<f64> {
        let mut last_sweep_ms = self.last_sweep_ms();
        let last = last_sweep_ms.get(&request.store_path).copied();
        if !request.force && request.now_ms - last.unwrap_or(0.0) < MIN_INTERVAL_MS {
            return None;
        }
        if request.retention_ms.is_none() {
            last_sweep_ms.insert(request.store_path.clone(), request.now_ms);
        }
        request.retention_ms
    }

    fn sweep(
        &self,
        request: &SweepRequest,
        retention_ms: f64,
        store: error::Result<PathBuf>,
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
        sweep::sweep_and_tell(&Os, sweep, &self.memory, |report| {
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
}

/// What a sweep did.
#[napi(object, object_from_js = false)]
pub struct SweepOutcome {
    /// The sweep ran to its end.
    pub swept: bool,
    /// How many entries were removed.
    pub pruned: f64,
    /// What is to be logged, in this order.
    pub log: Vec<SweepLogLine>,
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
/// When no thread can be started, or when a sweep panics (a bug here, never the caller's fault).
#[napi(ts_return_type = "Promise<SweepOutcome>")]
pub fn sweep(env: &Env, request: SweepRequest) -> Result<Object<'_>> {
    let environment = Environment::of(*env)?;
    let (deferred, promise) = env.create_deferred()?;
    // All of this is settled at the call, whatever JavaScript does while the sweep is under way:
    // the throttle, and where a relative path leads.
    let Some(retention_ms) = environment.due(&request) else {
        deferred.resolve(outcome(Report::default()));
        return Ok(promise);
    };
    let store = absolute(&request.store_path);
    thread::Builder::new()
        .name("cron-session-reaper".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let mut deferred = Some(deferred);
            let tell = |report| {
                if let Some(deferred) = deferred.take() {
                    deferred.resolve(outcome(report));
                }
            };
            let work = AssertUnwindSafe(|| environment.sweep(&request, retention_ms, store, tell));
            if let (Err(panic), Some(deferred)) = (panic::catch_unwind(work), deferred) {
                deferred.reject(Error::from_reason(describe(&*panic)));
            }
        })
        .map_err(|error| Error::from_reason(format!("cannot start a thread to sweep: {error}")))?;
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

fn outcome(report: Report) -> impl FnOnce(Env) -> Result<SweepOutcome> {
    move |_| Ok(SweepOutcome::from(report))
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    format!("the sweep failed unexpectedly ({text}); please report this")
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

/// Forgets when stores were last swept, in this environment.
///
/// # Errors
/// When the addon was not initialised in this environment.
#[napi]
pub fn reset_reaper_throttle(env: Env) -> Result<()> {
    Environment::of(env)?.last_sweep_ms().clear();
    Ok(())
}

impl From<Report> for SweepOutcome {
    #[allow(
        clippy::cast_precision_loss,
        reason = "JavaScript counts in doubles, and no store has 2^53 entries"
    )]
    fn from(report: Report) -> Self {
        let log = report
            .log
            .into_iter()
            .map(|line| {
                let level = match line.level {
                    Level::Info => "info",
                    Level::Warn => "warn",
                };
                let (err, pruned, retention_ms) = match line.fields {
                    Fields::Failure { err } => (Some(err), None, None),
                    Fields::Pruned {
                        pruned,
                        retention_ms,
                    } => (None, Some(pruned as f64), Some(retention_ms)),
                };
                SweepLogLine {
                    level,
                    message: line.message,
                    err,
                    pruned,
                    retention_ms,
                }
            })
            .collect();
        Self {
            swept: report.swept,
            pruned: report.pruned as f64,
            log,
        }
    }
}
