//! The names of temp files: those that sweeps give, and those that sweeps recognise.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::gateway::js;
use crate::system::Stat;

/// Returns the name under which a commit exchanges its temp file with the store:
/// `<store>.reaper.<inode of the temp file>.<inode of the old store>.tmp`.
///
/// After a crash, the inode of the file with this name shows what happened. The temp file's inode:
/// the exchange was not made. The old store's inode: the exchange was made, and the old store was not yet
/// removed. Any other inode: another writer, which ignores the lock, replaced the store first, and this
/// is that writer's store.
pub(crate) fn exchange_name(store: &Path, temp: &Stat, old: &Stat) -> PathBuf {
    with_suffix(store, &format!(".reaper.{}.{}.tmp", temp.ino, old.ino))
}

/// Returns the name of a temp file while it is written, where the platform lacks unnamed files:
/// `<store>.<pid>-<number>.reaper.tmp`. Before the exchange it is renamed to `exchange_name`.
///
/// The number distinguishes the sweeps of one process, and the sweeps of a process from those of an
/// earlier one with the same pid, as every run of the gateway in a container has.
#[must_use]
pub fn unfinished_name(store: &Path, pid: u64, number: u32) -> PathBuf {
    with_suffix(store, &format!(".{pid}-{number}.reaper.tmp"))
}

/// Returns the name of a kept file: `<store>.kept.<stamp>`.
pub(super) fn kept_name(store: &Path, stamp_ms: i64) -> PathBuf {
    with_suffix(store, &format!(".kept.{}", js::archive_stamp(stamp_ms)))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// What the name of a temp file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TempName {
    /// From [`exchange_name`]: the inodes of the temp file and of the old store.
    Exchange { temp: u64, old: u64 },
    /// From [`unfinished_name`].
    Unfinished { pid: u64 },
    /// The gateway's: `<store>.<uuid>.tmp`, in old versions `<store>.<pid>.<uuid>.tmp`.
    Gateway { pid: Option<u64> },
    /// Of a lock file: `<lock>.….tmp`.
    Lock,
}

impl TempName {
    /// Parses the name of a file beside the store, whose own name is `store`.
    pub(crate) fn of_store(store: &str, name: &str) -> Option<Self> {
        match infix(store, name)?.split('.').collect::<Vec<_>>()[..] {
            ["reaper", temp, old] => Some(Self::Exchange {
                temp: number(temp)?,
                old: number(old)?,
            }),
            [writer, "reaper"] => {
                let (pid, count) = writer.split_once('-')?;
                number(count)?;
                Some(Self::Unfinished { pid: number(pid)? })
            }
            [uuid] if is_uuid(uuid) => Some(Self::Gateway { pid: None }),
            [pid, uuid] if is_uuid(uuid) => Some(Self::Gateway {
                pid: Some(number(pid)?),
            }),
            _ => None,
        }
    }

    /// Parses the name of a file beside the lock file, whose own name is `lock`.
    pub(crate) fn of_lock(lock: &str, name: &str) -> Option<Self> {
        infix(lock, name)
            .filter(|infix| !infix.is_empty())
            .map(|_| Self::Lock)
    }
}

/// Returns the middle of `<file>.<middle>.tmp`.
fn infix<'n>(file: &str, name: &'n str) -> Option<&'n str> {
    name.strip_suffix(".tmp")?
        .strip_prefix(file)?
        .strip_prefix('.')
}

/// Parses decimal digits. `parse` alone accepts a sign.
fn number(digits: &str) -> Option<u64> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Kind;

    const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";

    fn of_store(name: &str) -> Option<TempName> {
        TempName::of_store("sessions.json", name)
    }

    #[test]
    fn only_the_names_of_temp_files_are_recognised() {
        for (infix, expected) in [
            (UUID.to_owned(), Some(TempName::Gateway { pid: None })),
            (
                format!("77.{UUID}"),
                Some(TempName::Gateway { pid: Some(77) }),
            ),
            (
                "77-0.reaper".to_owned(),
                Some(TempName::Unfinished { pid: 77 }),
            ),
            ("77.reaper".to_owned(), None),
            ("77-.reaper".to_owned(), None),
            ("77-x.reaper".to_owned(), None),
            (
                "reaper.12.34".to_owned(),
                Some(TempName::Exchange { temp: 12, old: 34 }),
            ),
            (format!("+7.{UUID}"), None),
            (format!(".{UUID}"), None),
            (format!("a.{UUID}"), None),
            (UUID.replace('-', "_"), None),
            (UUID[1..].to_owned(), None),
            ("reaper.12".to_owned(), None),
            ("reaper.12.34.56".to_owned(), None),
            ("reaper..34".to_owned(), None),
            ("backup".to_owned(), None),
            (String::new(), None),
        ] {
            let name = format!("sessions.json.{infix}.tmp");
            assert_eq!(of_store(&name), expected, "{name}");
        }
        for other in ["sessions.json", "sessions.json.tmp", "other.json", ".tmp"] {
            assert_eq!(of_store(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_names_of_lock_temp_files_are_recognised() {
        for (name, expected) in [
            ("sessions.json.lock.12-0.tmp", Some(TempName::Lock)),
            ("sessions.json.lock", None),
            ("sessions.json.lock.tmp", None),
            ("sessions.json.lock..tmp", None),
        ] {
            let parsed = TempName::of_lock("sessions.json.lock", name);
            assert_eq!(parsed, expected, "{name}");
        }
    }

    #[test]
    fn a_name_that_is_given_is_recognised() {
        let store = Path::new("/s/sessions.json");
        let parse = |path: &Path| of_store(path.file_name().unwrap().to_str().unwrap());
        let stat = |ino| Stat {
            dev: 1,
            ino,
            size: 0,
            mtime: 0,
            ctime: 0,
            kind: Kind::File,
            uid: 0,
            gid: 0,
        };
        let name = exchange_name(store, &stat(u64::MAX), &stat(1));
        let temp = u64::MAX;
        assert_eq!(parse(&name), Some(TempName::Exchange { temp, old: 1 }));
        let name = unfinished_name(store, 7, 3);
        assert_eq!(parse(&name), Some(TempName::Unfinished { pid: 7 }));
    }
}
