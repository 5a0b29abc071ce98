//! 64 bytes at once: where the quotes, the escapes and the white space are.
//!
//! Every set of bytes is a word with one bit for each of them, the first byte's the lowest.
//!
//! `wide` uses the vector instructions that every processor of the target has, for example SSE2 on
//! x86-64. A variant for AVX2, chosen at run time, gained 1 to 2 ms of 27 ms in a survey of a large
//! store and needed `unsafe` code, so it was removed.

#![allow(
    clippy::inline_always,
    reason = "a call would cost more than what these functions do"
)]

use wide::u8x16;

/// What matters within strings.
pub(super) struct Marks {
    /// Quotes that are not escaped.
    pub(super) quotes: u64,
    /// Escaped bytes that need a closer look: not `\"`, `\\`, `\n` or `\t`.
    pub(super) odd_escapes: u64,
    /// Bytes that no string may hold as they are.
    pub(super) controls: u64,
}

impl Marks {
    /// Looks at a block. `escape` is 1 if its first byte is escaped, because the block before ended
    /// with a backslash, and is then set for the block that follows. Only `length` bytes count.
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

    /// Is there anything that matters?
    #[inline(always)]
    pub(super) fn is_any(&self) -> bool {
        self.quotes | self.odd_escapes | self.controls != 0
    }
}

/// The bytes that follow a backslash which is not escaped itself.
#[inline(always)]
fn escaped(backslashes: u64, escape: &mut u64, length: usize) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    // The backslashes of a run escape and are escaped by turns. Taking a run from the odd places
    // borrows through all of it: what has changed then are its backslashes that escape and, where it
    // ends with one, the byte behind it. (A finding of simdjson's.)
    let free = backslashes & !*escape;
    let changed = (free << 1 | ODD).wrapping_sub(free) ^ ODD;
    let escaped = changed ^ (backslashes | *escape);
    *escape = (changed & backslashes) >> (length - 1) & 1;
    escaped
}

/// The bytes below 0x20. Nearly always there are none, which is quick to see.
#[inline(always)]
fn controls(lanes: [u8x16; 4]) -> u64 {
    let is_control = |lane: u8x16| lane.min(u8x16::splat(0x1f)).cmp_eq(lane);
    let [a, b, c, d] = lanes;
    if is_control(a.min(b).min(c.min(d))).none() {
        return 0;
    }
    bits(lanes.map(is_control))
}

/// The bytes that are JSON's white space.
#[inline(always)]
pub(super) fn spaces(block: &[u8; 64]) -> u64 {
    bits(lanes(block).map(|lane| {
        let [blank, newline, tab, carriage] =
            [b' ', b'\n', b'\t', b'\r'].map(|byte| lane.cmp_eq(u8x16::splat(byte)));
        (blank | newline) | (tab | carriage)
    }))
}

#[inline(always)]
fn lanes(block: &[u8; 64]) -> [u8x16; 4] {
    let (lanes, _) = block.as_chunks::<16>();
    std::array::from_fn(|lane| u8x16::from(lanes[lane]))
}

/// The highest bit of each byte.
#[inline(always)]
fn bits(lanes: [u8x16; 4]) -> u64 {
    let [a, b, c, d] = lanes.map(|lane| u64::from(lane.move_mask().cast_unsigned()));
    a | b << 16 | c << 32 | d << 48
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Marks, spaces};

    /// What [`Marks::of`] and [`spaces`] find, byte by byte.
    fn plainly(bytes: &[u8], escape: &mut u64) -> [u64; 4] {
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
    fn only_plain_escapes_need_no_closer_look() {
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
        fn a_look_at_a_block_finds_what_a_loop_over_its_bytes_finds(
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
            let expected = plainly(&bytes, &mut expected_after);
            let mut after = escape;
            let marks = Marks::of(&block, &mut after, bytes.len());
            let valid = u64::MAX >> (64 - bytes.len());
            let found = [marks.quotes, marks.odd_escapes, marks.controls, spaces(&block)];
            prop_assert_eq!(found.map(|bits| bits & valid), expected);
            prop_assert_eq!(after, expected_after);
        }
    }
}
