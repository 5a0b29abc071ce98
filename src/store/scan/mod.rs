//! Reads a store's JSON in one pass, strictly, in constant memory, at about the speed of reading
//! the file.
//!
//! [`Scanner`] takes the store in chunks that may end anywhere, in the middle of an escape or of a
//! character too, and never looks back. It accepts what JavaScript's `JSON.parse` accepts of the
//! file's text, as long as the root is an object, and beyond that any depth and any size. Of what
//! it reads it reports the little that a sweep decides by: the [`Entry`]s of the root object, and
//! of each its `updatedAt`, `sessionId` and `sessionFile`.
//!
//! A store is nearly all strings. So a chunk is looked at in blocks of 64 bytes, of which a few
//! vector instructions tell where the quotes and backslashes are, one bit for each byte, and a
//! string costs a few steps a block. What stands between the strings is read byte by byte.

use std::borrow::Cow;
use std::path::Path;

use crate::abort::Abort;
use crate::error::{Context, Error, Result};
use crate::gateway::{js, session_key};
use crate::system::System;

mod block;
mod scanner;
pub use scanner::Scanner;

/// How much of a value is remembered, in bytes. A longer `sessionId` or `sessionFile` names
/// nothing, and a longer `updatedAt` is no number.
pub const LONGEST_VALUE: usize = 64 << 10;

/// How much of a key is remembered, in bytes. An entry with a longer key is no run.
pub const LONGEST_KEY: usize = 1 << 20;

/// No name of a field is longer, in bytes, even with every letter of it escaped.
const LONGEST_NAME: usize = 128;

/// What a [`Scanner`] reports, in the order of the file. Offsets are bytes from its start.
pub trait Visitor {
    /// The root object begins; its `{` ends at `end`.
    fn open(&mut self, end: u64) {
        let _ = end;
    }

    /// An entry's key was read. `start` is the end of the comma before it, or of the `{`.
    fn key(&mut self, key: Key<'_>, start: u64) {
        let _ = (key, start);
    }

    /// An entry was read; its value ends at `end`.
    fn entry(&mut self, entry: &Entry<'_>, end: u64);

    /// The root object ends; its `}` stands at `start`.
    fn close(&mut self, start: u64) {
        let _ = start;
    }
}

/// Costs two indirect calls for each entry. In return, all passes that can bear that share one
/// scanner.
impl Visitor for &mut dyn Visitor {
    fn open(&mut self, end: u64) {
        (**self).open(end);
    }

    fn key(&mut self, key: Key<'_>, start: u64) {
        (**self).key(key, start);
    }

    fn entry(&mut self, entry: &Entry<'_>, end: u64) {
        (**self).entry(entry, end);
    }

    fn close(&mut self, start: u64) {
        (**self).close(start);
    }
}

/// Why a store is no store: the first byte that does not fit, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Bytes from the start of the file; its size when it ends too early.
    pub offset: u64,
    /// What was expected there, and what was found.
    pub reason: String,
}

/// An entry's key.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a>(&'a Text);

impl<'a> Key<'a> {
    /// Is it the key of a cron job's run?
    #[must_use]
    pub fn is_run(self) -> bool {
        self.text()
            .is_some_and(|key| session_key::is_cron_run(&key))
    }

    /// The key as text: lone surrogates are replaced. `None` where it is too long to be remembered.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        js::text(self.0.raw()?)
    }

    /// The key exactly as JavaScript compares it. `None` where it is too long to be remembered.
    pub(crate) fn wtf8(self) -> Option<Vec<u8>> {
        js::wtf8(self.0.raw()?)
    }
}

/// An entry of the store, as far as a sweep has to know it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    kind: Kind,
    texts: &'a [Text; SLOTS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Scalar,
}

