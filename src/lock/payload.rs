//! What stands in a lock file: the gateway's three fields and our own.

use std::time::SystemTime;

use serde::Serialize;

use crate::gateway::js;

/// More than any lock file holds. What is longer is not read to its end: it is no lock's.
pub(super) const LONGEST: usize = 4096;

/// What is written into a lock of our own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Own<'a> {
    pid: u64,
    created_at: String,
    starttime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    flock: Option<&'a str>,
}

/// A lock's text, and where in it the date stands.
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) date_offset: u64,
}

/// The text of a lock of our own. `flock` is the boot id, given only if the kernel's lock is held.
pub(super) fn compose(pid: u64, starttime: u64, flock: Option<&str>, now: SystemTime) -> Text {
    let created_at = stamp(now);
    let date = created_at.clone();
    let own = Own {
        pid,
        created_at,
        starttime,
        flock,
    };
    let text = serde_json::to_string(&own).expect("numbers and strings can always be written");
    let date_offset = text.find(&date).expect("the date was just written");
    Text {
        bytes: text.into_bytes(),
        date_offset: date_offset as u64,
    }
}

/// A time as JavaScript writes it: `2026-03-01T12:00:00.000Z`, always 24 bytes.
///
/// A clock outside 1970–9999 is taken to its nearest end: no date would make the lock look broken.
pub(super) fn stamp(time: SystemTime) -> String {
    js::iso_stamp(js::epoch_ms(time))
}

/// What a lock file says, as far as it can be read. What is not valid is absent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    /// A whole number from 1 on.
    pub(super) pid: Option<u64>,
    /// Milliseconds since 1970.
    pub(super) created_ms: Option<i64>,
    /// See [`Process::Alive`](crate::system::Process::Alive).
    pub(super) starttime: Option<u64>,
    /// The boot id of the machine whose kernel vouched for the holder.
    pub(super) flock: Option<String>,
}

impl Payload {
    /// Reads a lock's text. Half a text, one that is too long, or one that is no JSON object says
    /// nothing at all.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        if bytes.len() > LONGEST {
            return Self::default();
        }
        // JavaScript reads bytes that are no UTF-8 as U+FFFD instead of failing.
        let text = String::from_utf8_lossy(bytes);
        let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(&text) else {
            return Self::default();
        };
        let number = |name| fields.get(name).and_then(whole_number);
        let text = |name| fields.get(name).and_then(serde_json::Value::as_str);
        Self {
            // 0 and negative ones would ask the kernel about whole process groups.
            pid: number("pid").filter(|&pid| pid > 0),
            created_ms: text("createdAt").and_then(js::parse_iso_date),
            starttime: number("starttime"),
            flock: text("flock").map(str::to_owned),
        }
    }
}

/// A whole number from 0 on that JavaScript can hold exactly, in any spelling: `7`, `7.0`, `7e0`.
fn whole_number(value: &serde_json::Value) -> Option<u64> {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    let number = value.as_f64()?;
    if !(0.0..=LARGEST).contains(&number) || number.fract() != 0.0 {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above: whole, not negative, within 2^53"
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
    fn the_text_is_the_gateways_with_one_field_more() {
        let text = compose(123, 456, Some("b-1"), at(1_772_366_400));
        assert_eq!(
            String::from_utf8(text.bytes).unwrap(),
            r#"{"pid":123,"createdAt":"2026-03-01T12:00:00.000Z","starttime":456,"flock":"b-1"}"#
        );
        assert_eq!(text.date_offset, 24);
    }

    #[test]
    fn without_the_kernels_lock_nothing_is_said_of_it() {
        let text = compose(123, 0, None, at(0));
        assert_eq!(
            String::from_utf8(text.bytes).unwrap(),
            r#"{"pid":123,"createdAt":"1970-01-01T00:00:00.000Z","starttime":0}"#
        );
    }

    #[test]
    fn a_stamp_is_24_bytes_long_whatever_the_clock_says() {
        for time in [
            at(0),
            at(1_772_366_400),
            at(LAST_SECOND),
            at(LAST_SECOND + 10_000_000_000),
            UNIX_EPOCH - Duration::from_secs(1_000_000),
        ] {
            assert_eq!(stamp(time).len(), 24);
        }
    }

    #[test]
    fn what_was_written_reads_back() {
        let text = compose(7, 9, Some("b"), at(1_772_366_400));
        assert_eq!(
            Payload::parse(&text.bytes),
            Payload {
                pid: Some(7),
                created_ms: Some(1_772_366_400_000),
                starttime: Some(9),
                flock: Some("b".to_owned()),
            }
        );
    }

    #[test]
    fn numbers_are_read_as_javascript_reads_them() {
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
    fn what_is_no_date_is_absent() {
        for date in [
            "\"\"",
            "\"soon\"",
            "\"2026-13-01T00:00:00.000Z\"",
            "5",
            "null",
            "{}",
        ] {
            let text = format!(r#"{{"pid":7,"createdAt":{date}}}"#);
            let payload = Payload::parse(text.as_bytes());
            assert_eq!((payload.pid, payload.created_ms), (Some(7), None), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_says_nothing() {
        let mut long = br#"{"pid":7}"#.to_vec();
        long.resize(LONGEST + 1, b' ');
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
            &long,
        ] {
            assert_eq!(Payload::parse(bytes), Payload::default());
        }
    }
}
