//! The scanner's state machine: the token that may come next, the nesting, and the text that is being
//! recorded.

#![expect(
    clippy::inline_always,
    reason = "measured: it keeps a block's masks in registers"
)]

use std::ops::Range;

use super::block::{self, Marks};
use super::entry::{Entry, EntryKind, Key, RawText, SLOTS, Slot};
use super::{Broken, Visitor};
use crate::gateway::js;

/// The token that may come next, or the token that the last chunk ended in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Root,
    FirstKey,
    Key,
    Colon,
    FirstElement,
    Value,
    /// A comma, or the end of the object or array.
    Next,
    /// Only white space.
    End,
    InKey,
    InString,
    InNumber(Number),
    /// The rest of `true`, `false` or `null`.
    InLiteral(&'static [u8]),
}

/// The part of a number that was read last. A number may end after `Zero`, `Whole`, `Fraction` and
/// `Exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

/// Scans a store chunk by chunk. See the [module](super).
///
/// ```
/// use cron_session_reaper::store::scan::{Entry, Scanner, Visitor};
///
/// struct Count(u32);
/// impl Visitor for Count {
///     fn entry(&mut self, _: &Entry<'_>, _: u64) {
///         self.0 += 1;
///     }
/// }
///
/// let mut count = Count(0);
/// let mut scanner = Scanner::default();
/// scanner.push(br#"{"a": {}, "b"#, &mut count).unwrap();
/// scanner.push(br#"": null}"#, &mut count).unwrap();
/// scanner.finish().unwrap();
/// assert_eq!(count.0, 2);
///
/// let broken = Scanner::default().push(b"[]", &mut count).unwrap_err();
/// assert_eq!(broken.offset, 0);
/// assert_eq!(broken.reason, "expected an object, found `[`");
/// ```
#[derive(Debug)]
pub struct Scanner {
    /// The offset of the current chunk in the file.
    offset: u64,
    expect: Expect,
    nesting: Nesting,
    /// 1 if the next byte is escaped because the last one was a backslash, otherwise 0.
    escape: u64,
    /// The number of hexadecimal digits of a `\u` that are still expected.
    digits: usize,
    texts: [RawText; SLOTS],
    /// The part that is being recorded.
    slot: Option<Slot>,
    /// The index in the current chunk of the first byte that is not recorded yet.
    from: usize,
    /// The field whose value comes next, if that value is to be recorded.
    field: Option<Slot>,
    /// The type of the current entry.
    kind: EntryKind,
    /// The end of the last comma between entries, or of the root's `{`.
    entry_start: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            offset: 0,
            expect: Expect::Root,
            nesting: Nesting::default(),
            escape: 0,
            digits: 0,
            texts: Default::default(),
            slot: None,
            from: 0,
            field: None,
            kind: EntryKind::Scalar,
            entry_start: 0,
        }
    }
}

impl Scanner {
    /// Scans the next chunk of the file and reports to `visitor` what is complete with it.
    ///
    /// # Errors
    /// [`Broken`] if the chunk contains an invalid byte. The scanner must not be used after that.
    pub fn push(&mut self, chunk: &[u8], visitor: &mut impl Visitor) -> Result<(), Broken> {
        scan(self, chunk, visitor)
    }

