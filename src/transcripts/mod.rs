//! Transcripts, the `*.jsonl` files of sessions, and their archives.
//!
//! `locate` finds the transcripts of a removed session, and `references` those of them that a kept entry
//! references. `links` follows links without leaving the folder, and `outside` limits the access to paths
//! outside it. `names` knows which files are missing. `archive` renames transcripts to their `archive_name`, renames them back if the sweep
//! fails, and deletes expired archives. `listing` lists each folder once for a plan and its
//! cleanup.

pub(crate) mod archive;
pub(crate) mod archive_name;
mod hashes;
pub(crate) mod links;
pub(crate) mod listing;
pub(crate) mod locate;
mod names;
pub(crate) mod outside;
pub(crate) mod references;
#[cfg(test)]
mod tests;

use serde::Serialize;

/// A number of files and their total size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The number of files.
    pub files: u64,
    /// Their total size in bytes.
    pub bytes: u64,
}

impl Tally {
    /// Counts one more file of that size.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }
}
