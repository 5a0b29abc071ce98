//! A simple reader of stores with `serde_json`, to compare with.

use cron_session_reaper::gateway::js;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Splits an input into a store and the size of the read buffer, which is the last byte (0: the size
/// of the store).
pub fn input(data: &[u8]) -> Option<(&[u8], usize)> {
    let (size, text) = data.split_last()?;
    let whole = text.len().max(1);
    Some((
        text,
        if *size == 0 {
            whole
        } else {
            usize::from(*size)
        },
    ))
}

/// Returns whether JavaScript accepts the store, apart from its limits for depth and numbers.
pub fn is_valid(text: &[u8]) -> bool {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    text.iter().find(|byte| !is_space(byte)) == Some(&b'{')
        && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Returns all entries in the order of the file, including those with duplicate keys. `None` if
/// `serde_json` rejects the store: at lone surrogates, beyond a depth of 128 and at infinite numbers.
pub fn entries(text: &[u8]) -> Option<Vec<(String, Value)>> {
    let text = String::from_utf8_lossy(text);
    serde_json::from_str::<Entries>(&text)
        .ok()
        .map(|entries| entries.0)
}

struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Returns the `updatedAt` of an entry by the gateway's rule; `None` if the entry is falsy.
pub fn updated_at(entry: &Value) -> Option<f64> {
    let is_falsy = match entry {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    };
    if is_falsy {
        return None;
    }
    Some(match entry.get("updatedAt") {
        None | Some(Value::Null) => 0.0,
        Some(value) => js::to_number(value.to_string().as_bytes()),
    })
}

/// Returns the value of a field if it is a string.
pub fn string<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field)?.as_str()
}

/// Returns the `sessionFile`: `None` if it is falsy in JavaScript, empty if it is not a string.
pub fn file(entry: &Value) -> Option<&str> {
    match entry.get("sessionFile")? {
        Value::Null | Value::Bool(false) => None,
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        Value::String(text) => Some(text)
            .filter(|text| !text.is_empty())
            .map(|text| &**text),
        _ => Some(""),
    }
}