    #[inline(always)]
    fn scan(&mut self, chunk: &[u8], visitor: &mut impl Visitor) -> Result<(), Broken> {
        let (blocks, tail) = chunk.as_chunks::<64>();
        let mut escape = self.escape;
        let mut done = 0;
        loop {
            // Most blocks lie inside a long string and need no other work than this.
            let is_in_string = self.is_in_string_text();
            let noteworthy = blocks[done..]
                .iter()
                .enumerate()
                .find_map(|(skipped, block)| {
                    let marks = Marks::of(block, &mut escape, 64);
                    (!is_in_string || marks.is_any()).then_some((skipped, block, marks))
                });
            let Some((skipped, block, marks)) = noteworthy else {
                break;
            };
            done += skipped + 1;
            self.block(block, &marks, chunk, 64 * (done - 1)..64 * done, visitor)?;
        }
        let at = 64 * blocks.len();
        if !tail.is_empty() {
            let mut padded = [b' '; 64];
            padded[..tail.len()].copy_from_slice(tail);
            let marks = Marks::of(&padded, &mut escape, tail.len());
            self.block(&padded, &marks, chunk, at..chunk.len(), visitor)?;
        }
        self.escape = escape;
        if let Some(slot) = self.slot {
            self.texts[slot as usize].append(&chunk[self.from..], slot.limit());
            self.from = 0;
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// Returns whether the next byte belongs to a string, but not to the digits of a `\u`.
    #[inline(always)]
    fn is_in_string_text(&self) -> bool {
        matches!(self.expect, Expect::InString | Expect::InKey) && self.digits == 0
    }

    /// Checks that the file may end after the last chunk.
    ///
    /// # Errors
    /// [`Broken`] if the file ends too early.
    pub fn finish(&self) -> Result<(), Broken> {
        let reason = match self.expect {
            Expect::End => return Ok(()),
            Expect::Root if self.offset == 0 => "the file is empty",
            Expect::Root => "the file contains only white space",
            Expect::InKey | Expect::InString => "unexpected end of file inside a string",
            _ => "unexpected end of file inside an object",
        };
        Err(Broken {
            offset: self.offset,
            reason: reason.to_owned(),
        })
    }

    /// Scans one block. `range` is its position in the chunk; the last block of a chunk may be padded
    /// beyond `range`.
    #[inline]
    fn block(
        &mut self,
        block: &[u8; 64],
        marks: &Marks,
        chunk: &[u8],
        range: Range<usize>,
        visitor: &mut impl Visitor,
    ) -> Result<(), Broken> {
        let (start, mut at, end) = (range.start, range.start, range.end);
        if matches!(self.expect, Expect::InString | Expect::InKey) {
            at = self.string(marks, chunk, (start, at, end), visitor)?;
        }
        if at == end {
            return Ok(());
        }
        let spaces = block::spaces(block);
        while at < end {
            at = self.between_strings(spaces, chunk, (start, at, end), visitor)?;
            if at < end {
                at = self.string(marks, chunk, (start, at, end), visitor)?;
            }
        }
        Ok(())
    }

    /// Continues in a string from `at` to the end of the string or of the block. Returns the index
    /// after the last byte that was scanned.
    #[inline(always)]
    fn string(
        &mut self,
        marks: &Marks,
        chunk: &[u8],
        (start, at, end): (usize, usize, usize),
        visitor: &mut impl Visitor,
    ) -> Result<usize, Broken> {
        let ahead = u64::MAX << (at - start);
        let close = marks.quotes & ahead;
        // All bits below the closing quote, or all bits if there is none.
        let inside = ahead & (close & close.wrapping_neg()).wrapping_sub(1);
        if (marks.odd_escapes | marks.controls) & inside != 0 || self.digits != 0 {
            self.check_string(marks, &chunk[start..end], start, inside)?;
        }
        if close == 0 {
            return Ok(end);
        }
        let end = start + close.trailing_zeros() as usize + 1;
        if self.expect == Expect::InKey {
            self.end_key(chunk, end, visitor);
        } else {
            self.end_value(chunk, end, visitor);
        }
        Ok(end)
    }

    /// Checks the control characters and the unusual escapes at the bits of `inside`. `block` is the
    /// part of the block that belongs to the chunk; it begins at `start`.
    fn check_string(
        &mut self,
        marks: &Marks,
        block: &[u8],
        start: usize,
        inside: u64,
    ) -> Result<(), Broken> {
        // The digits of a `\u` in the previous block may continue here.
        self.hexadecimal(block, start, 0)?;
        // The bytes after the chunk's end are padding.
        let inside = inside & u64::MAX >> (64 - block.len());
        let mut suspects = (marks.odd_escapes | marks.controls) & inside;
        while suspects != 0 {
            let at = suspects.trailing_zeros() as usize;
            suspects &= suspects - 1;
            match block[at] {
                // A control character is invalid even if it is escaped.
                0..0x20 => return Err(self.broken(start + at, CONTROL)),
                b'/' | b'b' | b'f' | b'r' | b't' => {}
                b'u' => {
                    self.digits = 4;
                    self.hexadecimal(block, start, at + 1)?;
                }
                other => {
                    return Err(self.unexpected_byte(
                        start + at,
                        "a character that can be escaped",
                        other,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks the digits of a `\u` that the block contains from `at` on.
    fn hexadecimal(&mut self, block: &[u8], start: usize, at: usize) -> Result<(), Broken> {
        for (at, byte) in block.iter().enumerate().skip(at).take(self.digits) {
            if !byte.is_ascii_hexdigit() {
                return Err(self.unexpected_byte(start + at, "four hexadecimal digits", *byte));
            }
            self.digits -= 1;
        }
        Ok(())
    }

    /// Scans tokens from `at` to the next string or to `end`. Returns the index after the last byte
    /// that was scanned.
    #[inline(always)]
    fn between_strings(
        &mut self,
        spaces: u64,
        chunk: &[u8],
        (start, mut at, end): (usize, usize, usize),
        visitor: &mut impl Visitor,
    ) -> Result<usize, Broken> {
        loop {
            match self.expect {
                Expect::InString | Expect::InKey => return Ok(at),
                Expect::InNumber(number) => at = self.number(number, chunk, at, end, visitor)?,
                Expect::InLiteral(rest) => at = self.literal(rest, chunk, at, end, visitor)?,
                _ => {
                    at += (!(spaces >> (at - start))).trailing_zeros() as usize;
                    if at >= end {
                        return Ok(end);
                    }
                    self.token(chunk[at], chunk, at, visitor)?;
                    at += 1;
                }
            }
            if at == end {
                return Ok(end);
            }
        }
    }

    /// Scans the byte at `at`, which begins a key or a value or is punctuation.
    #[inline(always)]
    fn token(
        &mut self,
        byte: u8,
        chunk: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Result<(), Broken> {
        match (self.expect, byte) {
            (Expect::FirstKey | Expect::Key, b'"') => self.begin_key(at),
            (Expect::Colon, b':') => self.expect = Expect::Value,
            (Expect::Next, b',') => {
                self.expect = if self.nesting.in_object {
                    Expect::Key
                } else {
                    Expect::Value
                };
                if self.nesting.depth == 1 {
                    self.entry_start = self.offset + at as u64 + 1;
                }
            }
            (Expect::FirstKey, b'}') | (Expect::FirstElement, b']') => {
                self.end_container(chunk, at, visitor);
            }
            (Expect::Next, b'}' | b']') if self.nesting.in_object == (byte == b'}') => {
                self.end_container(chunk, at, visitor);
            }
            (Expect::Root, b'{') => {
                self.nesting.push(Container::Object);
                self.expect = Expect::FirstKey;
                self.entry_start = self.offset + at as u64 + 1;
                visitor.open(self.entry_start);
            }
            (Expect::Value | Expect::FirstElement, _) => return self.begin_value(byte, at),
            _ => return Err(self.unexpected(at, byte)),
        }
        Ok(())
    }

    /// Begins to record `slot` at `at`.
    #[inline]
    fn begin_recording(&mut self, slot: Slot, at: usize) {
        self.texts[slot as usize].clear();
        self.slot = Some(slot);
        self.from = at;
    }

    /// Ends the recording, if any, at `end`.
    #[inline]
    fn end_recording(&mut self, chunk: &[u8], end: usize) {
        if let Some(slot) = self.slot.take() {
            self.texts[slot as usize].append(&chunk[self.from..end], slot.limit());
        }
    }

    /// A key's opening quote is at `at`.
    #[inline]
    fn begin_key(&mut self, at: usize) {
        self.expect = Expect::InKey;
        match self.nesting.depth {
            1 => self.begin_recording(Slot::Key, at),
            // Only the fields of an entry that is an object are at this depth.
            2 => self.begin_recording(Slot::Name, at),
            _ => {}
        }
    }

    /// A key's closing quote ends at `end`.
    #[inline]
    fn end_key(&mut self, chunk: &[u8], end: usize, visitor: &mut impl Visitor) {
        self.expect = Expect::Colon;
        match self.nesting.depth {
            1 => {
                self.end_recording(chunk, end);
                visitor.key(Key(&self.texts[Slot::Key as usize]), self.entry_start);
            }
            2 => {
                self.end_recording(chunk, end);
                self.field = field(&self.texts[Slot::Name as usize]);
            }
            _ => {}
        }
    }

    /// A value begins with `byte`, at `at`.
    #[inline]
    fn begin_value(&mut self, byte: u8, at: usize) -> Result<(), Broken> {
        if self.nesting.depth == 1 {
            self.begin_entry(byte, at);
        } else if let Some(field) = self.field.take() {
            self.begin_recording(field, at);
        }
        self.expect = match byte {
            b'"' => Expect::InString,
            b'{' => {
                self.nesting.push(Container::Object);
                Expect::FirstKey
            }
            b'[' => {
                self.nesting.push(Container::Array);
                Expect::FirstElement
            }
            b'-' => Expect::InNumber(Number::Minus),
            b'0' => Expect::InNumber(Number::Zero),
            b'1'..=b'9' => Expect::InNumber(Number::Whole),
            b't' => Expect::InLiteral(b"rue"),
            b'f' => Expect::InLiteral(b"alse"),
            b'n' => Expect::InLiteral(b"ull"),
            _ => return Err(self.unexpected(at, byte)),
        };
        Ok(())
    }

    /// An entry's value begins with `byte`, at `at`.
    fn begin_entry(&mut self, byte: u8, at: usize) {
        self.kind = match byte {
            b'{' => EntryKind::Object,
            b'[' => EntryKind::Array,
            _ => EntryKind::Scalar,
        };
        match self.kind {
            EntryKind::Object => {
                for slot in [Slot::UpdatedAt, Slot::SessionId, Slot::SessionFile] {
                    self.texts[slot as usize].clear();
                }
            }
            EntryKind::Array => {}
            EntryKind::Scalar => self.begin_recording(Slot::Scalar, at),
        }
    }

    /// A value at any depth ends at `end`.
    #[inline]
    fn end_value(&mut self, chunk: &[u8], end: usize, visitor: &mut impl Visitor) {
        self.expect = Expect::Next;
        match self.nesting.depth {
            1 => {
                self.end_recording(chunk, end);
                let entry = Entry {
                    kind: self.kind,
                    texts: &self.texts,
                };
                visitor.entry(&entry, self.offset + end as u64);
            }
            2 => self.end_recording(chunk, end),
            _ => {}
        }
    }

    /// An object or array ends with the byte at `at`.
    #[inline]
    fn end_container(&mut self, chunk: &[u8], at: usize, visitor: &mut impl Visitor) {
        self.nesting.pop();
        if self.nesting.depth > 0 {
            return self.end_value(chunk, at + 1, visitor);
        }
        self.expect = Expect::End;
        visitor.close(self.offset + at as u64);
    }

    /// Continues in a number from `at` to its end or to `end`. Returns the index after its last byte.
    #[inline]
    fn number(
        &mut self,
        mut number: Number,
        chunk: &[u8],
        at: usize,
        end: usize,
        visitor: &mut impl Visitor,
    ) -> Result<usize, Broken> {
        for (at, byte) in chunk[..end].iter().enumerate().skip(at) {
            match number.then(*byte) {
                Some(next) => number = next,
                None if number.may_end() => {
                    self.end_value(chunk, at, visitor);
                    return Ok(at);
                }
                None => return Err(self.unexpected_byte(at, "a digit", *byte)),
            }
        }
        self.expect = Expect::InNumber(number);
        Ok(end)
    }

    /// Continues in a literal, of which `rest` is missing, from `at` to its end or to `end`. Returns
    /// the index after its last byte.
    #[inline]
    fn literal(
        &mut self,
        mut rest: &'static [u8],
        chunk: &[u8],
        at: usize,
        end: usize,
        visitor: &mut impl Visitor,
    ) -> Result<usize, Broken> {
        for (at, byte) in chunk[..end].iter().enumerate().skip(at) {
            let Some((next, after)) = rest.split_first() else {
                self.end_value(chunk, at, visitor);
                return Ok(at);
            };
            if next != byte {
                return Err(self.unexpected_byte(at, "`true`, `false` or `null`", *byte));
            }
            rest = after;
        }
        self.expect = Expect::InLiteral(rest);
        Ok(end)
    }

    #[cold]
    fn unexpected(&self, at: usize, found: u8) -> Broken {
        let expected = match self.expect {
            // The first byte of a byte order mark in UTF-8.
            Expect::Root if self.offset + at as u64 == 0 && found == 0xef => {
                return self.broken(at, "expected an object, found a byte order mark");
            }
            Expect::Root => "an object",
            Expect::FirstKey => "a key in double quotes or `}`",
            Expect::Key => "a key in double quotes",
            Expect::Colon => "`:`",
            Expect::FirstElement => "a value or `]`",
            Expect::Next if self.nesting.in_object => "`,` or `}`",
            Expect::Next => "`,` or `]`",
            Expect::End => "nothing after the object",
            _ => "a value",
        };
        self.unexpected_byte(at, expected, found)
    }

    #[cold]
    fn unexpected_byte(&self, at: usize, expected: &str, found: u8) -> Broken {
        let found = match found {
            0x21..0x7f => format!("`{}`", char::from(found)),
            b' ' => "a space".to_owned(),
            _ => format!("the byte 0x{found:02x}"),
        };
        self.broken(at, &format!("expected {expected}, found {found}"))
    }

    #[cold]
    fn broken(&self, at: usize, reason: &str) -> Broken {
        Broken {
            offset: self.offset + at as u64,
            reason: reason.to_owned(),
        }
    }
}

/// Scans a chunk. Compiled twice: for every processor of the target, and for those with the instructions
/// named here, which is chosen at run time.
#[multiversion::multiversion(targets("x86_64+avx2+bmi1+bmi2"))]
fn scan<V: Visitor>(scanner: &mut Scanner, chunk: &[u8], visitor: &mut V) -> Result<(), Broken> {
    scanner.scan(chunk, visitor)
}

const CONTROL: &str = "a control character in a string must be escaped";

/// Returns the slot for the value of the field called `name`, if that value is to be recorded.
#[inline]
fn field(name: &RawText) -> Option<Slot> {
    let slot = |quoted: &[u8]| match quoted {
        b"\"updatedAt\"" => Some(Slot::UpdatedAt),
        b"\"sessionId\"" => Some(Slot::SessionId),
        b"\"sessionFile\"" => Some(Slot::SessionFile),
        _ => None,
    };
    let raw = name.complete()?;
    // Measured: decoding every name makes a survey of many small entries 14 % slower.
    if !raw.contains(&b'\\') {
        return slot(raw);
    }
    slot(format!("\"{}\"", js::text(raw)?).as_bytes())
}

impl Number {
    /// Returns the state after one more byte; `None` if the byte does not continue the number.
    #[inline]
    fn then(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Whole, b'0'..=b'9') | (Self::Minus, b'1'..=b'9') => Some(Self::Whole),
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::E),
            (Self::E, b'+' | b'-') => Some(Self::Sign),
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Some(Self::Exponent),
            _ => None,
        }
    }

    #[inline]
    fn may_end(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Whole | Self::Fraction | Self::Exponent
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// The open objects and arrays.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    /// Whether the innermost one is an object.
    in_object: bool,
    /// One bit per depth: 1 for an object.
    objects: Vec<u64>,
}

impl Nesting {
    #[inline]
    fn push(&mut self, container: Container) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.objects.len() {
            self.objects.push(0);
        }
        self.in_object = container == Container::Object;
        let cleared = self.objects[word] & !(1 << bit);
        self.objects[word] = cleared | u64::from(self.in_object) << bit;
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        let Some(outer) = self.depth.checked_sub(1) else {
            return;
        };
        self.in_object = self.objects[outer / 64] >> (outer % 64) & 1 == 1;
    }
}