impl Entry<'_> {
    /// The entry's key.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        Key(&self.texts[Slot::Key as usize])
    }

    /// Is it an object, as every entry should be?
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.kind == Kind::Object
    }

    /// When the session was last used, in milliseconds since 1970, read as JavaScript's `<` would
    /// read it: NaN where that makes no number of it, 0 where there is none. `None`: the entry is
    /// `null`, `0`, `""` or `false`, which the gateway leaves alone.
    ///
    /// The rule is the gateway's.
    #[must_use]
    pub fn updated_at(&self) -> Option<f64> {
        match self.kind {
            Kind::Object => {}
            Kind::Array => return Some(0.0),
            Kind::Scalar => {
                // A long one may be cut short here: what is left of a string is still something,
                // and what is left of a number is 0 more often than the number: it stays.
                let scalar = &self.texts[Slot::Scalar as usize].bytes;
                return (!js::is_falsy(scalar)).then_some(0.0);
            }
        }
        let text = &self.texts[Slot::UpdatedAt as usize];
        if text.bytes.is_empty() {
            return Some(0.0);
        }
        Some(text.raw().map_or(f64::NAN, js::to_number))
    }

    /// The entry's `sessionId`.
    #[must_use]
    pub fn session_id(&self) -> SessionId<'_> {
        let text = &self.texts[Slot::SessionId as usize];
        if self.kind != Kind::Object || text.bytes.is_empty() {
            return SessionId::Missing;
        }
        let Some(raw) = text.raw() else {
            return SessionId::Compound;
        };
        match raw[0] {
            b'"' => js::text(raw).map_or(SessionId::Compound, SessionId::Text),
            b'n' => SessionId::Null,
            b't' => SessionId::Boolean(true),
            b'f' => SessionId::Boolean(false),
            b'{' | b'[' => SessionId::Compound,
            // Adding 0 makes -0 and 0 the same number, as they are in JavaScript.
            _ => SessionId::Number((js::to_number(raw) + 0.0).to_bits()),
        }
    }

    /// The entry's `sessionFile`: `None` where JavaScript takes it for false, and empty where it
    /// is something that names no file, a number say. The gateway tells the two apart.
    #[must_use]
    pub fn session_file(&self) -> Option<Cow<'_, str>> {
        let text = &self.texts[Slot::SessionFile as usize];
        if self.kind != Kind::Object || text.bytes.is_empty() {
            return None;
        }
        match text.raw() {
            Some(raw) if js::is_falsy(raw) => None,
            Some(raw) => Some(js::text(raw).unwrap_or_default()),
            None => Some(Cow::default()),
        }
    }
}

/// A `sessionId`, told from others as the keys of a JavaScript `Map` are. The gateway writes
/// strings only, but treats whatever else stands there in this way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionId<'a> {
    /// There is none.
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as the bits of a double.
    Number(u64),
    /// A string.
    Text(Cow<'a, str>),
    /// An object or an array, which is like no other; and a value too long to be remembered.
    Compound,
}

impl SessionId<'_> {
    /// The id that names a transcript, if it is a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same, independent of what was read.
    #[must_use]
    pub fn into_owned(self) -> SessionId<'static> {
        match self {
            Self::Missing => SessionId::Missing,
            Self::Null => SessionId::Null,
            Self::Boolean(value) => SessionId::Boolean(value),
            Self::Number(bits) => SessionId::Number(bits),
            Self::Text(text) => SessionId::Text(Cow::Owned(text.into_owned())),
            Self::Compound => SessionId::Compound,
        }
    }
}

/// A piece of the file that is remembered as it stands there.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Text {
    /// All of it, or nothing if it was too long.
    fn raw(&self) -> Option<&[u8]> {
        (!self.is_cut).then_some(&self.bytes)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.is_cut = false;
    }

    fn append(&mut self, bytes: &[u8], limit: usize) {
        let room = limit - self.bytes.len();
        self.is_cut |= bytes.len() > room;
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Key,
    Name,
    UpdatedAt,
    SessionId,
    SessionFile,
    Scalar,
}

const SLOTS: usize = 6;

impl Slot {
    fn limit(self) -> usize {
        match self {
            Self::Key => LONGEST_KEY,
            Self::Name => LONGEST_NAME,
            _ => LONGEST_VALUE,
        }
    }
}

/// How much of a store is read at a time, in bytes: large enough that calls cost nothing, small
/// enough to stay in the cache.
pub const READ_AT_ONCE: usize = 512 * 1024;

