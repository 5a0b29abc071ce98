//! Decides from evidence whether a lock is stale.

use std::time::Duration;

use super::payload::Payload;
use crate::system::{Process, Stat};

/// The age from which the holder of a lock is believed to be dead. The holder of a younger lock may
/// be a process that is only just becoming visible.
pub(super) const MIN_DEAD_AGE: Duration = Duration::from_secs(1);

/// The age after which the gateway removes a lock without a valid pid or date.
pub(super) const INVALID_TIMEOUT: Duration = Duration::from_secs(30);

/// The age after which the gateway's own watchdog has released the lock of a live JavaScript holder. A
/// native holder's heartbeat keeps its lock younger than that.
pub(super) const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How much later than the lock a process must have started to be another process than its holder.
/// The start time has a resolution of one clock tick (10 ms), and the wall clock may have been
/// adjusted since.
const START_TIME_TOLERANCE_MS: i64 = 1000;

/// What is known about a lock.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// `None` if this process is not permitted to read the lock.
    pub(super) payload: Option<&'a Payload>,
    /// What is known about the process with the payload's pid.
    pub(super) process: Option<Process>,
    /// Whether this process holds the flock, so that no other process does.
    pub(super) flock: Flock,
    /// This machine's boot id.
    pub(super) boot_id: Option<String>,
    /// The wall clock, in milliseconds since 1970.
    pub(super) now_ms: i64,
    /// When the file was created, in milliseconds since 1970, from the file's time stamps.
    pub(super) created_ms: i64,
    /// How long this process has seen this file at the path, by a monotonic clock.
    pub(super) watched: Duration,
}

/// This process's attempt to flock a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flock {
    /// It succeeded: no native sweep holds this file.
    Acquired,
    /// The file system has no flock.
    Unsupported,
}

/// Whether a lock is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staleness {
    /// It is not, or not yet.
    Wait(WaitReason),
    /// No process will release it.
    Stale(StaleReason),
}

/// Why a lock is not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitReason {
    /// Its holder is alive.
    HolderAlive,
    /// Its holder seems to be dead, but the lock is too young to be sure.
    TooYoung,
    /// It has no valid pid or date. It may be incomplete.
    Invalid,
    /// This process is not permitted to read it. Its holder may be alive.
    Unreadable,
}

/// Why a lock is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StaleReason {
    /// It is a native sweep's, and no process holds the flock.
    NativeCrashed,
    /// No process has its pid.
    ProcessGone,
    /// Its pid is now another process's.
    PidReused,
    /// It never got a valid pid or date.
    NeverCompleted,
    /// It is so old that the gateway's watchdog has released it, even if its holder is alive.
    WatchdogExpired,
}

/// Decides whether a lock is stale. The rules are the gateway's, made stricter where the gateway
/// steals the lock of a live holder.
pub(super) fn staleness(evidence: &Evidence) -> Staleness {
    let Some(payload) = evidence.payload else {
        return if age(evidence, evidence.created_ms) > WATCHDOG_TIMEOUT {
            Staleness::Stale(StaleReason::WatchdogExpired)
        } else {
            Staleness::Wait(WaitReason::Unreadable)
        };
    };
    if is_of_crashed_native_sweep(evidence, payload) {
        return Staleness::Stale(StaleReason::NativeCrashed);
    }
    if let Some(reason) = dead_holder(evidence, payload) {
        return if age(evidence, evidence.created_ms) >= MIN_DEAD_AGE {
            Staleness::Stale(reason)
        } else {
            Staleness::Wait(WaitReason::TooYoung)
        };
    }
    let (Some(_), Some(created_ms)) = (payload.pid, payload.created_ms) else {
        return if age(evidence, evidence.created_ms) > INVALID_TIMEOUT {
            Staleness::Stale(StaleReason::NeverCompleted)
        } else {
            Staleness::Wait(WaitReason::Invalid)
        };
    };
    if age(evidence, created_ms) > WATCHDOG_TIMEOUT {
        return Staleness::Stale(StaleReason::WatchdogExpired);
    }
    Staleness::Wait(WaitReason::HolderAlive)
}

