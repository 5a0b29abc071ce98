//! The calls that only improve the quality of a sweep, and the errors that mean that such a call is
//! not available.
//!
//! An old kernel, a file system or a sandbox that lacks a call reports this with almost any error.
//! In each case the sweep goes on with the nearest equivalent. The campaign `capabilities`
//! (`npm run test:faults`) takes each of these calls away, with each of these errors.
//!
//! | call | store | lock |
//! |---|---|---|
//! | `open(O_TMPFILE)` | a file that has a name from the beginning | a file at the lock's path, filled with one write |
//! | `linkat` of an unnamed file, also without `/proc` | prepared again with such a file | the same |
//! | exchange of two names | compare, then rename | a stale lock is rewritten in place |
//! | an exchange that reports success and was a rename | as without exchange, from then on | the same |
//! | rename to a vacant name | look whether the name is vacant, then rename | not used |
//! | `openat2` | `openat` for each component of the path | the same |
//! | `flock` | the process id and the age of a temp file | the process id and the age of the lock |
//! | `fsync` of a folder | nothing: names reach the disk within seconds | not used |
//! | `fchown` | nothing, if only the group differs; otherwise the sweep refuses | not used |
//! | `fchmod` | the mode at the creation, less the umask | the same |
//! | extended attributes | nothing | not used |
//! | attributes in `statx` | the exchange fails if the store is immutable or a mount point | not used |
//! | `sync_file_range` | nothing: it is only a hint | not used |
//! | `F_FULLFSYNC` (macOS) | `fsync` | not used |
//!
//! `statx` is also called by the standard library, which decides at the first call whether to use `stat`
//! instead. A sweep does not use `link`, `copy_file_range` and `fallocate`.
//!
//! # `fsync` of a folder
//! A sweep reports success although the names may not be on the disk yet. Failing instead would
//! report a failure after every sweep, although each removed its runs. None of these errors means
//! that a disk failed. `EINVAL` and `EBADF`: the file system does not sync a folder that is open for
//! reading; databases tolerate the same two. `EPERM` and `ENOSYS`: a sandbox without this call. One
//! that also lacks `fdatasync` fails the sweep before anything is changed, because the contents must
//! be on the disk.

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
/// a missing right: then the equivalent fails with `EPERM`, too, as it does for other errors with a
/// second meaning. `NOTSUP` and `OPNOTSUPP` are one
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
            // No `/proc`, or one without this process; a security module that knows files by path.
            Self::Link => &[Errno::NOENT, Errno::ACCESS],
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
        assert!(Call::Link.is_unavailable(Errno::NOENT));
        assert!(!Call::Exchange.is_unavailable(Errno::NOENT));
    }
}
