//! The state machine: what may come next, at which depth, and what is being remembered.

#![allow(
    clippy::inline_always,
    reason = "measured: it keeps the block in registers"
)]

use std::ops::Range;

use super::block::{self, Marks};
use super::{Broken, Entry, Key, Kind, SLOTS, Slot, Text, Visitor};
use crate::gateway::js;

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Root,
    FirstKey,
    Key,
    Colon,
    FirstElement,
    Value,
    /// A comma or the end of the object or array.
    Next,
    /// Nothing but white space.
    End,
    InKey,
    InString,
    InNumber(Number),
    /// What is left of `true`, `false` or `null`.
    InLiteral(&'static [u8]),
}

/// How far a number has come. It may end after `Zero`, `Whole`, `Fraction` and `Exponent`.
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

/// Reads a store chunk by chunk. See the [module](super).
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
    /// Of the current chunk, from the start of the file.
    offset: u64,
    expect: Expect,
    nesting: Nesting,
    /// 1: the next byte is escaped, as the last one was a backslash.
    escape: u64,
    /// How many hexadecimal digits of a `\u` are still to come.
    digits: usize,
    texts: [Text; SLOTS],
    /// What is being remembered, and from where in the current chunk.
    slot: Option<Slot>,
    from: usize,
    /// The field whose value comes next.
    field: Option<Slot>,
    kind: Kind,
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
            kind: Kind::Scalar,
            entry_start: 0,
        }
    }
}

