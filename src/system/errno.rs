//! Error names and descriptions as Node.js prints them.

use std::io::{self, ErrorKind};

/// Returns the name that Node.js has for an error: `ENOENT`. It is `EIO` for an error without a name.
///
/// ```
/// use cron_session_reaper::system::errno_name;
/// let missing = std::fs::read("/no/such/file").unwrap_err();
/// assert_eq!(errno_name(&missing), "ENOENT");
/// ```
#[must_use]
pub fn errno_name(error: &io::Error) -> String {
    by_number(error)
        .or_else(|| by_kind(error.kind()))
        .unwrap_or("EIO")
        .to_owned()
}

/// Returns an error's name and text as Node.js prints them: `ENOENT: no such file or directory`.
///
/// ```
/// use cron_session_reaper::system::describe;
/// let missing = std::fs::read("/no/such/file").unwrap_err();
/// assert_eq!(describe(&missing), "ENOENT: no such file or directory");
/// ```
#[must_use]
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    // The standard library appends the number: ` (os error 2)`.
    let text = text
        .split_once(" (os error")
        .map_or(&*text, |(text, _)| text);
    let mut letters = text.chars();
    let text = letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().collect::<String>() + letters.as_str()
    });
    format!(
        "{}: {}",
        errno_name(error),
        text.trim_end_matches(['.', '\r', '\n'])
    )
}

/// Returns the exact name: kinds do not distinguish `EPERM` from `EACCES` and do not include `EMFILE`.
#[cfg(unix)]
fn by_number(error: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;

    macro_rules! names {
        ($($name:ident)*) => {
            [$((Errno::$name, concat!("E", stringify!($name)))),*]
        };
    }
    // The errors of file-system and process calls. NOTSUP is before OPNOTSUPP, which is the same
    // number on Linux: Node.js prints ENOTSUP there.
    const NAMES: &[(Errno, &str)] = &names![
        PERM NOENT SRCH INTR IO NXIO BADF AGAIN NOMEM ACCESS FAULT BUSY EXIST XDEV NODEV NOTDIR
        ISDIR INVAL NFILE MFILE NOTTY TXTBSY FBIG NOSPC SPIPE ROFS MLINK PIPE DEADLK NAMETOOLONG
        NOLCK NOSYS NOTEMPTY LOOP OVERFLOW NOTSUP OPNOTSUPP TIMEDOUT STALE DQUOT CANCELED CHILD
    ];

    let errno = Errno::from_io_error(error)?;
    match errno {
        Errno::TOOBIG => Some("E2BIG"),
        // rustix has another name for it.
        Errno::ACCESS => Some("EACCES"),
        _ => NAMES
            .iter()
            .find(|(known, _)| *known == errno)
            .map(|(_, name)| *name),
    }
}

/// Windows has other numbers, most of which [`by_kind`] names. Node.js has other names for these.
#[cfg(not(unix))]
fn by_number(error: &io::Error) -> Option<&'static str> {
    use windows_sys::Win32::Foundation::{
        ERROR_ACCESS_DENIED, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION,
    };

    match error.raw_os_error()?.cast_unsigned() {
        ERROR_ACCESS_DENIED => Some("EPERM"),
        ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION => Some("EBUSY"),
        _ => None,
    }
}

fn by_kind(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::NotFound => "ENOENT",
        ErrorKind::PermissionDenied => "EACCES",
        ErrorKind::AlreadyExists => "EEXIST",
        ErrorKind::WouldBlock => "EAGAIN",
        ErrorKind::NotADirectory => "ENOTDIR",
        ErrorKind::IsADirectory => "EISDIR",
        ErrorKind::DirectoryNotEmpty => "ENOTEMPTY",
        ErrorKind::ReadOnlyFilesystem => "EROFS",
        ErrorKind::InvalidInput => "EINVAL",
        ErrorKind::InvalidFilename => "ENAMETOOLONG",
        ErrorKind::TimedOut => "ETIMEDOUT",
        ErrorKind::StorageFull => "ENOSPC",
        ErrorKind::QuotaExceeded => "EDQUOT",
        ErrorKind::FileTooLarge => "EFBIG",
        ErrorKind::ResourceBusy => "EBUSY",
        ErrorKind::Deadlock => "EDEADLK",
        ErrorKind::CrossesDevices => "EXDEV",
        ErrorKind::TooManyLinks => "EMLINK",
        ErrorKind::BrokenPipe => "EPIPE",
        ErrorKind::Interrupted => "EINTR",
        ErrorKind::Unsupported => "ENOTSUP",
        ErrorKind::OutOfMemory => "ENOMEM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn names_errors_as_node_does() {
        for (number, name) in [
            (libc::EPERM, "EPERM"),
            (libc::ENOENT, "ENOENT"),
            (libc::EIO, "EIO"),
            (libc::E2BIG, "E2BIG"),
            (libc::EAGAIN, "EAGAIN"),
            (libc::EACCES, "EACCES"),
            (libc::EEXIST, "EEXIST"),
            (libc::ENFILE, "ENFILE"),
            (libc::EMFILE, "EMFILE"),
            (libc::ENOSPC, "ENOSPC"),
            (libc::EROFS, "EROFS"),
            (libc::ELOOP, "ELOOP"),
            (libc::EDQUOT, "EDQUOT"),
            (libc::ENOTSUP, "ENOTSUP"),
            (libc::ESTALE, "ESTALE"),
        ] {
            assert_eq!(errno_name(&io::Error::from_raw_os_error(number)), name);
        }
    }

    #[test]
    fn names_an_error_without_a_number_by_its_kind() {
        assert_eq!(errno_name(&ErrorKind::Unsupported.into()), "ENOTSUP");
        assert_eq!(errno_name(&ErrorKind::WriteZero.into()), "EIO");
        assert_eq!(errno_name(&io::Error::other("odd")), "EIO");
        assert_eq!(describe(&io::Error::other("Odd.")), "EIO: odd");
    }
}
