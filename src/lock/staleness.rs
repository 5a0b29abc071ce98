//! Who is dead? The rules by which a lock is left alone or taken over, as a pure function.

use std::time::Duration;

use super::payload::Payload;
use crate::system::{Process, Stat};

/// How long a lock must have stood before its holder is believed to be dead. A lock that was taken
/// a moment ago may be its maker's who is only now becoming visible.
pub(super) const BELIEVED_AFTER: Duration = Duration::from_secs(1);

/// How old a file without a valid pid or date must be: the gateway gives up on it then.
pub(super) const UNREADABLE_AFTER: Duration = Duration::from_secs(30);

/// How old a live JavaScript holder's lock must be: the gateway's watchdog has let go of it then.
pub(super) const LET_GO_AFTER: Duration = Duration::from_secs(5 * 60);

/// By how much a process must have begun after the lock's date. Its start is known to a clock tick
/// (10 ms), and the wall clock may have been slewed since.
const BEGUN_SLACK_MS: i64 = 1000;

/// What is known of a lock.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) payload: &'a Payload,
    /// What is known of the payload's pid.
    pub(super) process: Option<Process>,
    /// Whether the kernel's lock on the file is in our hands, so that nobody else holds it.
    pub(super) flock: Flock,
    /// This machine's boot id.
    pub(super) boot_id: Option<&'a str>,
    /// The wall clock, milliseconds since 1970.
    pub(super) now_ms: i64,
    /// When the file was made, milliseconds since 1970, as the file system tells.
    pub(super) made_ms: i64,
    /// How long this very file has been watched standing there, by a clock that never steps.
    pub(super) watched: Duration,
}

/// The kernel's lock on a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flock {
    /// We have it: no native sweep holds this file.
    InHand,
    /// The file system has none.
    Unsupported,
}

/// Whether to wait for a lock's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Leave the lock alone for now.
    Wait(Wait),
    /// Nobody will ever release it.
    Stale(Stale),
}

/// Why a lock is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Its holder runs.
    HolderLives,
    /// Its holder seems dead, but the lock is too young to believe it.
    TooYoung,
    /// It has no valid pid or date (yet): it may be half written.
    Unreadable,
}

/// Why a lock is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// A native sweep's, and the kernel no longer holds it for anyone.
    NativeCrashed,
    /// There is no process of its pid.
    ProcessGone,
    /// Another process has its pid now.
    PidReused,
    /// It never got a valid pid or date.
    NeverCompleted,
    /// Its holder lives, but its watchdog has let go of it.
    LetGo,
}

/// Judges a lock by the rules of the gateway, made stricter where the gateway robs the living.
pub(super) fn judge(evidence: &Evidence) -> Judgement {
    let payload = evidence.payload;
    if kernel_says_crashed(evidence) {
        return Judgement::Stale(Stale::NativeCrashed);
    }
    if let Some(death) = death(evidence) {
        return if age(evidence, evidence.made_ms) >= BELIEVED_AFTER {
            Judgement::Stale(death)
        } else {
            Judgement::Wait(Wait::TooYoung)
        };
    }
    let (Some(_), Some(created_ms)) = (payload.pid, payload.created_ms) else {
        return if age(evidence, evidence.made_ms) > UNREADABLE_AFTER {
            Judgement::Stale(Stale::NeverCompleted)
        } else {
            Judgement::Wait(Wait::Unreadable)
        };
    };
    if age(evidence, created_ms) > LET_GO_AFTER {
        return Judgement::Stale(Stale::LetGo);
    }
    Judgement::Wait(Wait::HolderLives)
}

/// A lock that carries this boot's id was flocked from before it was visible: whoever can flock it
/// now knows, across PID namespaces and clock steps, that its holder is gone.
fn kernel_says_crashed(evidence: &Evidence) -> bool {
    evidence.flock == Flock::InHand
        && evidence.boot_id.is_some()
        && evidence.payload.flock.as_deref() == evidence.boot_id
}

/// Whether the lock's maker is dead, as far as its pid tells. Our own pid gets no other treatment:
/// it is JavaScript in this very process, unless the process began too late (a restarted container
/// has the same pids again).
fn death(evidence: &Evidence) -> Option<Stale> {
    evidence.payload.pid?;
    match evidence.process? {
        Process::Gone => Some(Stale::ProcessGone),
        Process::Alive {
            starttime,
            started_ms,
        } => match (evidence.payload.starttime, starttime) {
            // The start time is counted from boot. Where it is known on both sides it decides
            // alone: dates lie when the clock steps.
            (Some(written), Some(actual)) => (written != actual).then_some(Stale::PidReused),
            _ => begun_later(evidence.payload, started_ms).then_some(Stale::PidReused),
        },
    }
}

