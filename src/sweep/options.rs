//! What a sweep is asked to do.

use std::path::Path;

use crate::abort::Abort;
use crate::gateway::session_key::RunKeys;

/// Which store to sweep, and which of its runs are expired.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The store, as an absolute path without `.` and `..`.
    pub store: &'a Path,
    /// The time to compare with, in milliseconds since 1970.
    pub now_ms: f64,
    /// How long a run is kept after its last update, in milliseconds.
    pub retention_ms: f64,
}

impl Request<'_> {
    /// Returns the time before which a run's last update makes it expired, in milliseconds since
    /// 1970.
    pub(crate) fn cutoff_ms(&self) -> f64 {
        self.now_ms - self.retention_ms
    }
}

/// What a sweep may do differently from the gateway's. The default is the gateway's behaviour.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which archives are deleted.
    pub ageing: Ageing,
    /// Which keys are keys of runs.
    pub run_keys: RunKeys,
    /// Search for leftover temp files even if no run is removed.
    pub remove_temps: bool,
    /// Until the commit begins, an abort ends the sweep with
    /// [`Error::Aborted`](crate::error::Error::Aborted) and nothing is changed. Later it has no
    /// effect.
    pub abort: Abort,
}

/// Which archives a sweep deletes. Archives are deleted only if the store exists.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Ageing {
    /// The gateway's rule: archives older than the runs' retention, in the folders in which this
    /// sweep archived a transcript.
    #[default]
    WithRuns,
    /// None.
    Never,
    /// Archives older than this many milliseconds, in the same folders and always in the store's.
    After(f64),
}

impl Ageing {
    /// Returns the time before which an archive was made if it is to be deleted, in milliseconds
    /// since 1970.
    pub(crate) fn cutoff_ms(self, request: Request<'_>) -> f64 {
        match self {
            Self::WithRuns => request.cutoff_ms(),
            Self::After(ms) => request.now_ms - ms,
            Self::Never => f64::NEG_INFINITY,
        }
    }
}
