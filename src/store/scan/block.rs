//! Finds the quotes, escapes, control characters and white space of a block of 64 bytes.
//!
//! A set of bytes is a mask with one bit per byte; the lowest bit is the first byte.
//!
//! `wide` compiles to the vector instructions that every processor of the target has, for example
//! SSE2 on x86-64. `scan` in `scanner.rs` compiles the same code once more for newer processors.

#![expect(
    clippy::inline_always,
    reason = "a call would cost more than these functions do"
)]

use wide::u8x16;

/// The bytes that are significant inside a string.
pub(super) struct Marks {
    /// Quotes that are not escaped.
    pub(super) quotes: u64,
    /// Escaped bytes that must be checked: all but `"`, `\`, `n` and `t`, the most frequent ones.
    pub(super) odd_escapes: u64,
    /// Control characters, which a string must not contain.
    pub(super) controls: u64,
}

impl Marks {
    /// Computes the marks of a block whose first `length` bytes are significant. `escape` is 1 if the
    /// last byte of the previous block escapes the first byte of this one; it is updated for the next
    /// block.
    #[inline(always)]
    pub(super) fn of(block: &[u8; 64], escape: &mut u64, length: usize) -> Self {
        let lanes = lanes(block);
        let equal = |lane: u8x16, byte| lane.cmp_eq(u8x16::splat(byte));
        let quotes = bits(lanes.map(|lane| equal(lane, b'"')));
        let backslashes = bits(lanes.map(|lane| equal(lane, b'\\')));
        let breaks = bits(lanes.map(|lane| equal(lane, b'n') | equal(lane, b't')));
        let escaped = escaped(backslashes, escape, length);
        Self {
            quotes: quotes & !escaped,
            odd_escapes: escaped & !(quotes | backslashes | breaks),
            controls: controls(lanes),
        }
    }

    /// Returns whether the block contains a significant byte.
    #[inline(always)]
    pub(super) fn is_any(&self) -> bool {
        self.quotes | self.odd_escapes | self.controls != 0
    }
}

/// Returns the bytes that follow a backslash which is not escaped itself.
#[inline(always)]
fn escaped(backslashes: u64, escape: &mut u64, length: usize) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    // In a run of backslashes every second one escapes the next byte. Subtracting the run from the
    // odd bits borrows through the whole run, so that exactly two kinds of bits change: the
    // backslashes that escape and, if the last one does, the byte after the run. (From simdjson.)
    let free = backslashes & !*escape;
    let changed = (free << 1 | ODD).wrapping_sub(free) ^ ODD;
    let escaped = changed ^ (backslashes | *escape);
    *escape = (changed & backslashes) >> (length - 1) & 1;
    escaped
}

/// Returns the bytes below 0x20. The fast path is that there are none.
#[inline(always)]
fn controls(lanes: [u8x16; 4]) -> u64 {
    let is_control = |lane: u8x16| lane.min(u8x16::splat(0x1f)).cmp_eq(lane);
    let [a, b, c, d] = lanes;
    if is_control(a.min(b).min(c.min(d))).none() {
        return 0;
    }
    bits(lanes.map(is_control))
}

/// Returns the bytes that are white space in JSON.
#[inline(always)]
pub(super) fn spaces(block: &[u8; 64]) -> u64 {
    bits(lanes(block).map(|lane| {
        let [blank, newline, tab, carriage] =
            (*b" \n\t\r").map(|byte| lane.cmp_eq(u8x16::splat(byte)));
        (blank | newline) | (tab | carriage)
    }))
}

#[inline(always)]
fn lanes(block: &[u8; 64]) -> [u8x16; 4] {
    let (lanes, _) = block.as_chunks::<16>();
    std::array::from_fn(|lane| u8x16::from(lanes[lane]))
}

/// Returns the highest bit of each byte.
#[inline(always)]
fn bits(lanes: [u8x16; 4]) -> u64 {
    let [a, b, c, d] = lanes.map(|lane| u64::from(lane.move_mask().cast_unsigned()));
    a | b << 16 | c << 32 | d << 48
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Marks, spaces};

    /// Computes the results of [`Marks::of`] and [`spaces`] byte by byte.
    fn byte_by_byte(bytes: &[u8], escape: &mut u64) -> [u64; 4] {
        let mut found = [0; 4];
        for (at, byte) in bytes.iter().enumerate() {
            let is_escaped = *escape == 1;
            *escape = u64::from(*byte == b'\\' && !is_escaped);
            let is = [
                *byte == b'"' && !is_escaped,
                is_escaped && !matches!(byte, b'"' | b'\\' | b'n' | b't'),
                *byte < 0x20,
                matches!(byte, b' ' | b'\n' | b'\r' | b'\t'),
            ];
            for (found, is) in found.iter_mut().zip(is) {
                *found |= u64::from(is) << at;
            }
        }
        found
    }

    #[test]
    fn marks_every_escape_except_the_four_frequent_ones_as_odd() {
        for byte in 0..=u8::MAX {
            let mut block = [b' '; 64];
            block[40] = b'\\';
            block[41] = byte;
            let is_odd = !matches!(byte, b'"' | b'\\' | b'n' | b't');
            let marks = Marks::of(&block, &mut 0, 64);
            assert_eq!(marks.odd_escapes, u64::from(is_odd) << 41, "{byte:#x}");
        }
    }

    proptest! {
        #[test]
        fn finds_the_same_bytes_in_a_block_as_a_loop_over_its_bytes(
            bytes in proptest::collection::vec(
                prop_oneof![
                    4 => Just(b'\\'),
                    2 => prop_oneof![Just(b'"'), Just(b'n'), Just(b' '), Just(b'\t')],
                    2 => any::<u8>(),
                ],
                1..=64,
            ),
            escape in 0..2_u64,
        ) {
            let mut block = [b' '; 64];
            block[..bytes.len()].copy_from_slice(&bytes);
            let mut expected_after = escape;
            let expected = byte_by_byte(&bytes, &mut expected_after);
            let mut after = escape;
            let marks = Marks::of(&block, &mut after, bytes.len());
            let valid = u64::MAX >> (64 - bytes.len());
            let found = [marks.quotes, marks.odd_escapes, marks.controls, spaces(&block)];
            prop_assert_eq!(found.map(|bits| bits & valid), expected);
            prop_assert_eq!(after, expected_after);
        }
    }
}