/// What reads of a file fill: some bytes that begin where a page does.
///
/// Measured on a Zen 3: the kernel copies four times more slowly to an address that lies a few bytes
/// behind a page's start, which is where an allocator puts what it takes pages for.
///
/// ```
/// use cron_session_reaper::store::scan::Buffer;
///
/// let mut buffer = Buffer::new(64 << 10);
/// assert_eq!(buffer.bytes().len(), 64 << 10);
/// ```
#[derive(Debug)]
pub struct Buffer {
    size: usize,
    /// Empty until it is needed.
    memory: Vec<u8>,
}

impl Buffer {
    /// A buffer of `size` bytes, which takes no memory until it is used.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            memory: Vec::new(),
        }
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.memory.resize(self.size + PAGE, 0);
        let start = self.memory.as_ptr().align_offset(PAGE).min(PAGE);
        &mut self.memory[start..start + self.size]
    }
}

/// Bytes, on all common machines; where pages are larger, this is as good.
pub(super) const PAGE: usize = 4096;

/// A store that is open for reading.
#[derive(Debug)]
pub struct Source<'a, S: System> {
    /// What it is read with.
    pub system: &'a S,
    /// The file.
    pub file: &'a S::File,
    /// Where it is, for errors.
    pub path: &'a Path,
    /// Whether to go on: asked before each read of a pass.
    pub abort: &'a Abort,
}

// Not derived: a system need not be `Clone` for that.
impl<S: System> Clone for Source<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: System> Copy for Source<'_, S> {}

/// Scans a store from its start.
pub(crate) struct Reading<'a, S: System> {
    source: Source<'a, S>,
    /// What one read may fill.
    buffer: &'a mut [u8],
    scanner: Scanner,
    offset: u64,
}

/// A part of the file that was just read.
pub(crate) struct Chunk<'a> {
    /// Where it begins, in bytes from the file's start.
    pub(crate) offset: u64,
    pub(crate) bytes: &'a mut [u8],
}

impl Chunk<'_> {
    /// Where it ends, in bytes from the file's start.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Where in the chunk something is; 0 if that is before it.
    pub(crate) fn index(&self, offset: u64) -> usize {
        usize::try_from(offset.saturating_sub(self.offset)).expect("a chunk is in memory")
    }
}

impl<'a, S: System> Reading<'a, S> {
    pub(crate) fn new(source: Source<'a, S>, buffer: &'a mut [u8]) -> Self {
        debug_assert!(!buffer.is_empty(), "this would read as an empty file");
        Self {
            source,
            buffer,
            scanner: Scanner::default(),
            offset: 0,
        }
    }

    /// Reads on and tells `visitor`; `None` at the file's end, if that is where it may end.
    pub(crate) fn next(&mut self, visitor: &mut impl Visitor) -> Result<Option<Chunk<'_>>> {
        let (source, offset) = (self.source, self.offset);
        source.abort.check()?;
        let read = source
            .system
            .read_at(source.file, self.buffer, offset)
            .context("read", source.path)?;
        let bytes = &mut self.buffer[..read];
        let scanned = if read == 0 {
            self.scanner.finish()
        } else {
            self.scanner.push(bytes, visitor)
        };
        scanned.map_err(|broken| json_error(source, broken))?;
        self.offset += read as u64;
        Ok((read > 0).then_some(Chunk { offset, bytes }))
    }
}

/// The error for a store that is no JSON object. Lines are counted only now, by reading it again.
pub(super) fn json_error<S: System>(source: Source<'_, S>, broken: Broken) -> Error {
    let (mut line, mut line_start, mut offset) = (1, 0, 0);
    let mut buffer = [0; 4096];
    // Should it fail here or be shorter by now, then the line is that of the last byte there is.
    while offset < broken.offset
        && let Ok(read @ 1..) = source.system.read_at(source.file, &mut buffer, offset)
    {
        let wanted = usize::try_from(broken.offset - offset).unwrap_or(usize::MAX);
        for byte in &buffer[..read.min(wanted)] {
            offset += 1;
            if *byte == b'\n' {
                line += 1;
                line_start = offset;
            }
        }
    }
    Error::Json {
        path: source.path.to_owned(),
        line,
        column: broken.offset - line_start + 1,
        reason: broken.reason,
    }
}
