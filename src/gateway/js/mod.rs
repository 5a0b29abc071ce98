//! The few rules of JavaScript that the contract with the gateway leans on: its white space, its
//! number coercion, its strings, its dates, its rounding and its path resolution.
//!
//! Whatever takes `json: &[u8]` takes the bytes of one JSON value that has already been found
//! valid, except that its strings may hold bytes that are no UTF-8 and escapes of lone surrogates:
//! `JSON.parse` reads both. Nothing here recurses, so no depth of nesting can exhaust the stack.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `String.prototype.trim`.
///
/// Differs from [`str::trim`] in two characters: JavaScript counts the byte order mark as white
/// space and does not count U+0085.
///
/// ```
/// use cron_session_reaper::gateway::js::trim;
/// assert_eq!(trim("\u{feff} \u{a0}24h\u{3000}\n"), "24h");
/// assert_eq!(trim("\u{85}24h"), "\u{85}24h");
/// ```
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}'))
}

/// `Math.round`: to the nearest whole number, halves upwards.
///
/// Neither [`f64::round`] (halves away from zero) nor `(x + 0.5).floor()` (wrong just below a
/// half) does the same.
///
/// ```
/// use cron_session_reaper::gateway::js::math_round;
/// assert_eq!(math_round(0.5), 1.0);
/// assert_eq!(math_round(-1.5), -1.0);
/// assert_eq!(math_round(0.499_999_999_999_999_94), 0.0);
/// ```
#[must_use]
pub fn math_round(x: f64) -> f64 {
    let below = x.floor();
    let nearest = if x - below >= 0.5 { below + 1.0 } else { below };
    nearest.copysign(x)
}

/// The number that JavaScript's `<` makes of a value: what the gateway compares a deadline with.
///
/// An object is NaN, with which every comparison is false. (JavaScript throws for one that has a
/// key `toString`; NaN, which means that the entry stays, is the kind answer to that as well.)
///
/// ```
/// use cron_session_reaper::gateway::js::to_number;
/// assert_eq!(to_number(b"1772366400000"), 1_772_366_400_000.0);
/// assert_eq!(to_number(b"1e400"), f64::INFINITY);
/// assert_eq!(to_number(br#"" 0x10 ""#), 16.0);
/// assert_eq!(to_number(b"true"), 1.0);
/// assert_eq!(to_number(b"[[7]]"), 7.0);
/// assert!(to_number(b"[1, 2]").is_nan());
/// assert!(to_number(b"{}").is_nan());
/// ```
#[must_use]
pub fn to_number(json: &[u8]) -> f64 {
    let json = json.trim_ascii();
    match json.first() {
        Some(b'"') => text(json).map_or(f64::NAN, |text| string_to_number(&text)),
        Some(b'[') => array_to_number(json),
        Some(b't') => 1.0,
        Some(b'f' | b'n') => 0.0,
        _ => number(json),
    }
}

/// An array becomes its elements joined by commas, and that text a number. So only an array of at
/// most one element, itself perhaps such an array, can be anything but NaN: it is the number that
/// this element's text is.
///
/// Brackets are stripped from both ends without matching them. Where that leaves more than one
/// value (`[1,[2]]` leaves `1,[2`, and `["1","2"]` leaves `"1","2"`, read as one string with
/// quotes in it), what is left is no number either.
fn array_to_number(json: &[u8]) -> f64 {
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let start = json
        .iter()
        .position(|byte| !is_space(byte) && *byte != b'[');
    let element = &json[start.unwrap_or(json.len())..];
    let last = element
        .iter()
        .rposition(|byte| !is_space(byte) && *byte != b']');
    match &element[..last.map_or(0, |last| last + 1)] {
        // An empty array, and `null` in an array, are the empty text.
        b"" | b"null" => 0.0,
        string @ [b'"', ..] => text(string).map_or(f64::NAN, |text| string_to_number(&text)),
        // `true` is 1, but the text "true" is no number: `[true]` is NaN.
        other => number(other),
    }
}

/// A JSON number; NaN for anything else. Beyond the range of a double it is infinite or 0, as in
/// JavaScript, where `serde_json` would refuse it.
fn number(json: &[u8]) -> f64 {
    std::str::from_utf8(json)
        .ok()
        .and_then(|json| json.parse().ok())
        .unwrap_or(f64::NAN)
}

