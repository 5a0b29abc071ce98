//! The fixtures of `src/testing`, for the tests that are not unit tests yet.

use cron_session_reaper::system;

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "../../src/testing/mod.rs"]
mod testing;

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use testing::{Faulty, Tree, touch};
