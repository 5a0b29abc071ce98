//! A set of hashes whose memory is bounded.

use std::collections::HashSet;

/// How many hashes are stored exactly: more than any real store has entries. About 5 MB.
const MAX_EXACT: usize = 1 << 18;

/// The size of the filter that replaces them, in 64-bit words: 8 MB.
const FILTER_WORDS: usize = 1 << 20;

/// How many bits of the filter each hash sets.
const BITS_PER_HASH: u64 = 4;

/// A set of 64-bit hashes.
///
/// Up to 262,144 hashes it is exact. Beyond, it is a Bloom filter: it contains every hash that was
/// inserted, and a few that were not (0.2 % with a million hashes, 4 % with ten million).
#[derive(Debug, Default)]
pub(super) struct Hashes {
    exact: HashSet<u64>,
    /// Empty while the set is exact.
    filter: Vec<u64>,
}

impl Hashes {
    pub(super) fn insert(&mut self, hash: u64) {
        if self.filter.is_empty() && self.exact.len() < MAX_EXACT {
            self.exact.insert(hash);
            return;
        }
        if self.filter.is_empty() {
            self.filter = vec![0; FILTER_WORDS];
            for hash in std::mem::take(&mut self.exact) {
                self.set_bits(hash);
            }
        }
        self.set_bits(hash);
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        if self.filter.is_empty() {
            return self.exact.contains(&hash);
        }
        places(hash).all(|(word, bit)| self.filter[word] & bit != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.filter.is_empty()
    }

    #[cfg(test)]
    pub(super) fn exact_len(&self) -> usize {
        self.exact.len()
    }

    fn set_bits(&mut self, hash: u64) {
        for (word, bit) in places(hash) {
            self.filter[word] |= bit;
        }
    }
}

/// Returns the bits of the filter that belong to a hash.
fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    // Both halves of the hash are random, so their combinations are (Kirsch and Mitzenmacher, 2006).
    let step = hash >> 32 | 1;
    (0..BITS_PER_HASH).map(move |n| {
        let place = hash.wrapping_add(step.wrapping_mul(n)) % (FILTER_WORDS as u64 * 64);
        let word = usize::try_from(place / 64).expect("the filter is in memory");
        (word, 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    fn filled(count: u64) -> (Hashes, RandomState) {
        let (mut hashes, seed) = (Hashes::default(), RandomState::new());
        for n in 0..count {
            hashes.insert(seed.hash_one(n));
        }
        (hashes, seed)
    }

    #[test]
    fn contains_exactly_what_was_inserted_up_to_its_limit() {
        let count = MAX_EXACT as u64;
        let (hashes, seed) = filled(count);
        assert!(!hashes.is_empty() && Hashes::default().is_empty());
        assert!((0..count).all(|n| hashes.contains(seed.hash_one(n))));
        assert!(!(count..2 * count).any(|n| hashes.contains(seed.hash_one(n))));
    }

    #[test]
    fn contains_everything_that_was_inserted_beyond_its_limit_and_little_else() {
        let count = 1_000_000;
        let (hashes, seed) = filled(count);
        assert!((0..count).all(|n| hashes.contains(seed.hash_one(n))));
        assert!(!hashes.is_empty());
        let wrong = (count..2 * count).filter(|n| hashes.contains(seed.hash_one(n)));
        assert!(wrong.count() < 10_000);
        assert_eq!(hashes.exact.capacity(), 0);
    }
}