/// A lock with this boot's id was flocked before it was visible. If the flock is available, the
/// holder no longer exists, in any PID namespace and at any time of day.
fn is_of_crashed_native_sweep(evidence: &Evidence, payload: &Payload) -> bool {
    evidence.flock == Flock::Acquired
        && evidence.boot_id.is_some()
        && payload.flock == evidence.boot_id
}

/// Returns why the holder is dead, as far as its pid shows that. A lock with this process's own pid
/// gets the same treatment: it is held by JavaScript in this process, unless this process started
/// after it (a restarted container has the same pids again).
fn dead_holder(evidence: &Evidence, payload: &Payload) -> Option<StaleReason> {
    payload.pid?;
    match evidence.process? {
        Process::Gone => Some(StaleReason::ProcessGone),
        Process::Alive {
            starttime,
            started_ms,
        } => match (payload.starttime, starttime) {
            // The start time counts from boot. If both are known, they alone decide: dates are
            // wrong when the clock was adjusted.
            (Some(written), Some(actual)) => (written != actual).then_some(StaleReason::PidReused),
            _ => started_after_lock(payload, started_ms).then_some(StaleReason::PidReused),
        },
    }
}

fn started_after_lock(payload: &Payload, started_ms: Option<i64>) -> bool {
    let (Some(created), Some(started)) = (payload.created_ms, started_ms) else {
        return false;
    };
    started > created.saturating_add(START_TIME_TOLERANCE_MS)
}

/// Returns how long ago `since_ms` was or, if the clock was set back, for how long this process has
/// seen the lock.
fn age(evidence: &Evidence, since_ms: i64) -> Duration {
    let by_date = u64::try_from(evidence.now_ms.saturating_sub(since_ms)).unwrap_or(0);
    Duration::from_millis(by_date).max(evidence.watched)
}

/// Returns when a file was created, in milliseconds since 1970: the earlier of its time stamps,
/// because either may have been set to the future.
pub(super) fn created_ms(stat: &Stat) -> i64 {
    i64::try_from(stat.mtime.min(stat.ctime) / 1_000_000).unwrap_or(i64::MAX)
}

