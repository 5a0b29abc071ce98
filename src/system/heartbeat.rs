//! Rewrites a few bytes of an open file at intervals, on another thread.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// What is rewritten, where and how often.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    /// The offset in the file, in bytes.
    pub offset: u64,
    /// The time until the first beat.
    pub first_after: Duration,
    /// The time between two beats.
    pub period: Duration,
    /// The number of beats.
    pub count: u32,
    /// Returns the text to write at a time of day. Its length is always the same, so that one write
    /// replaces the previous one.
    pub text: fn(SystemTime) -> String,
}

impl Beat {
    /// Runs all beats. `wait` waits for a duration and returns the time of day after it, or `None` to
    /// stop. `write` writes bytes at an offset.
    pub(crate) fn run(
        &self,
        mut wait: impl FnMut(Duration) -> Option<SystemTime>,
        write: impl Fn(&[u8], u64),
    ) {
        let mut pause = self.first_after;
        for _ in 0..self.count {
            let Some(now) = wait(pause) else { return };
            write((self.text)(now).as_bytes(), self.offset);
            pause = self.period;
        }
    }
}

/// A running heartbeat. Dropping it stops it and ends its thread.
#[must_use = "the heartbeat stops when this is dropped"]
#[derive(Debug, Default)]
pub struct Heartbeat {
    /// Dropping the sender stops the thread.
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Heartbeat {
    /// Returns a heartbeat that never beats, for systems without threads.
    pub fn none() -> Self {
        Self::default()
    }

    /// Starts a thread that writes every beat with `write`. If no thread can be started there is no
    /// heartbeat. That is not an error: only a hold of more than 30 s needs one.
    pub(crate) fn start(beat: Beat, write: impl Fn(&[u8], u64) + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::channel();
        let wait = move |pause| match stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => Some(SystemTime::now()),
            _ => None,
        };
        let thread = thread::Builder::new()
            .name("session-lock".to_owned())
            .spawn(move || beat.run(wait, write));
        Self {
            running: thread.ok().map(|thread| (stop, thread)),
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let Some((stop, thread)) = self.running.take() else {
            return;
        };
        drop(stop);
        // Joined, because the thread's copy of the file descriptor would keep the flock.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const BEAT: Beat = Beat {
        offset: 7,
        first_after: Duration::from_secs(2),
        period: Duration::from_secs(5),
        count: 3,
        text: |time| humantime::format_rfc3339_seconds(time).to_string(),
    };

    #[test]
    fn waits_for_the_period_and_writes_the_time_after_it_at_the_offset() {
        let mut now = SystemTime::UNIX_EPOCH;
        let (sender, written) = mpsc::channel();
        let wait = |pause| {
            now += pause;
            Some(now)
        };
        BEAT.run(wait, |bytes, offset| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            sender.send((text, offset)).unwrap();
        });
        drop(sender);
        let expected = ["00:02", "00:07", "00:12"];
        assert_eq!(
            written.into_iter().collect::<Vec<_>>(),
            expected.map(|at| (format!("1970-01-01T00:{at}Z"), 7))
        );
    }

    #[test]
    fn runs_on_a_thread_and_waits_for_no_less_than_the_period() {
        let beat = Beat {
            first_after: Duration::ZERO,
            period: Duration::from_millis(20),
            ..BEAT
        };
        let (sender, written) = mpsc::channel();
        let started = std::time::Instant::now();
        let heartbeat = Heartbeat::start(beat, move |_, offset| sender.send(offset).unwrap());
        // Ends when the thread has ended, which drops the sender.
        assert_eq!(written.into_iter().collect::<Vec<_>>(), [7; 3]);
        assert!(started.elapsed() >= 2 * beat.period);
        drop(heartbeat);
    }

    #[test]
    fn stops_when_it_is_dropped() {
        let (sender, written) = mpsc::channel();
        let beat = Beat {
            first_after: Duration::ZERO,
            period: Duration::from_secs(3600),
            ..BEAT
        };
        let heartbeat = Heartbeat::start(beat, move |_, offset| sender.send(offset).unwrap());
        written.recv().unwrap();
        drop(heartbeat);
        assert!(written.recv().is_err(), "the thread still runs");
    }
}
