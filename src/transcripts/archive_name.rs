//! The names of archives: `<transcript>.deleted.<stamp>`, as the gateway writes them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::gateway::js;

const INFIX: &str = ".deleted.";

/// Returns the path of the archive of `transcript` with this stamp, in milliseconds since 1970.
pub(super) fn archive_path(transcript: &Path, stamp_ms: i64) -> PathBuf {
    let mut path = OsString::from(transcript);
    path.push(INFIX);
    path.push(js::archive_stamp(stamp_ms));
    path.into()
}

/// Returns the stamp in an archive's name, in milliseconds since 1970.
///
/// Returns `None` for all other files: in an archive's name, the text after the last `.deleted.` is
/// exactly a stamp in the gateway's form, in which the milliseconds are optional.
pub(crate) fn stamp_of(name: &OsStr) -> Option<i64> {
    let (_, stamp) = name.to_str()?.rsplit_once(INFIX)?;
    js::parse_archive_stamp(stamp)
}

/// Returns whether an archive with this stamp is to be deleted. Both times are in milliseconds since
/// 1970. The cutoff can have a fraction, like `now - retention` in JavaScript.
#[expect(
    clippy::cast_precision_loss,
    reason = "stamps have four-digit years, far below 2^53 ms"
)]
pub(crate) fn is_expired(stamp_ms: i64, cutoff_ms: f64) -> bool {
    (stamp_ms as f64) < cutoff_ms
}
