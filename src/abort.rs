//! A request to stop, made from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Whether a stop has been requested. Clones share one request.
///
/// ```
/// use cron_session_reaper::abort::Abort;
///
/// let abort = Abort::default();
/// let clone = abort.clone();
/// assert!(abort.check().is_ok());
/// clone.request();
/// assert_eq!(abort.check().unwrap_err().code(), "ABORT_ERR");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Abort(Arc<AtomicBool>);

impl Abort {
    /// Requests a stop. A request cannot be withdrawn.
    pub fn request(&self) {
        // Relaxed is enough: the flag publishes no other data.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Checks for a request, wherever the work can stop.
    ///
    /// # Errors
    /// [`Error::Aborted`] if a stop was requested.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::Aborted);
        }
        Ok(())
    }
}
