//! JavaScript's conversion of JSON values to numbers, and its rounding.

use super::{text, trim};

/// Rounds to the nearest integer, halves upwards: `Math.round`.
///
/// [`f64::round`] rounds halves away from zero, and `(x + 0.5).floor()` is wrong just below a half.
#[must_use]
pub(crate) fn math_round(x: f64) -> f64 {
    let below = x.floor();
    let nearest = if x - below >= 0.5 { below + 1.0 } else { below };
    nearest.copysign(x)
}

/// Converts a JSON value to the number that JavaScript's `<` compares.
///
/// An object is NaN, with which every comparison is false. JavaScript throws for an object with a
/// key `toString`; it is NaN here too, so that its entry is kept.
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
        Some(b'"') => string_to_number(json),
        Some(b'[') => array_to_number(json),
        Some(b't') => 1.0,
        Some(b'f' | b'n') => 0.0,
        _ => number(json),
    }
}

/// Returns whether a JSON value is falsy: `null`, `false`, `""` or a number equal to 0. Takes
/// constant time for objects, arrays and strings.
#[must_use]
pub(crate) fn is_falsy(json: &[u8]) -> bool {
    let json = json.trim_ascii();
    match json.first() {
        Some(b'n' | b'f') => true,
        Some(b'"') => json == b"\"\"",
        Some(b'-' | b'0'..=b'9') => number(json) == 0.0,
        _ => false,
    }
}

/// Converts a JSON array.
///
/// JavaScript joins the elements with commas and converts the text. The result can only be a number
/// if there is at most one element, which may itself be such an array: then it is the number of that
/// element's text.
///
/// The brackets are removed at both ends without matching them. If more than one value is left
/// (`1,[2` of `[1,[2]]`, or `"1","2"` of `["1","2"]`), that is not a number either.
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
        // The text of an empty array and of `null` in an array is empty.
        b"" | b"null" => 0.0,
        string @ [b'"', ..] => string_to_number(string),
        // This includes `true`, which is 1, while `[true]` is the text "true" and therefore NaN.
        other => number(other),
    }
}

/// Converts a JSON number; NaN for anything else. A number beyond the range of a double is infinite
/// or 0, as in JavaScript; `serde_json` would reject it.
fn number(json: &[u8]) -> f64 {
    std::str::from_utf8(json)
        .ok()
        .and_then(|json| json.parse().ok())
        .unwrap_or(f64::NAN)
}

/// Converts a JSON string as `Number(text)` does.
fn string_to_number(json: &[u8]) -> f64 {
    let Some(text) = text(json) else {
        return f64::NAN;
    };
    let text = trim(&text);
    match text.as_bytes() {
        [] => return 0.0,
        [b'0', b'x' | b'X', ..] => return whole_number(&text[2..], 16),
        [b'0', b'o' | b'O', ..] => return whole_number(&text[2..], 8),
        [b'0', b'b' | b'B', ..] => return whole_number(&text[2..], 2),
        _ => {}
    }
    // Rust parses decimal numbers as JavaScript does, but also `inf` and `nan` in any case.
    let is_infinity = text.strip_prefix(['+', '-']).unwrap_or(text) == "Infinity";
    let is_decimal = |byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    if is_infinity || text.bytes().all(is_decimal) {
        text.parse().unwrap_or(f64::NAN)
    } else {
        f64::NAN
    }
}

/// Converts digits of any length in a radix that is a power of two; NaN if they are not valid.
fn whole_number(digits: &str, radix: u32) -> f64 {
    // `from_str_radix` would accept a plus sign.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return f64::NAN;
    }
    let bits_per_digit = radix.trailing_zeros();
    let digits = digits.trim_start_matches('0');
    let most = (u128::BITS / bits_per_digit) as usize;
    let (leading, dropped) = digits.split_at(digits.len().min(most));
    let mut value = u128::from_str_radix(leading, radix).unwrap_or(0); // 0 if `leading` is empty
    // If digits are dropped, `value` has far more bits than a double. Its lowest bit can then record
    // whether a dropped digit is not 0, so that the value is rounded correctly.
    value |= u128::from(dropped.bytes().any(|digit| digit != b'0'));
    // An exponent above 1024 always means infinity.
    let exponent = (dropped.len() * bits_per_digit as usize).min(1024);
    #[expect(
        clippy::cast_precision_loss,
        reason = "the conversion rounds once, as JavaScript does"
    )]
    let rounded = value as f64;
    rounded * 2_f64.powi(i32::try_from(exponent).expect("it is at most 1024"))
}
