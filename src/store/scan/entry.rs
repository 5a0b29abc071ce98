//! The recorded parts of an entry and how the gateway interprets them.

use std::borrow::Cow;

use crate::gateway::js;
use crate::gateway::session_key::RunKeys;

/// The number of bytes that are recorded of a value. A longer `sessionId` or `sessionFile` names no
/// file, and a longer `updatedAt` is not a number.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// The number of bytes that are recorded of a key. An entry with a longer key is not a run.
const MAX_KEY_BYTES: usize = 1 << 20;

/// The number of bytes that are recorded of a field's name: enough for each of the three names with
/// every letter escaped.
const MAX_NAME_BYTES: usize = 128;

/// An entry's key.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a>(pub(super) &'a RawText);

impl<'a> Key<'a> {
    /// Returns whether this is the key of a cron job's run.
    #[must_use]
    pub fn is_run(self, keys: RunKeys) -> bool {
        self.text().is_some_and(|key| keys.contains(&key))
    }

    /// Returns the key's recorded text: the JSON string in the file, byte for byte.
    pub(crate) fn json(self) -> &'a [u8] {
        self.0.beginning()
    }

    /// Returns the key as text, with each lone surrogate replaced by U+FFFD; `None` if the key is
    /// too long to be recorded.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        js::text(self.0.complete()?)
    }

    /// Returns the key as [WTF-8](js::wtf8), which is equal for two keys if JavaScript considers them
    /// equal; `None` if the key is too long to be recorded.
    pub(crate) fn wtf8(self) -> Option<Vec<u8>> {
        js::wtf8(self.0.complete()?)
    }
}

/// An entry of the store, as far as a sweep needs it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub(super) kind: EntryKind,
    pub(super) texts: &'a [RawText; SLOTS],
}

/// The JSON type of an entry's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Object,
    Array,
    Scalar,
}

impl Entry<'_> {
    /// Returns the entry's key.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        Key(&self.texts[Slot::Key as usize])
    }

    /// Returns whether the entry is an object, as the gateway writes it.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.kind == EntryKind::Object
    }

    /// Returns the time of the session's last update, in milliseconds since 1970.
    ///
    /// This is the number that JavaScript's `<` makes of `updatedAt`: NaN if the value is not a
    /// number, 0 if the field is missing. `None` means that the entry is `null`, `0`, `""` or
    /// `false`, which the gateway never removes.
    #[must_use]
    pub fn updated_at(&self) -> Option<f64> {
        match self.kind {
            EntryKind::Object => {}
            EntryKind::Array => return Some(0.0),
            EntryKind::Scalar => {
                // Only the beginning of a long scalar is recorded. The beginning of a string is not
                // empty either. The beginning of a number may be 0 although the number is not; then
                // the entry is kept.
                let scalar = self.texts[Slot::Scalar as usize].beginning();
                return (!js::is_falsy(scalar)).then_some(0.0);
            }
        }
        let text = &self.texts[Slot::UpdatedAt as usize];
        if text.is_empty() {
            return Some(0.0);
        }
        Some(text.complete().map_or(f64::NAN, js::to_number))
    }

    /// Returns the entry's `sessionId`.
    #[must_use]
    pub fn session_id(&self) -> SessionId<'_> {
        let text = &self.texts[Slot::SessionId as usize];
        if self.kind != EntryKind::Object || text.is_empty() {
            return SessionId::Missing;
        }
        let Some(raw) = text.complete() else {
            return SessionId::Compound;
        };
        match raw[0] {
            b'"' => js::text(raw).map_or(SessionId::Compound, SessionId::Text),
            b'n' => SessionId::Null,
            b't' => SessionId::Boolean(true),
            b'f' => SessionId::Boolean(false),
            b'{' | b'[' => SessionId::Compound,
            // Adding 0 turns -0 into 0, which JavaScript treats as equal.
            _ => SessionId::Number((js::to_number(raw) + 0.0).to_bits()),
        }
    }

    /// Returns the entry's `sessionFile`: `None` if the value is falsy in JavaScript, and an empty
    /// text if it is another value that is not a string. The gateway distinguishes these cases.
    #[must_use]
    pub fn session_file(&self) -> Option<Cow<'_, str>> {
        let text = &self.texts[Slot::SessionFile as usize];
        if self.kind != EntryKind::Object || text.is_empty() {
            return None;
        }
        match text.complete() {
            Some(raw) if js::is_falsy(raw) => None,
            Some(raw) => Some(js::text(raw).unwrap_or_default()),
            None => Some(Cow::default()),
        }
    }
}

/// A `sessionId`, compared as the keys of a JavaScript `Map` are. The gateway writes only strings,
/// but accepts every value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionId<'a> {
    /// The field is missing.
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as the bits of a double.
    Number(u64),
    /// A string.
    Text(Cow<'a, str>),
    /// An object or an array, which equals no other id in JavaScript, or a value that is too long to
    /// be recorded.
    Compound,
}

impl SessionId<'_> {
    /// Returns the id if it is a string. Only such an id names a transcript.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the id without a reference to the scanned text.
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

/// A part of the file, recorded byte for byte up to a limit.
#[derive(Debug, Default)]
pub(super) struct RawText {
    bytes: Vec<u8>,
    is_truncated: bool,
}

impl RawText {
    /// Returns the whole text; `None` if it is too long to be recorded.
    pub(super) fn complete(&self) -> Option<&[u8]> {
        (!self.is_truncated).then_some(&self.bytes)
    }

    /// Returns the recorded beginning of the text.
    pub(super) fn beginning(&self) -> &[u8] {
        &self.bytes
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.is_truncated = false;
    }

    /// Appends `bytes` until `limit` bytes are recorded.
    pub(super) fn append(&mut self, bytes: &[u8], limit: usize) {
        let free = limit - self.bytes.len();
        self.is_truncated |= bytes.len() > free;
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(free)]);
    }
}

/// The parts of an entry that are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The entry's key.
    Key,
    /// The name of the current field of an entry.
    Name,
    UpdatedAt,
    SessionId,
    SessionFile,
    /// An entry's value that is neither an object nor an array.
    Scalar,
}

pub(super) const SLOTS: usize = 6;

impl Slot {
    /// Returns the number of bytes that are recorded.
    pub(super) fn limit(self) -> usize {
        match self {
            Self::Key => MAX_KEY_BYTES,
            Self::Name => MAX_NAME_BYTES,
            _ => MAX_VALUE_BYTES,
        }
    }
}