impl Scanner {
    /// Reads the next chunk of the file, and reports to `visitor` what was complete with it.
    ///
    /// # Errors
    /// The chunk holds a byte that does not fit. The scanner is of no use after that.
    pub fn push(&mut self, chunk: &[u8], visitor: &mut impl Visitor) -> Result<(), Broken> {
        let (blocks, tail) = chunk.as_chunks::<64>();
        let mut escape = self.escape;
        let mut done = 0;
        loop {
            // Most blocks are the middle of a long string, and this is all there is to do.
            let is_in_string = self.is_plainly_in_string();
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

    #[inline(always)]
    fn is_plainly_in_string(&self) -> bool {
        matches!(self.expect, Expect::InString | Expect::InKey) && self.digits == 0
    }

    /// Says that the last chunk was the file's last.
    ///
    /// # Errors
    /// The file ends too early.
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

    /// One block, or the part of it that the chunk has: `chunk[range]`.
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

    /// Reads on in a string, from `at` to its end or the block's; returns where it came to.
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
        // All bits below the closing quote, or all.
        let inside = ahead & (close & close.wrapping_neg()).wrapping_sub(1);
        if (marks.odd_escapes | marks.controls) & inside != 0 || self.digits != 0 {
            self.check_string(marks, &chunk[start..end], start, inside)?;
        }
        if close == 0 {
            return Ok(end);
        }
        let end = start + close.trailing_zeros() as usize + 1;
        if self.expect == Expect::InKey {
            self.key_read(chunk, end, visitor);
        } else {
            self.value_read(chunk, end, visitor);
        }
        Ok(end)
    }

    /// Looks for control characters `inside` a string, and for escapes that are none. `block` is
    /// what the chunk has from `start` on.
    fn check_string(
        &mut self,
        marks: &Marks,
        block: &[u8],
        start: usize,
        inside: u64,
    ) -> Result<(), Broken> {
        // A `\u` of the block before goes on here.
        self.hexadecimal(block, start, 0)?;
        // What lies beyond the chunk's end is padding.
        let inside = inside & u64::MAX >> (64 - block.len());
        let mut suspects = (marks.odd_escapes | marks.controls) & inside;
        while suspects != 0 {
            let at = suspects.trailing_zeros() as usize;
            suspects &= suspects - 1;
            match block[at] {
                // An escaped control character is one, too.
                0..0x20 => return Err(self.broken(start + at, CONTROL)),
                b'/' | b'b' | b'f' | b'r' | b't' => {}
                b'u' => {
                    self.digits = 4;
                    self.hexadecimal(block, start, at + 1)?;
                }
                other => {
                    return Err(self.misfit(start + at, "a character that can be escaped", other));
                }
            }
        }
        Ok(())
    }

    /// Checks as many digits of a `\u` as the block has from `at` on.
    fn hexadecimal(&mut self, block: &[u8], start: usize, at: usize) -> Result<(), Broken> {
        for (at, byte) in block.iter().enumerate().skip(at).take(self.digits) {
            if !byte.is_ascii_hexdigit() {
                return Err(self.misfit(start + at, "four hexadecimal digits", *byte));
            }
            self.digits -= 1;
        }
        Ok(())
    }

    /// Reads what is no string, from `at` to the next string or to `end`; returns where it came to.
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

    /// The byte `at` begins a key or a value, or is punctuation.
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

    /// Remembers what stands from `at` on.
    #[inline]
    fn remember(&mut self, slot: Slot, at: usize) {
        self.texts[slot as usize].clear();
        self.slot = Some(slot);
        self.from = at;
    }

    /// What is remembered ends at `end`.
    #[inline]
    fn remembered(&mut self, chunk: &[u8], end: usize) {
        if let Some(slot) = self.slot.take() {
            self.texts[slot as usize].append(&chunk[self.from..end], slot.limit());
        }
    }

    #[inline]
    fn begin_key(&mut self, at: usize) {
        self.expect = Expect::InKey;
        match self.nesting.depth {
            1 => self.remember(Slot::Key, at),
            // Only an entry that is an object has keys at this depth.
            2 => self.remember(Slot::Name, at),
            _ => {}
        }
    }

    /// A key's closing quote ends at `end`.
    #[inline]
    fn key_read(&mut self, chunk: &[u8], end: usize, visitor: &mut impl Visitor) {
        self.expect = Expect::Colon;
        match self.nesting.depth {
            1 => {
                self.remembered(chunk, end);
                visitor.key(Key(&self.texts[Slot::Key as usize]), self.entry_start);
            }
            2 => {
                self.remembered(chunk, end);
                self.field = field(&self.texts[Slot::Name as usize]);
            }
            _ => {}
        }
    }

    #[inline]
    fn begin_value(&mut self, byte: u8, at: usize) -> Result<(), Broken> {
        if self.nesting.depth == 1 {
            self.begin_entry(byte, at);
        } else if let Some(field) = self.field.take() {
            self.remember(field, at);
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

    fn begin_entry(&mut self, byte: u8, at: usize) {
        self.kind = match byte {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            _ => Kind::Scalar,
        };
        match self.kind {
            Kind::Object => {
                for slot in [Slot::UpdatedAt, Slot::SessionId, Slot::SessionFile] {
                    self.texts[slot as usize].clear();
                }
            }
            Kind::Array => {}
            Kind::Scalar => self.remember(Slot::Scalar, at),
        }
    }

    /// A value ends at `end`: a field's, an entry's or one further down.
    #[inline]
    fn value_read(&mut self, chunk: &[u8], end: usize, visitor: &mut impl Visitor) {
        self.expect = Expect::Next;
        match self.nesting.depth {
            1 => {
                self.remembered(chunk, end);
                let entry = Entry {
                    kind: self.kind,
                    texts: &self.texts,
                };
                visitor.entry(&entry, self.offset + end as u64);
            }
            2 => self.remembered(chunk, end),
            _ => {}
        }
    }

    /// An object or array ends with the byte `at`.
    #[inline]
    fn end_container(&mut self, chunk: &[u8], at: usize, visitor: &mut impl Visitor) {
        self.nesting.pop();
        if self.nesting.depth > 0 {
            return self.value_read(chunk, at + 1, visitor);
        }
        self.expect = Expect::End;
        visitor.close(self.offset + at as u64);
    }

    /// Reads on in a number, from `at` to its end or to `end`; returns where it came to.
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
                    self.value_read(chunk, at, visitor);
                    return Ok(at);
                }
                None => return Err(self.misfit(at, "a digit", *byte)),
            }
        }
        self.expect = Expect::InNumber(number);
        Ok(end)
    }

    /// The same for what is `rest` of a literal.
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
                self.value_read(chunk, at, visitor);
                return Ok(at);
            };
            if next != byte {
                return Err(self.misfit(at, "`true`, `false` or `null`", *byte));
            }
            rest = after;
        }
        self.expect = Expect::InLiteral(rest);
        Ok(end)
    }

    #[cold]
    fn unexpected(&self, at: usize, found: u8) -> Broken {
        let expected = match self.expect {
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
        self.misfit(at, expected, found)
    }

    #[cold]
    fn misfit(&self, at: usize, expected: &str, found: u8) -> Broken {
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

const CONTROL: &str = "a control character in a string must be escaped";

/// Which of the three fields that matter this is the name of.
#[inline]
fn field(name: &Text) -> Option<Slot> {
    let slot = |plain: &[u8]| match plain {
        b"\"updatedAt\"" => Some(Slot::UpdatedAt),
        b"\"sessionId\"" => Some(Slot::SessionId),
        b"\"sessionFile\"" => Some(Slot::SessionFile),
        _ => None,
    };
    if !name.bytes.contains(&b'\\') {
        return slot(&name.bytes);
    }
    slot(format!("\"{}\"", js::text(name.raw()?)?).as_bytes())
}

impl Number {
    /// How far it has come with one more byte; `None` if that is none of a number's here.
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

/// Which of the open brackets are objects', one bit for each.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    /// Is the innermost one an object?
    in_object: bool,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that a scanner says.
    #[derive(Debug, Default, PartialEq)]
    struct Story(Vec<String>);

    impl Visitor for Story {
        fn open(&mut self, end: u64) {
            self.0.push(format!("open {end}"));
        }

        fn key(&mut self, key: Key<'_>, start: u64) {
            self.0.push(format!("key {start} {key:?}"));
        }

        fn entry(&mut self, entry: &Entry<'_>, end: u64) {
            let (id, file) = (entry.session_id(), entry.session_file());
            let at = entry.updated_at();
            self.0.push(format!("entry {end} {at:?} {id:?} {file:?}"));
        }

        fn close(&mut self, start: u64) {
            self.0.push(format!("close {start}"));
        }
    }

    fn story<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Story, Result<(), Broken>) {
        let (mut story, mut scanner) = (Story::default(), Scanner::default());
        for chunk in chunks {
            if let Err(broken) = scanner.push(chunk, &mut story) {
                return (story, Err(broken));
            }
        }
        (story, scanner.finish())
    }

    fn assert_it_can_be_cut_anywhere(text: &[u8]) {
        let whole = story([text].into_iter());
        for at in 0..=text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(story([head, tail].into_iter()), whole, "cut at {at}");
        }
        for size in 1..=text.len().min(130) {
            assert_eq!(story(text.chunks(size)), whole, "chunks of {size}");
        }
    }

    #[test]
    fn a_store_can_be_cut_anywhere() {
        let long = r#"\\\"\n\u00e9\ud83d\ude00\/\b\f\r\t \\"#.repeat(9);
        let text = format!(
            "\r\n {{\t\"agent:main:cron:j:run:\\u00e9é😀\" : {{\"updatedAt\":-12.5e+7 ,\
             \"session\\u0049d\":\"{long}\",\"sessionFile\":\"a\\\"b\",\"n\":{{\"updatedAt\":1,\
             \"x\":[[],{{}},[{{\"y\":[true,false,null]}}],\"]}}\",0,-0,1E5]}}}},\n\n\
             \"{long}\":null,\"a\":[],\"b\":\"\",\"c\":0.0,\"d\":{{\"sessionId\":[1,\"2\"],\
             \"sessionId\":\"last\",\"updatedAt\":[ [5] ]}} , \"\": true}} \r\n\t"
        );
        assert_it_can_be_cut_anywhere(text.as_bytes());
        let (story, result) = story([text.as_bytes()].into_iter());
        assert_eq!((story.0.len(), result), (2 + 2 * 7, Ok(())));
        assert!(
            story.0[2].contains(r"Some(-125000000.0)") && story.0[2].contains("Some(\"a\\\"b\")")
        );
        assert!(
            story.0[12].contains(r#"Some(5.0) Text("last")"#),
            "{}",
            story.0[12]
        );
    }

    #[test]
    fn bytes_that_are_no_utf8_can_be_cut_anywhere() {
        assert_it_can_be_cut_anywhere(
            b"{\"\xff\xc3\":{\"sessionId\":\"\xe2\x82\\n\xf0\x9f\x98\"}}",
        );
    }

    #[test]
    fn a_broken_store_can_be_cut_anywhere() {
        for text in [
            &b"{\"a\":\"\\u00eg\"}"[..],
            b"{\"a\":nulL}",
            b"{\"a\":1.5e}",
            b"{\"a\":\"\\\\\\q\"}",
            b"{\"a\":[1,2}",
            b"{\"a\":1}}",
        ] {
            assert!(story([text].into_iter()).1.is_err());
            assert_it_can_be_cut_anywhere(text);
        }
    }

    /// Bytes that are JSON more often than not.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        let token = proptest::sample::select(vec![
            &b"{"[..],
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"a\"",
            b"\"updatedAt\"",
            b"1",
            b"-0.5e3",
            b"null",
            b" ",
            b"\n",
            b"\"\\\\\\\"\\u0041\xff\"",
            b"\"a\":1",
            b"{\"b\":[]}",
            b"\"k\":{},",
            b"\\",
            b"\"",
        ]);
        proptest::collection::vec(token, 0..24)
            .prop_map(|tokens| [b"{", &*tokens.concat()].concat())
    }

    proptest! {
        #[test]
        fn what_serde_json_accepts_is_accepted_and_nothing_else(
            mut text in nearly_json(),
            closed in any::<bool>(),
        ) {
            if closed {
                text.push(b'}');
            }
            let (_, result) = story([&*text].into_iter());
            let serde_json = serde_json::from_slice::<serde::de::IgnoredAny>(&text);
            prop_assert_eq!(result.is_ok(), serde_json.is_ok(), "{:?}", result);
            prop_assert_eq!(story(text.chunks(1)), story([&*text].into_iter()));
        }
    }

    #[test]
    fn no_depth_is_too_deep() {
        let text = [
            "{\"a\":".repeat(300_000),
            "1".to_owned(),
            "}".repeat(300_000),
        ]
        .concat();
        assert_eq!(story(text.as_bytes().chunks(4096)).1, Ok(()));
        let unbalanced = text.replace('1', "[1");
        let (_, result) = story(unbalanced.as_bytes().chunks(4096));
        assert_eq!(result.unwrap_err().reason, "expected `,` or `]`, found `}`");
    }
}
