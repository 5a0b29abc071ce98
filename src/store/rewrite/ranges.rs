//! The bytes of a store that are kept when entries are removed.

use std::ops::Range;

/// Collects the ranges of a store that are kept. Offsets are in bytes from the start of the file.
///
/// The ranges are chosen so that a store in the gateway's format is again exactly in that format.
/// With a removed entry the comma before it is removed or, if no entry before it is kept, the comma
/// after it. If no entry is kept, everything between the braces is removed.
#[derive(Debug)]
pub(super) struct KeptRanges {
    /// Kept ranges that were not drained yet, in order. No two are adjacent.
    ranges: Vec<Range<u64>>,
    /// The end of the last range or removed entry.
    position: u64,
    /// Whether the bytes from `position` on are kept although their end is not known yet.
    is_open: bool,
    any_kept: bool,
    any_removed: bool,
}

impl Default for KeptRanges {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            position: 0,
            is_open: true, // The white space before the object is kept.
            any_kept: false,
            any_removed: false,
        }
    }
}

impl KeptRanges {
    /// The root's `{` ends at `end`.
    pub(super) fn begin_object(&mut self, end: u64) {
        self.keep_to(end);
        self.is_open = false;
    }

    /// An entry begins. The comma before it, or the `{`, ends at `start`.
    pub(super) fn begin_entry(&mut self, start: u64) {
        self.skip_to_unless_any_is_kept(start);
    }

    /// The entry that began is kept. Its value is not needed for the decision.
    pub(super) fn keep_begun_entry(&mut self) {
        self.is_open = true;
    }

    /// The entry is kept. Its value ends at `end`.
    pub(super) fn keep_entry(&mut self, end: u64) {
        self.keep_to(end);
        self.is_open = false;
        self.any_kept = true;
    }

    /// The entry is removed. Its value ends at `end`.
    pub(super) fn remove_entry(&mut self, end: u64) {
        self.position = end;
        self.any_removed = true;
    }

    /// The root object ends. Its `}` is at `start`.
    pub(super) fn end_object(&mut self, start: u64) {
        self.skip_to_unless_any_is_kept(start);
        self.is_open = true;
    }

    /// Removes and returns the ranges that are known to be kept up to `offset`, which is the end of
    /// the bytes that were scanned.
    pub(super) fn drain_to(&mut self, offset: u64) -> std::vec::Drain<'_, Range<u64>> {
        if self.is_open {
            self.keep_to(offset);
        }
        self.ranges.drain(..)
    }

    /// If all entries so far were removed, removes the bytes up to `offset` too: the comma after the
    /// last of them, or the white space before the `}`.
    fn skip_to_unless_any_is_kept(&mut self, offset: u64) {
        if self.any_removed && !self.any_kept {
            self.position = offset;
        }
    }

    fn keep_to(&mut self, end: u64) {
        match self.ranges.last_mut() {
            Some(last) if last.end == self.position => last.end = end,
            _ => self.ranges.push(self.position..end),
        }
        self.position = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removes the entries that contain a `-` from an object whose other bytes are entries, commas
    /// and white space. Drains the ranges at every offset if `step` is 1.
    fn kept(text: &str, step: usize) -> String {
        let (mut ranges, mut kept) = (KeptRanges::default(), String::new());
        for (at, byte) in text.bytes().enumerate() {
            let end = at as u64 + 1;
            match byte {
                b'{' => {
                    ranges.begin_object(end);
                    ranges.begin_entry(end);
                }
                b',' => ranges.begin_entry(end),
                b'-' => ranges.remove_entry(end),
                b'+' => ranges.keep_entry(end),
                b'}' => ranges.end_object(at as u64),
                _ => {}
            }
            if end.is_multiple_of(step as u64) || at + 1 == text.len() {
                for range in ranges.drain_to(end) {
                    kept += &text[usize::try_from(range.start).unwrap()
                        ..usize::try_from(range.end).unwrap()];
                }
            }
        }
        kept
    }

    #[test]
    fn keeps_exactly_one_comma_between_two_kept_entries() {
        for (text, expected) in [
            (" { a+, b+ } ", " { a+, b+ } "),
            (" { a-, b+, c+ } ", " { b+, c+ } "),
            (" { a+, b-, c+ } ", " { a+, c+ } "),
            (" { a+, b+, c- } ", " { a+, b+ } "),
            (" { a-, b-, c+ , d- } ", " { c+ } "),
            (" { a+ , b- , c- } ", " { a+ } "),
        ] {
            for step in [1, 2, 3, text.len()] {
                assert_eq!(kept(text, step), expected, "{text}, {step}");
            }
        }
    }

    #[test]
    fn removes_everything_between_the_braces_if_no_entry_is_kept() {
        for step in [1, 2, 3, 100] {
            assert_eq!(kept(" {\n  a-,\n  b-\n}\n", step), " {}\n");
        }
    }

    #[test]
    fn returns_the_bytes_of_an_entry_before_its_end_if_it_is_certainly_kept() {
        let mut ranges = KeptRanges::default();
        let drained = |ranges: &mut KeptRanges, to| {
            let range = ranges.drain_to(to).next().unwrap();
            (range.start, range.end)
        };
        ranges.begin_object(1);
        ranges.begin_entry(1);
        assert_eq!(drained(&mut ranges, 5), (0, 1));
        ranges.keep_begun_entry();
        assert_eq!(drained(&mut ranges, 7), (1, 7));
        ranges.keep_entry(9);
        assert_eq!(drained(&mut ranges, 9), (7, 9));
    }
}
