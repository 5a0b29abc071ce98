//! The contents of a lock file: the gateway's three fields and one of this library.

use std::time::SystemTime;

use serde::Serialize;

use crate::gateway::js;

/// The maximum length of a lock file, in bytes. A longer file is not read to its end.
pub(super) const MAX_LENGTH: usize = 4096;

/// The payload of a lock that this process creates.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnPayload<'a> {
    pid: u64,
    created_at: String,
    starttime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    flock: Option<&'a str>,
}

/// The text of a payload, and the offset of the date in it, in bytes.
pub(super) struct ComposedPayload {
    pub(super) bytes: Vec<u8>,
    pub(super) date_offset: u64,
}

/// Returns the payload of a lock that this process creates. `flock` is the boot id, given only if the
/// flock is held.
pub(super) fn compose(
    pid: u64,
    starttime: u64,
    flock: Option<&str>,
    now: SystemTime,
) -> ComposedPayload {
    let created_at = date(now);
    let payload = OwnPayload {
        pid,
        created_at: created_at.clone(),
        starttime,
        flock,
    };
    let text = serde_json::to_string(&payload).expect("numbers and strings can be serialised");
    let date_offset = text.find(&created_at).expect("the date was just written");
    ComposedPayload {
        bytes: text.into_bytes(),
        date_offset: date_offset as u64,
    }
}

/// Returns a time as JavaScript writes it: `2026-03-01T12:00:00.000Z`, always 24 bytes.
///
/// A time outside the years 1970 to 9999 becomes the nearest time in them: without a valid date the
/// lock would count as broken.
pub(super) fn date(time: SystemTime) -> String {
    js::iso_stamp(js::epoch_ms(time))
}

/// The payload of an existing lock file. An invalid field is `None`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    /// An integer of at least 1.
    pub(super) pid: Option<u64>,
    /// Milliseconds since 1970.
    pub(super) created_ms: Option<i64>,
    /// See [`Process::Alive`](crate::system::Process::Alive).
    pub(super) starttime: Option<u64>,
    /// The boot id of the machine on which the holder held the flock.
    pub(super) flock: Option<String>,
}

impl Payload {
    /// Parses a lock file. All fields are `None` if it is incomplete, too long, or not a JSON object.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        if bytes.len() > MAX_LENGTH {
            return Self::default();
        }
        // JavaScript replaces invalid UTF-8 with U+FFFD instead of failing.
        let text = String::from_utf8_lossy(bytes);
        let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(&text) else {
            return Self::default();
        };
        let number = |name| fields.get(name).and_then(unsigned_integer);
        let text = |name| fields.get(name).and_then(serde_json::Value::as_str);
        Self {
            // `kill` interprets 0 and negative numbers as process groups.
            pid: number("pid").filter(|&pid| pid > 0),
            created_ms: text("createdAt").and_then(js::parse_iso_date),
            starttime: number("starttime"),
            flock: text("flock").map(str::to_owned),
        }
    }
}

/// Returns an integer of at least 0 that JavaScript can represent exactly, in any notation: `7`,
/// `7.0`, `7e0`.
fn unsigned_integer(value: &serde_json::Value) -> Option<u64> {
    const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
    let number = value.as_f64()?;
    if !(0.0..=MAX_SAFE_INTEGER).contains(&number) || number.fract() != 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above: an integer from 0 to 2^53 - 1"
    )]
    Some(number as u64)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// 9999-12-31T23:59:59Z, the last second of a year with four digits.
    const LAST_SECOND: u64 = 253_402_300_799;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn composes_the_gateways_payload_and_the_flock_field() {
        let payload = compose(123, 456, Some("b-1"), at(1_772_366_400));
        assert_eq!(
            String::from_utf8(payload.bytes).unwrap(),
            r#"{"pid":123,"createdAt":"2026-03-01T12:00:00.000Z","starttime":456,"flock":"b-1"}"#
        );
        assert_eq!(payload.date_offset, 24);
    }

    #[test]
    fn omits_the_flock_field_without_a_flock() {
        let payload = compose(123, 0, None, at(0));
        assert_eq!(
            String::from_utf8(payload.bytes).unwrap(),
            r#"{"pid":123,"createdAt":"1970-01-01T00:00:00.000Z","starttime":0}"#
        );
    }

    #[test]
    fn a_date_has_24_bytes_at_any_time() {
        for time in [
            at(0),
            at(1_772_366_400),
            at(LAST_SECOND),
            at(LAST_SECOND + 10_000_000_000),
            UNIX_EPOCH - Duration::from_secs(1_000_000),
        ] {
            assert_eq!(date(time).len(), 24);
        }
    }

    #[test]
    fn parses_what_was_composed() {
        let payload = compose(7, 9, Some("b"), at(1_772_366_400));
        assert_eq!(
            Payload::parse(&payload.bytes),
            Payload {
                pid: Some(7),
                created_ms: Some(1_772_366_400_000),
                starttime: Some(9),
                flock: Some("b".to_owned()),
            }
        );
    }

    #[test]
    fn parses_integers_as_javascript_does() {
        for (text, pid) in [
            (r#"{"pid":7.0}"#, Some(7)),
            (r#"{"pid":7e3}"#, Some(7000)),
            (r#"{"pid":1,"pid":2}"#, Some(2)),
            (r#"{"pid":9007199254740991}"#, Some(9_007_199_254_740_991)),
            (r#"{"pid":0}"#, None),
            (r#"{"pid":-1}"#, None),
            (r#"{"pid":7.5}"#, None),
            (r#"{"pid":"7"}"#, None),
            (r#"{"pid":true}"#, None),
            (r#"{"pid":null}"#, None),
            (r#"{"pid":[7]}"#, None),
            (r#"{"pid":1e300}"#, None),
            (r#"{"pid":1e400}"#, None),
            (r#"{"pid":99999999999999999999999}"#, None),
        ] {
            assert_eq!(Payload::parse(text.as_bytes()).pid, pid, "{text}");
        }
    }

    #[test]
    fn an_invalid_date_is_absent() {
        for invalid in [
            "\"\"",
            "\"soon\"",
            "\"2026-13-01T00:00:00.000Z\"",
            "5",
            "null",
            "{}",
        ] {
            let text = format!(r#"{{"pid":7,"createdAt":{invalid}}}"#);
            let payload = Payload::parse(text.as_bytes());
            assert_eq!((payload.pid, payload.created_ms), (Some(7), None), "{text}");
        }
    }

    #[test]
    fn the_longest_payload_has_4096_bytes() {
        let mut bytes = br#"{"pid":7}"#.to_vec();
        for (length, pid) in [(4096, Some(7)), (4097, None)] {
            bytes.resize(length, b' ');
            assert_eq!(Payload::parse(&bytes).pid, pid, "{length}");
        }
    }

    #[test]
    fn all_fields_of_anything_but_an_object_are_absent() {
        let deep = "[".repeat(4000);
        for bytes in [
            &b""[..],
            b"{",
            br#"{"pid":7"#,
            br#"{"pid":7}}"#,
            b"\xEF\xBB\xBF{\"pid\":7}",
            b"[7]",
            b"7",
            b"\0\0\0\0",
            deep.as_bytes(),
        ] {
            assert_eq!(Payload::parse(bytes), Payload::default());
        }
    }
}
