//! Access to paths outside the store's folder, which a sweep limits.
//!
//! A store can contain any path, for example one on a network file system that no longer responds, and
//! a system call on such a path can block for ever. So a sweep accesses a path outside the folder only
//! if a file of the same name is concerned: then the path can be an alias of the folder.

use std::cell::Cell;
use std::path::{Component, Path, Prefix};

/// How many paths outside the store's folder one sweep can still access.
#[derive(Debug)]
pub(crate) struct OutsideLookups {
    left: Cell<u32>,
}

impl OutsideLookups {
    /// How many paths a sweep accesses at most. Real stores need none: their `sessionFile`s are spelled
    /// as paths inside the folder.
    pub(crate) const PER_SWEEP: u32 = 64;

    /// Allows [`PER_SWEEP`](Self::PER_SWEEP) look-ups.
    pub(crate) fn new() -> Self {
        Self {
            left: Cell::new(Self::PER_SWEEP),
        }
    }

    /// Allows no further look-up. Call it before the store is read with the lock held, so that no other
    /// process waits for a file system that the store's content names.
    pub(crate) fn end(&self) {
        self.left.set(0);
    }

    /// Returns whether any path can still be accessed.
    pub(crate) fn any_left(&self) -> bool {
        self.left.get() > 0
    }

    /// Returns whether the path, which is outside the folder, can be accessed, and counts it if so.
    /// Never allows a network path of Windows, because opening it sends the user's credentials.
    pub(crate) fn allow(&self, path: &Path) -> bool {
        let left = self.left.get();
        let is_allowed = left > 0 && is_on_disk(path);
        self.left.set(left - u32::from(is_allowed));
        is_allowed
    }
}

/// Returns whether an absolute path is on a drive. On Windows, the alternatives are network paths
/// (`\\server\share`) and devices (`\\.\pipe`).
fn is_on_disk(path: &Path) -> bool {
    match path.components().next() {
        Some(Component::Prefix(prefix)) => {
            matches!(prefix.kind(), Prefix::Disk(_) | Prefix::VerbatimDisk(_))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_a_bounded_number_of_look_ups() {
        let lookups = OutsideLookups::new();
        let path = if cfg!(windows) { r"C:\a" } else { "/a" };
        let allowed = (0..1000).filter(|_| lookups.allow(Path::new(path))).count();
        assert_eq!(allowed, 64);
        assert!(!lookups.any_left());

        let lookups = OutsideLookups::new();
        lookups.end();
        assert!(!lookups.allow(Path::new(path)));
    }

    #[test]
    #[cfg(windows)]
    fn allows_no_network_path_and_no_device() {
        let lookups = OutsideLookups::new();
        for path in [
            r"\\server\share\a.jsonl",
            r"\\?\UNC\server\share\a.jsonl",
            r"\\.\pipe\a.jsonl",
            r"\\?\pipe\a.jsonl",
        ] {
            assert!(!lookups.allow(Path::new(path)), "{path}");
        }
        assert!(lookups.allow(Path::new(r"\\?\C:\a.jsonl")));
    }
}
