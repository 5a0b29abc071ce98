//! JavaScript's strings and white space.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, Visitor};

/// Removes white space at both ends: `String.prototype.trim`.
///
/// Differs from [`str::trim`] in two characters: JavaScript considers the byte order mark white
/// space, but not U+0085.
#[must_use]
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}'))
}

/// Returns the value of a JSON string, borrowed if it contains no escapes; `None` if the value is not
/// a string.
///
/// Invalid UTF-8 and lone surrogates become U+FFFD, as they do when Node.js uses the string in a
/// path.
#[must_use]
pub(crate) fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    if json.contains(&b'\\') {
        let mut bytes = wtf8(json)?;
        replace_lone_surrogates(&mut bytes);
        return String::from_utf8(bytes).ok().map(Cow::Owned);
    }
    let body = json.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(String::from_utf8_lossy(body))
}

/// Returns the value of a JSON string as WTF-8: UTF-8 in which a lone surrogate is encoded as three
/// bytes. `None` if the value is not a string.
///
/// Two strings are equal in JavaScript if and only if their WTF-8 is equal. The results of [`text`]
/// are also equal for different lone surrogates. Invalid UTF-8 becomes U+FFFD here too, because the
/// gateway decodes the file before it parses it.
#[must_use]
pub(crate) fn wtf8(json: &[u8]) -> Option<Vec<u8>> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_owned())
        }
    }
    // `serde_json` would pass invalid UTF-8 through.
    let json = String::from_utf8_lossy(json);
    let mut deserializer = serde_json::Deserializer::from_str(&json);
    let bytes = deserializer.deserialize_bytes(Bytes).ok()?;
    deserializer.end().ok()?;
    Some(bytes)
}

/// Replaces each lone surrogate by U+FFFD, which has the same length in UTF-8.
fn replace_lone_surrogates(wtf8: &mut [u8]) {
    for at in 1..wtf8.len() {
        if wtf8[at - 1] == 0xed && wtf8[at] >= 0xa0 {
            wtf8[at - 1..at + 2].copy_from_slice("\u{fffd}".as_bytes());
        }
    }
}