/// `Number(text)`.
fn string_to_number(text: &str) -> f64 {
    let text = trim(text);
    match text.as_bytes() {
        [] => return 0.0,
        [b'0', b'x' | b'X', digits @ ..] => return whole_number(digits, 16),
        [b'0', b'o' | b'O', digits @ ..] => return whole_number(digits, 8),
        [b'0', b'b' | b'B', digits @ ..] => return whole_number(digits, 2),
        _ => {}
    }
    // Rust reads decimals just as JavaScript does, but also `inf`, `nan` and any case of them.
    let is_infinity = text.strip_prefix(['+', '-']).unwrap_or(text) == "Infinity";
    let is_decimal = |byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    if is_infinity || text.bytes().all(is_decimal) {
        text.parse().unwrap_or(f64::NAN)
    } else {
        f64::NAN
    }
}

/// Digits of a radix that is a power of two, of any length, rounded to the nearest double.
fn whole_number(digits: &[u8], radix: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    let mut leading: u64 = 0;
    let mut dropped_bits: u32 = 0;
    let mut dropped_any = false;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            return f64::NAN;
        };
        if leading < 1 << 60 {
            leading = leading * u64::from(radix) + u64::from(digit);
        } else {
            dropped_bits = dropped_bits.saturating_add(radix.trailing_zeros());
            dropped_any |= digit != 0;
        }
    }
    // With 61 bits or more the lowest lies below the one that decides a tie, and so can stand for
    // everything that was dropped.
    let leading = leading | u64::from(dropped_any);
    #[expect(
        clippy::cast_precision_loss,
        reason = "this is the one rounding that the number needs"
    )]
    let rounded = leading as f64;
    // Anything beyond 2^1024 is infinite; the exponent need not be exact there.
    rounded * 2_f64.powi(dropped_bits.min(1024).cast_signed())
}

/// Is the value falsy: `null`, `false`, `""` or a number equal to 0?
///
/// The gateway leaves such an entry alone. Takes constant time for objects, arrays and strings.
///
/// ```
/// use cron_session_reaper::gateway::js::is_falsy;
/// assert!(is_falsy(b"null") && is_falsy(b"-0.0") && is_falsy(b"1e-400"));
/// assert!(!is_falsy(b"[]") && !is_falsy(b"{}") && !is_falsy(br#""0""#));
/// ```
#[must_use]
pub fn is_falsy(json: &[u8]) -> bool {
    let json = json.trim_ascii();
    match json.first() {
        Some(b'n' | b'f') => true,
        Some(b'"') => json == b"\"\"",
        Some(b'-' | b'0'..=b'9') => number(json) == 0.0,
        _ => false,
    }
}

/// The value of a JSON string, borrowed where it stands in the file as it is; `None` if the value
/// is no string.
///
/// Bytes that are no UTF-8 and lone surrogates become U+FFFD, which is what Node.js makes of them
/// when such a string is used in a path.
///
/// ```
/// use std::borrow::Cow;
/// use cron_session_reaper::gateway::js::text;
/// assert!(matches!(text(br#""plain""#), Some(Cow::Borrowed("plain"))));
/// assert_eq!(text(br#""a\/\u00e9\ud800""#).as_deref(), Some("a/é\u{fffd}"));
/// assert_eq!(text(b"7"), None);
/// ```
#[must_use]
pub fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    let body = string_body(json)?;
    if body.contains(&b'\\') {
        return Some(Cow::Owned(String::from_utf16_lossy(&code_units(json)?)));
    }
    Some(String::from_utf8_lossy(body))
}

/// The value of a JSON string as JavaScript holds it, in UTF-16 code units; `None` if the value is
/// no string.
///
/// Two strings are equal in JavaScript when these are: unlike in [`text`], different lone
/// surrogates stay different. Bytes that are no UTF-8 are U+FFFD here too, as reading the file
/// makes them so before it is parsed.
///
/// ```
/// use cron_session_reaper::gateway::js::code_units;
/// assert_eq!(code_units(br#""a""#), code_units(br#""\u0061""#));
/// assert_ne!(code_units(br#""\ud800""#), code_units(br#""\ud801""#));
/// assert_eq!(code_units(b"7"), None);
/// ```
#[must_use]
pub fn code_units(json: &[u8]) -> Option<Vec<u16>> {
    let body = String::from_utf8_lossy(string_body(json)?);
    let mut units = Vec::with_capacity(body.len());
    let mut rest = body.as_ref();
    while let Some(backslash) = rest.find('\\') {
        units.extend(rest[..backslash].encode_utf16());
        let mut escape = rest[backslash + 1..].chars();
        units.push(match escape.next()? {
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'u' => {
                let digits = escape.as_str().get(..4)?;
                escape = escape.as_str()[4..].chars();
                u16::from_str_radix(digits, 16).ok()?
            }
            // A quote, a slash or a backslash stands for itself.
            other => u16::try_from(u32::from(other)).ok()?,
        });
        rest = escape.as_str();
    }
    units.extend(rest.encode_utf16());
    Some(units)
}

