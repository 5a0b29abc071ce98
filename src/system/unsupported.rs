//! The calls that only improve the quality of a sweep, and the errors that mean that such a call is
//! not available.
//!
//! An old kernel, a file system or a sandbox that lacks a call reports this with almost any error.
//! In each case the sweep goes on with the nearest equivalent:
//!
//! | call | in its place |
//! |---|---|
//! | `open(O_TMPFILE)` | a file that has a name from the beginning |
//! | `linkat` of an unnamed file, also without `/proc` | the same |
//! | exchange of two names | compare, then rename |
//! | rename to a vacant name | look whether the name is vacant, then rename |
//! | `openat2` | `openat` for each component of the path |
//! | `flock` | the process id and the age of a lock file |
//! | `fsync` of a folder | nothing: names reach the disk within seconds |
//! | `fchown` | nothing, if only the group differs; otherwise the sweep refuses |
//! | `fchmod` | the mode at the creation, less the umask |
//! | extended attributes | nothing |
//! | `F_FULLFSYNC` (macOS) | `fsync` |
//!
//! `statx` is called by the standard library, which falls back to `stat`. A sweep uses neither
//! `copy_file_range` nor `fallocate`.

use std::io;

use rustix::io::Errno;

/// A call that may be unavailable.
#[expect(dead_code, reason = "no platform makes all of these calls")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    CreateUnnamed,
    Link,
    Exchange,
    RenameToVacant,
    OpenWithoutLinks,
    Flock,
    SyncFolder,
    ChangeOwner,
    ChangeMode,
    Attributes,
    /// macOS only: `F_FULLFSYNC`.
    FullSync,
}

/// Reported by kernels, file systems and sandboxes for a call that they lack. `EPERM` can also mean
/// a missing right: then the equivalent fails with `EPERM`, too. `NOTSUP` and `OPNOTSUPP` are one
/// number on Linux only.
const ANY_CALL: &[Errno] = &[
    Errno::NOSYS,
    Errno::INVAL,
    Errno::NOTSUP,
    Errno::OPNOTSUPP,
    Errno::PERM,
    Errno::BADF,
    Errno::NOTTY,
];

impl Call {
    /// Returns whether `errno`, reported by this call, means that the call is not available.
    pub(super) fn is_unavailable(self, errno: Errno) -> bool {
        let also: &[Errno] = match self {
            // A kernel that does not know the flag sees an attempt to open a folder for writing.
            Self::CreateUnnamed => &[Errno::ISDIR],
            // A network file system without its lock service.
            Self::Flock => &[Errno::NOLCK],
            // A security module or the file system's settings.
            Self::Attributes => &[Errno::ACCESS],
            _ => &[],
        };
        ANY_CALL.contains(&errno) || also.contains(&errno)
    }

    /// Returns the call's result, with [`io::ErrorKind::Unsupported`] if it is not available.
    pub(super) fn result<T>(self, result: rustix::io::Result<T>) -> io::Result<T> {
        result.map_err(|errno| {
            if self.is_unavailable(errno) {
                io::ErrorKind::Unsupported.into()
            } else {
                errno.into()
            }
        })
    }

    /// Returns the call's result. Success if it is not available.
    pub(super) fn if_available(self, result: rustix::io::Result<()>) -> io::Result<()> {
        match result {
            Err(errno) if self.is_unavailable(errno) => Ok(()),
            result => Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unavailable_call_is_unsupported_and_a_failed_call_is_not() {
        let unsupported = Call::Exchange.result::<()>(Err(Errno::NOSYS)).unwrap_err();
        assert_eq!(unsupported.kind(), io::ErrorKind::Unsupported);
        let failed = Call::Exchange.result::<()>(Err(Errno::IO)).unwrap_err();
        assert_eq!(Errno::from_io_error(&failed), Some(Errno::IO));
    }

    #[test]
    fn an_unavailable_call_is_skipped_and_a_failed_call_is_not() {
        assert!(Call::SyncFolder.if_available(Err(Errno::INVAL)).is_ok());
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS] {
            assert!(Call::SyncFolder.if_available(Err(errno)).is_err());
        }
    }

    #[test]
    fn some_errors_mean_unavailable_for_one_call_only() {
        assert!(Call::Flock.is_unavailable(Errno::NOLCK));
        assert!(!Call::Exchange.is_unavailable(Errno::NOLCK));
        assert!(Call::CreateUnnamed.is_unavailable(Errno::ISDIR));
        assert!(!Call::Link.is_unavailable(Errno::ISDIR));
    }
}