fn begun_later(payload: &Payload, started_ms: Option<i64>) -> bool {
    let (Some(created), Some(started)) = (payload.created_ms, started_ms) else {
        return false;
    };
    started > created.saturating_add(BEGUN_SLACK_MS)
}

/// How old something is: by its date or, should the clock have been set back since, by how long we
/// have seen it standing there.
fn age(evidence: &Evidence, since_ms: i64) -> Duration {
    let by_date = u64::try_from(evidence.now_ms.saturating_sub(since_ms)).unwrap_or(0);
    Duration::from_millis(by_date).max(evidence.watched)
}

/// When a file was made, as far as its dates tell: the earlier of its two, since either may have
/// been set into the future.
pub(super) fn made_ms(stat: &Stat) -> i64 {
    i64::try_from(stat.mtime.min(stat.ctime) / 1_000_000).unwrap_or(i64::MAX)
}

/// Whether a transcript's lock protects it. The dead and the unreadable do only while they are
/// young; a live holder does however long ago it came: its transcript is still being written.
pub(super) fn protects(evidence: &Evidence) -> bool {
    let payload = evidence.payload;
    if payload.pid.is_none() {
        return age(evidence, evidence.made_ms) <= UNREADABLE_AFTER;
    }
    match evidence.process {
        Some(Process::Gone) => false,
        Some(Process::Alive { starttime, .. }) => {
            payload.starttime.is_none() || starttime.is_none() || payload.starttime == starttime
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_366_400_000;
    const ALIVE: Process = Process::Alive {
        starttime: Some(500),
        started_ms: Some(NOW - 3_600_000),
    };

    /// A JavaScript holder's lock, ten seconds old, judged on Linux.
    struct Case {
        payload: Payload,
        process: Option<Process>,
        flock: Flock,
        made_ms: i64,
        watched: Duration,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                payload: javascript(NOW - 10_000),
                process: Some(ALIVE),
                flock: Flock::InHand,
                made_ms: NOW - 10_000,
                watched: Duration::ZERO,
            }
        }
    }

    impl Case {
        fn evidence(&self) -> Evidence<'_> {
            Evidence {
                payload: &self.payload,
                process: self.process,
                flock: self.flock,
                boot_id: Some("this boot"),
                now_ms: NOW,
                made_ms: self.made_ms,
                watched: self.watched,
            }
        }

        fn judge(&self) -> Judgement {
            judge(&self.evidence())
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
    fn a_live_javascript_holder_is_waited_for_beyond_the_gateways_30_s() {
        for age_ms in [0, 10_000, 31_000, 111_000, 299_000] {
            let case = Case {
                payload: javascript(NOW - age_ms),
                made_ms: NOW - age_ms,
                ..Case::default()
            };
            assert_eq!(case.judge(), Judgement::Wait(Wait::HolderLives), "{age_ms}");
        }
    }

    #[test]
    fn after_five_minutes_its_watchdog_has_let_go() {
        let case = Case {
            payload: javascript(NOW - 300_001),
            ..Case::default()
        };
        assert_eq!(case.judge(), Judgement::Stale(Stale::LetGo));
    }

    #[test]
    fn a_live_holder_from_the_future_is_waited_for() {
        let case = Case {
            payload: javascript(NOW + 86_400_000),
            made_ms: NOW + 86_400_000,
            ..Case::default()
        };
        assert_eq!(case.judge(), Judgement::Wait(Wait::HolderLives));
    }

    #[test]
    fn a_native_lock_that_the_kernel_holds_for_nobody_is_dead_at_once() {
        let case = Case {
            payload: native("this boot"),
            made_ms: NOW,
            ..Case::default()
        };
        assert_eq!(case.judge(), Judgement::Stale(Stale::NativeCrashed));
    }

    #[test]
    fn the_kernels_word_counts_only_for_this_boot_and_with_the_flock_in_hand() {
        let other_boot = Case {
            payload: native("another boot"),
            ..Case::default()
        };
        let no_flock = Case {
            payload: native("this boot"),
            flock: Flock::Unsupported,
            ..Case::default()
        };
        assert_eq!(other_boot.judge(), Judgement::Wait(Wait::HolderLives));
        assert_eq!(no_flock.judge(), Judgement::Wait(Wait::HolderLives));
    }

    #[test]
    fn a_dead_holder_is_believed_dead_after_a_second() {
        for (age_ms, expected) in [
            (999, Judgement::Wait(Wait::TooYoung)),
            (1000, Judgement::Stale(Stale::ProcessGone)),
        ] {
            let case = Case {
                payload: javascript(NOW - age_ms),
                process: Some(Process::Gone),
                made_ms: NOW - age_ms,
                ..Case::default()
            };
            assert_eq!(case.judge(), expected);
        }
    }

    #[test]
    fn a_dead_holder_from_the_future_is_believed_once_watched_for_a_second() {
        for (watched, expected) in [
            (999, Judgement::Wait(Wait::TooYoung)),
            (1000, Judgement::Stale(Stale::ProcessGone)),
        ] {
            let case = Case {
                payload: javascript(NOW + 86_400_000),
                process: Some(Process::Gone),
                made_ms: NOW + 86_400_000,
                watched: Duration::from_millis(watched),
                ..Case::default()
            };
            assert_eq!(case.judge(), expected);
        }
    }

    #[test]
    fn a_pid_of_another_start_time_was_reused() {
        let case = Case {
            payload: Payload {
                starttime: Some(499),
                ..javascript(NOW - 10_000)
            },
            ..Case::default()
        };
        assert_eq!(case.judge(), Judgement::Stale(Stale::PidReused));
    }

    #[test]
    fn without_a_start_time_the_date_tells_that_a_pid_was_reused() {
        for (begun_after_ms, expected) in [
            (-5_000, Judgement::Wait(Wait::HolderLives)),
            (1000, Judgement::Wait(Wait::HolderLives)),
            (1001, Judgement::Stale(Stale::PidReused)),
        ] {
            let case = Case {
                payload: Payload {
                    starttime: None,
                    ..javascript(NOW - 10_000)
                },
                process: Some(Process::Alive {
                    starttime: Some(1),
                    started_ms: Some(NOW - 10_000 + begun_after_ms),
                }),
                ..Case::default()
            };
            assert_eq!(case.judge(), expected, "{begun_after_ms}");
        }
    }

    #[test]
    fn a_clock_that_was_set_forward_does_not_rob_a_holder_of_the_right_start_time() {
        let case = Case {
            payload: javascript(NOW - 60_000),
            process: Some(Process::Alive {
                starttime: Some(500),
                started_ms: Some(NOW - 5_000),
            }),
            ..Case::default()
        };
        assert_eq!(case.judge(), Judgement::Wait(Wait::HolderLives));
    }

    #[test]
    fn a_process_of_which_nothing_is_known_lives() {
        let case = Case {
            process: Some(Process::Alive {
                starttime: None,
                started_ms: None,
            }),
            ..Case::default()
        };
        assert_eq!(case.judge(), Judgement::Wait(Wait::HolderLives));
    }

    #[test]
    fn what_has_no_valid_pid_or_date_is_stale_after_30_s() {
        let undated = Payload {
            created_ms: None,
            ..javascript(NOW)
        };
        for (payload, process) in [(Payload::default(), None), (undated, Some(ALIVE))] {
            for (age_ms, expected) in [
                (30_000, Judgement::Wait(Wait::Unreadable)),
                (30_001, Judgement::Stale(Stale::NeverCompleted)),
            ] {
                let case = Case {
                    payload: payload.clone(),
                    process,
                    made_ms: NOW - age_ms,
                    ..Case::default()
                };
                assert_eq!(case.judge(), expected);
            }
        }
    }

    #[test]
    fn dates_at_the_ends_of_time_do_no_harm() {
        for end in [i64::MIN, i64::MAX] {
            let case = Case {
                payload: Payload::default(),
                process: None,
                made_ms: end,
                ..Case::default()
            };
            let expected = if end == i64::MIN {
                Judgement::Stale(Stale::NeverCompleted)
            } else {
                Judgement::Wait(Wait::Unreadable)
            };
            assert_eq!(case.judge(), expected);
        }
    }

    #[test]
    fn a_transcript_is_protected_by_the_living_and_by_young_unreadable_locks() {
        let protects = |case: Case| protects(&case.evidence());
        let day_old = || Case {
            payload: javascript(NOW - 86_400_000),
            made_ms: NOW - 86_400_000,
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
        for (age_ms, expected) in [(10_000, true), (30_001, false), (-5_000, true)] {
            let case = Case {
                payload: Payload::default(),
                process: None,
                made_ms: NOW - age_ms,
                ..Case::default()
            };
            assert_eq!(protects(case), expected);
        }
    }
}
