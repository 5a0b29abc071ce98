//! Rewriting a few bytes of an open file at intervals, on a thread of its own.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// What is rewritten, where and how often.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The time between two beats.
    pub period: Duration,
    /// How many beats there are before it falls silent.
    pub count: u32,
    /// What is written: always of the same length, so that one write replaces the last.
    pub text: fn(SystemTime) -> String,
}

/// A running heartbeat. It ends, its thread included, when this is dropped.
#[must_use = "the heartbeat ends when this is dropped"]
#[derive(Debug, Default)]
pub struct Heartbeat {
    running: Option<(Arc<End>, JoinHandle<()>)>,
}

impl Heartbeat {
    /// None at all, for systems without a time of their own.
    pub fn none() -> Self {
        Self::default()
    }

    /// Calls `write` after every period. Where no thread is to be had there is no heartbeat: a
    /// sweep need not fail for that, since only holds of more than 30 s need one.
    pub(super) fn start(beat: Beat, write: impl Fn(u64, &[u8]) + Send + 'static) -> Self {
        let end = Arc::new(End::default());
        let awaited = Arc::clone(&end);
        let thread = thread::Builder::new()
            .name("session-lock".to_owned())
            .spawn(move || {
                for _ in 0..beat.count {
                    if awaited.comes_within(beat.period) {
                        return;
                    }
                    write(beat.offset, (beat.text)(SystemTime::now()).as_bytes());
                }
            });
        Self {
            running: thread.ok().map(|thread| (end, thread)),
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let Some((end, thread)) = self.running.take() else {
            return;
        };
        end.tell();
        // Joined, since the thread's copy of the descriptor would keep the kernel's lock.
        let _ = thread.join();
    }
}

/// The end of a heartbeat, which its thread waits for between two beats.
#[derive(Debug, Default)]
struct End {
    is_told: Mutex<bool>,
    told: Condvar,
}

impl End {
    fn tell(&self) {
        *self.is_told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_one();
    }

    fn comes_within(&self, period: Duration) -> bool {
        let is_told = self.is_told.lock().unwrap_or_else(PoisonError::into_inner);
        // Waits on where it wakes up for no reason.
        let waited = self.told.wait_timeout_while(is_told, period, |told| !*told);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn beats_as_often_as_asked_and_no_more() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let beat = Beat {
            offset: 7,
            period: Duration::from_millis(1),
            count: 3,
            text: |_| "x".to_owned(),
        };
        let log = Arc::clone(&written);
        let heartbeat = Heartbeat::start(beat, move |offset, bytes| {
            log.lock().unwrap().push((offset, bytes.to_vec()));
        });
        thread::sleep(Duration::from_millis(200));
        drop(heartbeat);
        assert_eq!(*written.lock().unwrap(), vec![(7, b"x".to_vec()); 3]);
    }

    #[test]
    fn ends_at_once_when_dropped() {
        let beat = Beat {
            offset: 0,
            period: Duration::from_secs(3600),
            count: 1,
            text: |_| String::new(),
        };
        drop(Heartbeat::start(beat, |_, _| panic!("must not beat")));
    }
}