/// Returns whether a transcript's lock protects the transcript. A lock that is invalid or cannot be
/// read protects it while the lock is young. A live holder protects it at any age: the transcript is
/// still being written. A holder is dead as for a store's lock, but at any age of the lock: this one is
/// not taken over.
pub(super) fn protects_transcript(evidence: &Evidence) -> bool {
    let Some(payload) = evidence.payload else {
        return age(evidence, evidence.created_ms) <= WATCHDOG_TIMEOUT;
    };
    if dead_holder(evidence, payload).is_some() {
        return false;
    }
    let is_valid = payload.pid.is_some() && payload.created_ms.is_some();
    is_valid || age(evidence, evidence.created_ms) <= INVALID_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_366_400_000;
    const WAIT_FOR_LIVE: Staleness = Staleness::Wait(WaitReason::HolderAlive);
    const ALIVE: Process = Process::Alive {
        starttime: Some(500),
        started_ms: Some(NOW - 3_600_000),
    };

    /// A JavaScript holder's lock, ten seconds old, examined on Linux.
    struct Case {
        payload: Payload,
        process: Option<Process>,
        flock: Flock,
        created_ms: i64,
        watched: Duration,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                payload: javascript(NOW - 10_000),
                process: Some(ALIVE),
                flock: Flock::Acquired,
                created_ms: NOW - 10_000,
                watched: Duration::ZERO,
            }
        }
    }

    impl Case {
        fn evidence(&self) -> Evidence<'_> {
            Evidence {
                payload: Some(&self.payload),
                process: self.process,
                flock: self.flock,
                boot_id: Some("this boot".to_owned()),
                now_ms: NOW,
                created_ms: self.created_ms,
                watched: self.watched,
            }
        }

        fn staleness(&self) -> Staleness {
            staleness(&self.evidence())
        }
    }

    fn javascript(created_ms: i64) -> Payload {
        Payload {
            pid: Some(7),
            created_ms: Some(created_ms),
            starttime: Some(500),
            flock: None,
        }
    }

    fn native(boot_id: &str) -> Payload {
        Payload {
            flock: Some(boot_id.to_owned()),
            ..javascript(NOW)
        }
    }

    #[test]
    fn waits_for_a_live_javascript_holder_beyond_30_s() {
        for age_ms in [0, 10_000, 31_000, 111_000, 299_000] {
            let case = Case {
                payload: javascript(NOW - age_ms),
                created_ms: NOW - age_ms,
                ..Case::default()
            };
            assert_eq!(case.staleness(), WAIT_FOR_LIVE, "{age_ms}");
        }
    }

    #[test]
    fn the_lock_of_a_live_holder_is_stale_after_five_minutes() {
        for (age_ms, expected) in [
            (300_000, WAIT_FOR_LIVE),
            (300_001, Staleness::Stale(StaleReason::WatchdogExpired)),
        ] {
            let case = Case {
                payload: javascript(NOW - age_ms),
                ..Case::default()
            };
            assert_eq!(case.staleness(), expected);
        }
    }

    #[test]
    fn waits_for_a_live_holder_with_a_date_in_the_future() {
        let case = Case {
            payload: javascript(NOW + 86_400_000),
            created_ms: NOW + 86_400_000,
            ..Case::default()
        };
        assert_eq!(case.staleness(), WAIT_FOR_LIVE);
    }

    #[test]
    fn a_native_lock_with_a_free_flock_is_stale_immediately() {
        let case = Case {
            payload: native("this boot"),
            created_ms: NOW,
            ..Case::default()
        };
        assert_eq!(
            case.staleness(),
            Staleness::Stale(StaleReason::NativeCrashed)
        );
    }

    #[test]
    fn ignores_a_native_lock_of_another_boot_or_without_flock_support() {
        let other_boot = Case {
            payload: native("another boot"),
            ..Case::default()
        };
        let no_flock = Case {
            payload: native("this boot"),
            flock: Flock::Unsupported,
            ..Case::default()
        };
        assert_eq!(other_boot.staleness(), WAIT_FOR_LIVE);
        assert_eq!(no_flock.staleness(), WAIT_FOR_LIVE);
    }

    #[test]
    fn the_lock_of_a_dead_holder_is_stale_after_a_second() {
        for (age_ms, expected) in [
            (999, Staleness::Wait(WaitReason::TooYoung)),
            (1000, Staleness::Stale(StaleReason::ProcessGone)),
        ] {
            let case = Case {
                payload: javascript(NOW - age_ms),
                process: Some(Process::Gone),
                created_ms: NOW - age_ms,
                ..Case::default()
            };
            assert_eq!(case.staleness(), expected);
        }
    }

    #[test]
    fn a_dead_holders_lock_with_a_date_in_the_future_is_stale_after_watching_it_for_a_second() {
        for (watched, expected) in [
            (999, Staleness::Wait(WaitReason::TooYoung)),
            (1000, Staleness::Stale(StaleReason::ProcessGone)),
        ] {
            let case = Case {
                payload: javascript(NOW + 86_400_000),
                process: Some(Process::Gone),
                created_ms: NOW + 86_400_000,
                watched: Duration::from_millis(watched),
                ..Case::default()
            };
            assert_eq!(case.staleness(), expected);
        }
    }

    #[test]
    fn a_different_start_time_means_a_reused_pid() {
        let case = Case {
            payload: Payload {
                starttime: Some(499),
                ..javascript(NOW - 10_000)
            },
            ..Case::default()
        };
        assert_eq!(case.staleness(), Staleness::Stale(StaleReason::PidReused));
    }

    #[test]
    fn without_a_start_time_a_process_younger_than_the_lock_means_a_reused_pid() {
        for (started_after_ms, expected) in [
            (-5_000, WAIT_FOR_LIVE),
            (1000, WAIT_FOR_LIVE),
            (1001, Staleness::Stale(StaleReason::PidReused)),
        ] {
            let case = Case {
                payload: Payload {
                    starttime: None,
                    ..javascript(NOW - 10_000)
                },
                process: Some(Process::Alive {
                    starttime: Some(1),
                    started_ms: Some(NOW - 10_000 + started_after_ms),
                }),
                ..Case::default()
            };
            assert_eq!(case.staleness(), expected, "{started_after_ms}");
        }
    }

    #[test]
    fn the_start_time_takes_precedence_over_dates() {
        let case = Case {
            payload: javascript(NOW - 60_000),
            process: Some(Process::Alive {
                starttime: Some(500),
                started_ms: Some(NOW - 5_000),
            }),
            ..Case::default()
        };
        assert_eq!(case.staleness(), WAIT_FOR_LIVE);
    }

    #[test]
    fn waits_for_a_process_about_which_nothing_is_known() {
        let case = Case {
            process: Some(Process::Alive {
                starttime: None,
                started_ms: None,
            }),
            ..Case::default()
        };
        assert_eq!(case.staleness(), WAIT_FOR_LIVE);
    }

    #[test]
    fn a_lock_without_a_valid_pid_or_date_is_stale_after_30_s() {
        let undated = Payload {
            created_ms: None,
            ..javascript(NOW)
        };
        for (payload, process) in [(Payload::default(), None), (undated, Some(ALIVE))] {
            for (age_ms, expected) in [
                (30_000, Staleness::Wait(WaitReason::Invalid)),
                (30_001, Staleness::Stale(StaleReason::NeverCompleted)),
            ] {
                let case = Case {
                    payload: payload.clone(),
                    process,
                    created_ms: NOW - age_ms,
                    ..Case::default()
                };
                assert_eq!(case.staleness(), expected);
            }
        }
    }

    #[test]
    fn a_lock_that_cannot_be_read_is_stale_after_five_minutes() {
        for (age_ms, is_stale) in [(31_000, false), (300_000, false), (300_001, true)] {
            let case = Case {
                created_ms: NOW - age_ms,
                process: None,
                flock: Flock::Unsupported,
                ..Case::default()
            };
            let evidence = Evidence {
                payload: None,
                ..case.evidence()
            };
            let expected = if is_stale {
                Staleness::Stale(StaleReason::WatchdogExpired)
            } else {
                Staleness::Wait(WaitReason::Unreadable)
            };
            assert_eq!(staleness(&evidence), expected, "{age_ms}");
            assert_eq!(protects_transcript(&evidence), !is_stale, "{age_ms}");
        }
    }

    #[test]
    fn extreme_time_stamps_do_not_overflow() {
        for end in [i64::MIN, i64::MAX] {
            let case = Case {
                payload: Payload::default(),
                process: None,
                created_ms: end,
                ..Case::default()
            };
            let expected = if end == i64::MIN {
                Staleness::Stale(StaleReason::NeverCompleted)
            } else {
                Staleness::Wait(WaitReason::Invalid)
            };
            assert_eq!(case.staleness(), expected);
        }
    }

    #[test]
    fn a_live_holder_and_a_young_unreadable_lock_protect_a_transcript() {
        let protects = |case: Case| protects_transcript(&case.evidence());
        let day_old = || Case {
            payload: javascript(NOW - 86_400_000),
            created_ms: NOW - 86_400_000,
            ..Case::default()
        };
        assert!(protects(day_old()));
        assert!(!protects(Case {
            process: Some(Process::Gone),
            ..day_old()
        }));
        assert!(!protects(Case {
            payload: Payload {
                starttime: Some(499),
                ..javascript(NOW)
            },
            ..Case::default()
        }));
        assert!(protects(Case {
            payload: Payload {
                starttime: None,
                ..javascript(NOW)
            },
            ..day_old()
        }));
        let undated = Payload {
            created_ms: None,
            ..javascript(NOW)
        };
        for (payload, process) in [(Payload::default(), None), (undated, Some(ALIVE))] {
            for (age_ms, expected) in [(30_000, true), (30_001, false), (-5_000, true)] {
                let case = Case {
                    payload: payload.clone(),
                    process,
                    created_ms: NOW - age_ms,
                    ..Case::default()
                };
                assert_eq!(protects(case), expected);
            }
        }
    }

    /// A restarted container has the same pids again, and some gateways write no start time.
    #[test]
    fn the_lock_of_a_reused_pid_without_a_start_time_does_not_protect_a_transcript() {
        for (started_after_ms, expected) in [(1000, true), (1001, false)] {
            let case = Case {
                payload: Payload {
                    starttime: None,
                    ..javascript(NOW - 86_400_000)
                },
                process: Some(Process::Alive {
                    starttime: Some(1),
                    started_ms: Some(NOW - 86_400_000 + started_after_ms),
                }),
                created_ms: NOW - 86_400_000,
                ..Case::default()
            };
            assert_eq!(protects_transcript(&case.evidence()), expected);
        }
    }
}
