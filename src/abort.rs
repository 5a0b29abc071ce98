//! A wish to stop, told from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Whether somebody wants the work to stop. Clones are about the same wish.
///
/// ```
/// use cron_session_reaper::abort::Abort;
///
/// let abort = Abort::default();
/// let elsewhere = abort.clone();
/// assert!(abort.check().is_ok());
/// elsewhere.request();
/// assert_eq!(abort.check().unwrap_err().code(), "ABORT_ERR");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Abort(Arc<AtomicBool>);

impl Abort {
    /// Asks for the work to stop. It stays asked for.
    pub fn request(&self) {
        // Nothing else is handed over with it, so no order is needed.
        self.0.store(true, Ordering::Relaxed);
    }

    /// To be asked wherever the work may stop.
    ///
    /// # Errors
    /// [`Error::Aborted`] once it was asked for.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::Aborted);
        }
        Ok(())
    }
}
