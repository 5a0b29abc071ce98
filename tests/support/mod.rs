//! The fixtures of `src/testing`, for the tests that are not unit tests yet.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use cron_session_reaper::error::Failure;
use cron_session_reaper::store::survey_cache::SurveyCache;
use cron_session_reaper::sweep::outcome::{LogLine, Report};
use cron_session_reaper::sweep::{self, Options, Outcome, Request};
use cron_session_reaper::system::{self, System};

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "../../src/testing/mod.rs"]
mod testing;

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use testing::{Faulty, Tree, touch};

/// An outcome as tests read it: a failed sweep has the report of no sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    pub report: Report,
    pub failure: Option<Failure>,
    pub log: Vec<LogLine>,
}

impl std::ops::Deref for Swept {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl std::ops::DerefMut for Swept {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.report
    }
}

impl From<Outcome> for Swept {
    fn from(outcome: Outcome) -> Self {
        let (report, failure) = match outcome.result {
            Ok(report) => (report, None),
            Err(failed) => (Report::default(), Some(failed.failure)),
        };
        Self {
            report,
            failure,
            log: outcome.log,
        }
    }
}

/// Sweeps as the gateway does.
pub fn swept(system: &impl System, request: Request<'_>, cache: &SurveyCache) -> Swept {
    sweep::sweep(system, request, cache).into()
}

/// Sweeps with options.
pub fn swept_with(
    system: &impl System,
    request: Request<'_>,
    options: &Options,
    cache: &SurveyCache,
) -> Swept {
    let mut outcome = None;
    sweep::sweep_with(system, request, options, cache, |it| outcome = Some(it));
    outcome.unwrap().into()
}

/// Previews a sweep.
pub fn preview(
    system: &impl System,
    request: Request<'_>,
    options: &Options,
    cache: &SurveyCache,
) -> Swept {
    sweep::preview(system, request, options, cache).into()
}