/// What stands between a string's quotes.
fn string_body(json: &[u8]) -> Option<&[u8]> {
    json.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// A time as `Date.now()` tells it: milliseconds since 1970, negative ones before it.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use cron_session_reaper::gateway::js::epoch_ms;
/// assert_eq!(epoch_ms(UNIX_EPOCH + Duration::from_micros(1500)), 1);
/// assert_eq!(epoch_ms(UNIX_EPOCH - Duration::from_secs(1)), -1000);
/// ```
#[must_use]
pub fn epoch_ms(time: SystemTime) -> i64 {
    let whole = |apart: Duration| i64::try_from(apart.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

/// `new Date(epoch_ms).toISOString()`, for the years 1970 to 9999: the `createdAt` of a lock file.
///
/// A time outside these years becomes the nearest inside them. It is a wall clock's, and one that
/// far off shall not stop a sweep.
///
/// ```
/// use cron_session_reaper::gateway::js::iso_stamp;
/// assert_eq!(iso_stamp(1_772_366_400_000), "2026-03-01T12:00:00.000Z");
/// ```
#[must_use]
pub fn iso_stamp(epoch_ms: i64) -> String {
    const LAST: u64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
    let since_1970 = Duration::from_millis(u64::try_from(epoch_ms).unwrap_or(0).min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970).to_string()
}

/// [`iso_stamp`] as it stands in the name of an archive: without colons, which no file name on
/// Windows may have.
///
/// ```
/// use cron_session_reaper::gateway::js::archive_stamp;
/// assert_eq!(archive_stamp(1_772_366_400_000), "2026-03-01T12-00-00.000Z");
/// ```
#[must_use]
pub fn archive_stamp(epoch_ms: i64) -> String {
    iso_stamp(epoch_ms).replace(':', "-")
}

/// The time in an archive's name, in milliseconds since 1970; `None` if it is not exactly of the
/// form `YYYY-MM-DDTHH-MM-SS.mmmZ` (the milliseconds are optional) or no time that V8 knows.
///
/// V8 knows 24:00:00, and a day up to 31 in every month: February 30 is March 2, or 1 in a leap
/// year.
///
/// ```
/// use cron_session_reaper::gateway::js::parse_archive_stamp;
/// assert_eq!(parse_archive_stamp("2026-03-01T12-00-00.000Z"), Some(1_772_366_400_000));
/// assert_eq!(parse_archive_stamp("2026-03-01T12-00-00Z"), Some(1_772_366_400_000));
/// assert_eq!(parse_archive_stamp("2026-03-01T12:00:00Z"), None);
/// assert_eq!(parse_archive_stamp("2026-03-01T24-00-01Z"), None);
/// ```
#[must_use]
pub fn parse_archive_stamp(stamp: &str) -> Option<i64> {
    let date_time = DateTime::read(stamp, b'-')?;
    let is_archive_form = matches!(date_time.fraction.len(), 0 | 3) && date_time.zone == "Z";
    is_archive_form.then_some(date_time.ms)
}

/// `Date.parse`, in milliseconds since 1970, of a complete ISO 8601 date and time:
/// `2026-03-01T12:00:00Z`, with any number of decimals (what is finer than a millisecond is
/// dropped), in UTC (`Z`) or with an offset (`+01:00`).
///
/// (V8 misplaces decimals of more than nine digits that begin with a zero, by less than a second;
/// this does not.)
///
/// `None` for everything else. That includes forms that V8 reads too, such as a date without a
/// time, or `Sun Mar 1 2026`: nothing writes them into a lock file, and a lock without a date is
/// treated with more patience, not less.
///
/// ```
/// use cron_session_reaper::gateway::js::parse_iso_date;
/// assert_eq!(parse_iso_date("2026-03-01T12:00:00.000Z"), Some(1_772_366_400_000));
/// assert_eq!(parse_iso_date("2026-03-01T13:00:00+01:00"), Some(1_772_366_400_000));
/// assert_eq!(parse_iso_date("yesterday"), None);
/// ```
#[must_use]
pub fn parse_iso_date(date: &str) -> Option<i64> {
    let date_time = DateTime::read(date, b':')?;
    let (sign, offset) = match date_time.zone.as_bytes() {
        b"Z" => return Some(date_time.ms),
        [b'+', offset @ ..] => (1, offset),
        [b'-', offset @ ..] => (-1, offset),
        _ => return None,
    };
    let [h1, h2, b':', m1, m2] = offset else {
        return None;
    };
    let hours = decimal(&[*h1, *h2]).filter(|hours| *hours <= 23)?;
    let minutes = decimal(&[*m1, *m2]).filter(|minutes| *minutes <= 59)?;
    Some(date_time.ms - sign * (hours * HOUR + minutes * MINUTE))
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// `YYYY-MM-DDTHH:MM:SS`, decimals and a zone. `humantime` reads this form too, but not as V8 does:
/// it takes a 60th second, and neither 24:00:00, February 30, an offset nor a year before 1970.
struct DateTime<'a> {
    /// Milliseconds since 1970, were the zone UTC.
    ms: i64,
    /// The decimals as they stand, without the point.
    fraction: &'a str,
    /// All that follows.
    zone: &'a str,
}

impl<'a> DateTime<'a> {
    /// `separator` stands between hours, minutes and seconds.
    fn read(text: &'a str, separator: u8) -> Option<Self> {
        const SECONDS_END: usize = "YYYY-MM-DDTHH:MM:SS".len();
        let (fields, tail) = text.split_at_checked(SECONDS_END)?;
        let fields = fields.as_bytes();
        let separators = [4, 7, 10, 13, 16].map(|at| fields[at]);
        if separators != [b'-', b'-', b'T', separator, separator] {
            return None;
        }
        let (fraction, zone) = match tail.strip_prefix('.') {
            None => ("", tail),
            Some(tail) => {
                let end = tail.find(|c: char| !c.is_ascii_digit())?;
                if end == 0 {
                    return None;
                }
                tail.split_at(end)
            }
        };

        let year = decimal(&fields[..4])?;
        let month = decimal(&fields[5..7]).filter(|month| (1..=12).contains(month))?;
        let day = decimal(&fields[8..10]).filter(|day| (1..=31).contains(day))?;
        let hour = decimal(&fields[11..13])?;
        let minute = decimal(&fields[14..16]).filter(|minute| *minute <= 59)?;
        let second = decimal(&fields[17..])?;
        if second > 59 {
            return None;
        }
        let past_the_hour = minute > 0 || second > 0 || fraction.bytes().any(|digit| digit != b'0');
        if hour > 24 || (hour == 24 && past_the_hour) {
            return None;
        }

        let ms_of_fraction = fraction
            .bytes()
            .chain(*b"000")
            .take(3)
            .fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
        Some(Self {
            ms: (days_before_month(year, month) + day - 1) * DAY
                + hour * HOUR
                + minute * MINUTE
                + second * SECOND
                + ms_of_fraction,
            fraction,
            zone,
        })
    }
}

/// Digits and nothing else, not even a sign.
fn decimal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 to the first of a month in the Gregorian calendar, which JavaScript
/// extends to all years before it. `year` from 0, `month` from 1.
fn days_before_month(year: i64, month: i64) -> i64 {
    // Counted from March, a leap day is a year's last and no month before it shifts: the months'
    // lengths then repeat as 31, 30, 31, 30, 31.
    let (year, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_of_months = (153 * months + 2) / 5;
    let from_march_of_year_0 = 365 * year + leap_days + days_of_months;
    from_march_of_year_0 - 719_468 // 0000-03-01 to 1970-01-01
}

/// Node.js's `path.resolve(base, path)`: the path made absolute and freed of `.`, `..` and doubled
/// or trailing slashes, without a look at the file system. `base` must be absolute.
///
/// ```
/// # #[cfg(unix)] {
/// use std::path::Path;
/// use cron_session_reaper::gateway::js::resolve;
/// let base = Path::new("/store/sessions");
/// assert_eq!(resolve(base, Path::new("sub/../a.jsonl/")), Path::new("/store/sessions/a.jsonl"));
/// assert_eq!(resolve(base, Path::new("../../../..")), Path::new("/"));
/// assert_eq!(resolve(base, Path::new("/elsewhere/./x")), Path::new("/elsewhere/x"));
/// # }
/// ```
#[must_use]
pub fn resolve(base: &Path, path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            // The root has no parent: there `pop` leaves everything as it is.
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                resolved.push(component);
            }
        }
    }
    resolved
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "JavaScript's result, to the last bit")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_is_what_ecmascript_lists() {
        let listed = [
            '\t', '\u{b}', '\u{c}', ' ', '\u{a0}', '\u{feff}', // WhiteSpace
            '\n', '\r', '\u{2028}', '\u{2029}', // LineTerminator
            '\u{1680}', '\u{2000}', '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}',
            '\u{2006}', '\u{2007}', '\u{2008}', '\u{2009}', '\u{200a}', '\u{202f}', '\u{205f}',
            '\u{3000}', // Space_Separator
        ];
        for c in '\0'..=char::MAX {
            let is_trimmed = trim(c.encode_utf8(&mut [0; 4])).is_empty();
            assert_eq!(is_trimmed, listed.contains(&c), "{c:?}");
        }
    }

    #[test]
    fn halves_round_upwards_and_what_is_just_below_does_not() {
        for (x, rounded) in [
            (0.5, 1.0),
            (1.5, 2.0),
            (2.5, 3.0),
            (-0.5, 0.0),
            (-2.5, -2.0),
            (-2.500_000_000_000_001, -3.0),
            (0.499_999_999_999_999_94, 0.0),
            (4_503_599_627_370_497.0, 4_503_599_627_370_497.0),
            (1e300, 1e300),
            (f64::INFINITY, f64::INFINITY),
        ] {
            assert_eq!(math_round(x), rounded, "{x}");
        }
        assert!(math_round(f64::NAN).is_nan());
        assert!(math_round(-0.2).is_sign_negative());
    }

    #[test]
    fn an_array_of_any_depth_is_read_without_exhausting_the_stack() {
        let nested = |element: &str| {
            let depth = 100_000;
            format!("{}{element}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
        };
        assert_eq!(to_number(&nested("")), 0.0);
        assert_eq!(to_number(&nested(" 5 ")), 5.0);
        assert!(to_number(&nested("1,2")).is_nan());
    }

    #[test]
    fn brackets_and_commas_in_strings_are_text() {
        assert!(to_number(br#"["]"]"#).is_nan());
        assert!(to_number(br#"["["]"#).is_nan());
        assert!(to_number(br#"["1","2"]"#).is_nan());
        assert!(to_number(br#"[" "," "]"#).is_nan());
        assert_eq!(to_number(br#"[[" 5 "]]"#), 5.0);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_no_number() {
        assert!(to_number(b"\"5\xff\"").is_nan());
        assert!(to_number(b"[\"\xe2\x80\"]").is_nan());
    }

    #[test]
    fn what_javascript_calls_falsy_is_falsy() {
        for json in [
            "null", "false", "\"\"", "0", "-0", "0.0", "0e5", "-0E-7", "1e-400", " 0 ",
        ] {
            assert!(is_falsy(json.as_bytes()), "{json}");
        }
        for json in [
            "true",
            "\"0\"",
            "\" \"",
            "\"\\u0000\"",
            "1e-300",
            "1e400",
            "[]",
            "{}",
        ] {
            assert!(!is_falsy(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn every_escape_stands_for_its_character() {
        let json = br#" "\"\\\/\b\f\n\r\t\u0041\u00E9\ud83d\uDE00z" "#;
        assert_eq!(
            text(json).as_deref(),
            Some("\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{1f600}z")
        );
    }

    #[test]
    fn lone_surrogates_are_replaced_in_text_and_kept_in_code_units() {
        let json = br#""a\ude00\ud83d\ud83d\ude00""#;
        assert_eq!(text(json).as_deref(), Some("a\u{fffd}\u{fffd}\u{1f600}"));
        assert_eq!(
            code_units(json),
            Some(vec![0x61, 0xde00, 0xd83d, 0xd83d, 0xde00])
        );
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced_as_a_browser_does() {
        // A cut sequence is one U+FFFD; a surrogate written as three bytes is three.
        assert_eq!(
            text(b"\"\xe2\x82|\xed\xa0\x80|\xff\"").as_deref(),
            Some("\u{fffd}|\u{fffd}\u{fffd}\u{fffd}|\u{fffd}")
        );
        assert_ne!(code_units(b"\"\xed\xa0\x80\""), code_units(br#""\ud800""#));
        assert_eq!(
            code_units(b"\"\xff\\n\""),
            Some(vec![0xfffd, 0x0a]),
            "also beside an escape"
        );
    }

    #[test]
    fn only_a_string_is_a_string() {
        for json in ["null", "1", "[\"a\"]", "{}", "true", "", "\""] {
            assert_eq!(text(json.as_bytes()), None, "{json}");
            assert_eq!(code_units(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn a_clock_that_is_far_off_gives_the_nearest_stamp() {
        assert_eq!(iso_stamp(-1), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso_stamp(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn an_archive_stamp_of_another_form_is_no_date() {
        for stamp in [
            "",
            "2026-03-01",
            "2026-03-01T12-00-00",
            "2026-03-01T12-00-00z",
            "2026-03-01t12-00-00Z",
            "2026-03-01T12-00-00.Z",
            "2026-03-01T12-00-00.00Z",
            "2026-03-01T12-00-00.0000Z",
            "2026-03-01T12-00-00.000",
            "2026-03-01T12-00-00.000ZZ",
            " 2026-03-01T12-00-00.000Z",
            "2026-03-01T12:00:00.000Z",
            "2026-03-01T12-00-00.000+01:00",
            "+026-03-01T12-00-00.000Z",
            "2026-03-01T12-00-\u{663}0.000Z",
            "2026-03-01T12-00-0\u{e9}.000Z",
        ] {
            assert_eq!(parse_archive_stamp(stamp), None, "{stamp}");
        }
    }

    #[test]
    fn an_offset_is_taken_off_and_must_be_one() {
        let noon = Some(1_772_366_400_000);
        assert_eq!(parse_iso_date("2026-03-01T12:00:00+00:00"), noon);
        assert_eq!(parse_iso_date("2026-03-01T06:30:00.000-05:30"), noon);
        assert_eq!(parse_iso_date("2026-03-02T11:59:00+23:59"), noon);
        for zone in [
            "", "+24:00", "+01:60", "+1:00", "+01", "Z+01:00", " Z", "UTC",
        ] {
            let date = format!("2026-03-01T12:00:00{zone}");
            assert_eq!(parse_iso_date(&date), None, "{date}");
        }
    }

    #[test]
    fn what_is_finer_than_a_millisecond_is_dropped() {
        assert_eq!(parse_iso_date("1970-01-01T00:00:00.1Z"), Some(100));
        assert_eq!(parse_iso_date("1970-01-01T00:00:00.0019999Z"), Some(1));
        assert_eq!(parse_iso_date("1969-12-31T23:59:59.9999Z"), Some(-1));
        assert_eq!(parse_iso_date("1970-01-01T24:00:00.0001Z"), None);
    }

    #[cfg(unix)]
    #[test]
    fn paths_resolve_as_in_node() {
        for (base, path, resolved) in [
            ("/a/b", "", "/a/b"),
            ("/a/b/", ".", "/a/b"),
            ("/a/b", "..", "/a"),
            ("/a/b", "../../../x", "/x"),
            ("/a/b", "c//d/./e/", "/a/b/c/d/e"),
            ("/a/b", "/c/../d", "/d"),
            ("/a/../b", "c", "/b/c"),
            ("/a/b", "//c", "/c"),
            ("/a/b", "..x.jsonl", "/a/b/..x.jsonl"),
            ("/", "..", "/"),
        ] {
            assert_eq!(
                resolve(Path::new(base), Path::new(path)).as_os_str(),
                resolved,
                "{base} {path}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_archive_stamp_reads_back_as_the_time_it_was_made_of(ms in 0_i64..253_402_300_800_000) {
            prop_assert_eq!(parse_archive_stamp(&archive_stamp(ms)), Some(ms));
            prop_assert_eq!(parse_iso_date(&iso_stamp(ms)), Some(ms));
        }

        #[test]
        fn any_text_survives_json(value in any::<String>()) {
            let json = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(text(&json), Some(Cow::from(value.as_str())));
            prop_assert_eq!(code_units(&json).unwrap(), value.encode_utf16().collect::<Vec<_>>());
        }

        #[test]
        fn no_text_makes_a_date_panic(date in "[0-9+-]{4}.[0-9]{2}.[0-9]{2}T.{0,20}") {
            let _ = parse_iso_date(&date);
            let _ = parse_archive_stamp(&date);
        }

        #[test]
        fn no_bytes_make_a_reading_panic(json in any::<Vec<u8>>()) {
            let _ = (to_number(&json), is_falsy(&json), text(&json), code_units(&json));
        }
    }
}
