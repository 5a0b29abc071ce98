//! Transcripts and archives: the `*.jsonl` files beside a store, and what becomes of them when
//! their session goes.
//!
//! [`locate`] says which files are a session's, and which of them an entry that stays still points
//! at. [`archive`] renames them away, renames them back if the sweep cannot be finished, and
//! deletes archives that have grown too old.

pub mod archive;
pub mod listing;
pub mod locate;

use serde::Serialize;

/// How many files, and their sizes in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub files: u64,
    /// What they hold together.
    pub bytes: u64,
}

impl Tally {
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

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}
