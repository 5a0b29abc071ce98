//! Keys that occur more than once in a store.
//!
//! In JavaScript such a key has the position of its first occurrence and the value of its last. No
//! known writer produces duplicates. The first pass of a rewrite therefore ignores them and only
//! collects a [hash of each key](KeyHashes). If entries are removed and a hash occurs more than once, a
//! second pass reads the [last values](DuplicateKeys) of these keys, and a third pass rewrites the store
//! with them.
//!
//! # Limitations
//! Keys of runs are all compared, since runs are removed. Other entries are kept, and only their
//! references to transcripts matter. Of those keys a bounded number is compared: beyond it, every
//! occurrence of a key counts as a reference, so that a transcript is kept too long and never lost.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::Facts;
use crate::error::{Error, Result};
use crate::gateway::session_key::RunKeys;
use crate::store::reading::{Reading, Source};
use crate::store::scan::{Entry, Key, Visitor};
use crate::system::System;

/// How many keys that are not keys of runs are compared. The largest store that was reported has 2,700.
const MAX_OTHER_KEYS: u32 = 1 << 14;

/// The hashes of the keys of a store.
#[derive(Default)]
pub(super) struct KeyHashes {
    state: RandomState,
    hashes: Vec<u64>,
    /// How many of them are not keys of runs.
    others: u32,
}

impl KeyHashes {
    #[inline]
    pub(super) fn add_run(&mut self, key: Key<'_>) {
        self.hashes.extend(hash(&self.state, key));
    }

    #[inline]
    pub(super) fn add_other(&mut self, key: Key<'_>) {
        if self.others < MAX_OTHER_KEYS {
            self.others += 1;
            self.hashes.extend(hash(&self.state, key));
        }
    }

    /// Returns the hashes that occur more than once; `None` if there are none.
    pub(super) fn repeated(mut self) -> Option<Self> {
        self.hashes.sort_unstable();
        let equal = self.hashes.chunk_by(|a, b| a == b);
        let hashes: Vec<u64> = equal.filter(|it| it.len() > 1).map(|it| it[0]).collect();
        (!hashes.is_empty()).then_some(Self { hashes, ..self })
    }

    /// Returns whether one of the repeated hashes is that of the key.
    fn contains(&self, key: Key<'_>) -> bool {
        hash(&self.state, key).is_some_and(|hash| self.hashes.binary_search(&hash).is_ok())
    }
}

/// Returns a hash that is equal for equal keys; `None` if the key is too long to be compared.
///
/// The text of a key may be equal for different keys. They are then read in the second pass, where
/// they are found to be different.
#[inline]
fn hash(state: &RandomState, key: Key<'_>) -> Option<u64> {
    key.text().map(|text| state.hash_one(&*text))
}

/// How much memory the last values of duplicate keys may use, in bytes.
const MAX_MEMORY: usize = 8 << 20;

/// From here on, only the last values of runs are read.
const MAX_MEMORY_WITH_OTHERS: usize = MAX_MEMORY / 2;

/// The keys that may occur more than once in a store.
#[derive(Default)]
pub(super) struct DuplicateKeys(HashMap<Vec<u8>, Duplicate>);

enum Duplicate {
    /// The key was not reached yet. Its last value decides.
    Undecided(Facts<'static>),
    /// The first occurrence was reached. All occurrences are kept or all are removed.
    Decided { is_kept: bool },
}

impl DuplicateKeys {
    /// Reads the store and returns the last values of the keys with these hashes.
    ///
    /// # Errors
    /// [`Error::TooManyDuplicateKeys`] if they need too much memory, and those of reading.
    pub(super) fn read<S: System>(
        store: Source<'_, S>,
        hashes: &KeyHashes,
        run_keys: RunKeys,
        buffer: &mut [u8],
    ) -> Result<Self> {
        let mut last_values = LastValues {
            run_keys,
            hashes,
            keys: Self::default(),
            memory: 0,
        };
        let mut reading = Reading::new(store, buffer);
        while reading.next(&mut last_values)?.is_some() {
            if last_values.memory > MAX_MEMORY {
                return Err(Error::TooManyDuplicateKeys {
                    path: store.path.to_owned(),
                });
            }
        }
        Ok(last_values.keys)
    }

    /// Returns whether an entry with this key is kept, and calls `decide` with the key's last value
    /// at its first occurrence. Returns `None` if the key occurs only once.
    pub(super) fn is_kept(
        &mut self,
        key: Key<'_>,
        decide: impl FnOnce(&Facts<'_>) -> bool,
    ) -> Option<bool> {
        if self.0.is_empty() {
            return None;
        }
        let duplicate = self.0.get_mut(&key.wtf8()?)?;
        let undecided = std::mem::replace(duplicate, Duplicate::Decided { is_kept: true });
        let is_kept = match undecided {
            Duplicate::Decided { is_kept } => is_kept,
            Duplicate::Undecided(facts) => decide(&facts),
        };
        *duplicate = Duplicate::Decided { is_kept };
        Some(is_kept)
    }
}

struct LastValues<'a> {
    run_keys: RunKeys,
    hashes: &'a KeyHashes,
    keys: DuplicateKeys,
    /// How much memory the values used so far, in bytes. A value that was replaced counts as well.
    memory: usize,
}

impl Visitor for LastValues<'_> {
    fn entry(&mut self, entry: &Entry<'_>, _: u64) {
        let key = entry.key();
        if self.memory > MAX_MEMORY || !self.hashes.contains(key) {
            return;
        }
        let is_run = key.is_run(self.run_keys);
        if let Some(bytes) = key.wtf8() {
            if !is_run && self.memory > MAX_MEMORY_WITH_OTHERS {
                // Its value so far is not its last.
                self.keys.0.remove(&bytes);
                return;
            }
            let facts = Facts::of(entry, is_run).into_owned();
            let texts = [facts.session_id.text(), facts.session_file.as_deref()];
            let texts: usize = texts.iter().flatten().map(|text| text.len()).sum();
            let texts = texts + facts.key.len();
            self.memory += size_of::<(Vec<u8>, Duplicate)>() + bytes.len() + texts;
            self.keys.0.insert(bytes, Duplicate::Undecided(facts));
        }
    }
}
