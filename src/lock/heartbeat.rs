//! Keeps the date of a held lock fresh, for holds that may last longer than the 30 s after which the
//! gateway steals a lock.

use std::time::Duration;

use crate::system::{Beat, Heartbeat, System};

use super::payload;
use super::takeover::LockFile;

/// How often the date is rewritten.
const PERIOD: Duration = Duration::from_secs(5);

/// How often it is rewritten at most. A holder that needs more than these 5 minutes hangs, and the
/// gateway may steal its lock.
const COUNT: u32 = 60;

/// Starts to rewrite the date of a lock that has been held for a time.
pub(super) fn start<S: System>(system: &S, lock: &LockFile<S::File>, held: Duration) -> Heartbeat {
    let beat = Beat {
        offset: lock.date_offset,
        first_after: PERIOD.saturating_sub(held),
        period: PERIOD,
        count: COUNT,
        text: payload::date,
    };
    system.start_heartbeat(&lock.file, beat)
}
