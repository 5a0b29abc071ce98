//! How long a finished run's session is kept: the gateway's `cron.sessionRetention`.
//!
//! Durations are the gateway's own grammar. `humantime`'s is another one: it allows spaces and
//! weeks, and knows no fractions.

use crate::gateway::js;

/// The retention when the configuration names none, or none that can be read: 24 hours, in
/// milliseconds.
pub const DEFAULT_MS: f64 = 86_400_000.0;

/// What the configuration says of the retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting<'a> {
    /// `false`: runs are kept for ever.
    Disabled,
    /// A string, meant to be a duration.
    Text(&'a str),
    /// Nothing, or something of another type, which the gateway passes over.
    Absent,
}

/// The retention in milliseconds; `None` when runs are kept for ever.
///
/// A text that is no duration is 24 hours, not an error: the gateway goes on with its default too.
///
/// ```
/// use cron_session_reaper::gateway::retention::{DEFAULT_MS, Setting, resolve};
/// assert_eq!(resolve(Setting::Text("1h30m")), Some(5_400_000.0));
/// assert_eq!(resolve(Setting::Text("0h")), Some(0.0));
/// assert_eq!(resolve(Setting::Text("soon")), Some(DEFAULT_MS));
/// assert_eq!(resolve(Setting::Disabled), None);
/// ```
#[must_use]
pub fn resolve(session_retention: Setting<'_>) -> Option<f64> {
    match session_retention {
        Setting::Disabled => None,
        Setting::Text(text) => Some(parse_duration(text).unwrap_or(DEFAULT_MS)),
        Setting::Absent => Some(DEFAULT_MS),
    }
}

/// A duration in whole milliseconds; `None` if the text is none.
///
/// One number with an optional unit (`ms`, `s`, `m`, `h`, `d`; without one, hours), or several,
/// each with its unit, with nothing between. A number is digits, perhaps with a point and more
/// digits. Capitals and surrounding white space do not matter. The arithmetic is JavaScript's, in
/// doubles from left to right, and what grows beyond them is no duration.
///
/// ```
/// use cron_session_reaper::gateway::retention::parse_duration;
/// assert_eq!(parse_duration(" 7D "), Some(604_800_000.0));
/// assert_eq!(parse_duration("1.5"), Some(5_400_000.0));
/// assert_eq!(parse_duration("2m500ms"), Some(120_500.0));
/// assert_eq!(parse_duration("1h30"), None);
/// assert_eq!(parse_duration("-1h"), None);
/// ```
#[must_use]
pub fn parse_duration(text: &str) -> Option<f64> {
    // JavaScript lower-cases all of Unicode. Only K (U+212A, the kelvin sign) and İ (U+0130) give
    // ASCII letters that way, neither of which is in a unit.
    let text = js::trim(text).to_ascii_lowercase();
    let (first, mut rest) = split_number(&text)?;
    if rest.is_empty() {
        return whole_ms(first * HOUR_MS);
    }
    let mut total = 0.0;
    let mut number = first;
    loop {
        let (unit_ms, after_unit) = split_unit(rest)?;
        total += number * unit_ms;
        if after_unit.is_empty() {
            return whole_ms(total);
        }
        (number, rest) = split_number(after_unit)?;
    }
}

const HOUR_MS: f64 = 3_600_000.0;

/// `ms` before `m`, which it begins with.
const UNITS: [(&str, f64); 5] = [
    ("ms", 1.0),
    ("s", 1_000.0),
    ("m", 60_000.0),
    ("h", HOUR_MS),
    ("d", 86_400_000.0),
];

fn split_unit(text: &str) -> Option<(f64, &str)> {
    UNITS
        .iter()
        .find_map(|(unit, ms)| Some((*ms, text.strip_prefix(unit)?)))
}

/// Splits off digits, and a point with the digits that must follow it.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let whole = digits(text);
    let decimals = text[whole..].strip_prefix('.').map_or(0, digits);
    let end = match decimals {
        0 => whole,
        decimals => whole + 1 + decimals,
    };
    if whole == 0 {
        return None;
    }
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// How many ASCII digits a text begins with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn whole_ms(ms: f64) -> Option<f64> {
    Some(js::math_round(ms)).filter(|ms| ms.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_readable_duration_it_is_24_hours() {
        for setting in [
            Setting::Absent,
            Setting::Text(""),
            Setting::Text(" \u{feff}"),
            Setting::Text("1w"),
            Setting::Text("1 h"),
            Setting::Text("1h 30m"),
        ] {
            assert_eq!(resolve(setting), Some(DEFAULT_MS), "{setting:?}");
        }
    }

    #[test]
    fn a_number_beyond_a_double_is_no_duration() {
        let digits = |count: usize| format!("1{}", "0".repeat(count));
        assert_eq!(parse_duration(&digits(301)), Some(3.6e307));
        assert_eq!(parse_duration(&digits(303)), None);
        assert_eq!(parse_duration(&format!("{}ms", digits(400))), None);
        assert_eq!(parse_duration(&format!("1h{}d", digits(305))), None);
    }

    #[test]
    fn fractions_round_to_whole_milliseconds_once_at_the_end() {
        assert_eq!(parse_duration("0.5ms"), Some(1.0));
        assert_eq!(parse_duration("0.4ms0.4ms0.4ms"), Some(1.0));
        assert_eq!(parse_duration("0.49999999999999994ms"), Some(0.0));
    }

    #[test]
    fn a_number_needs_digits_on_both_sides_of_its_point() {
        for text in [".5h", "5.h", "1..5h", "1.5.5h", ".", "h", "1h.5m"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_chain_is_the_sum_of_its_parts(
            parts in proptest::collection::vec((0_u32..100_000, 0_usize..UNITS.len()), 1..6),
        ) {
            let text = parts
                .iter()
                .map(|(number, unit)| format!("{number}{}", UNITS[*unit].0.to_uppercase()))
                .collect::<Vec<_>>()
                .concat();
            let sum: f64 = parts
                .iter()
                .map(|(number, unit)| f64::from(*number) * UNITS[*unit].1)
                .sum();
            prop_assert_eq!(parse_duration(&text), Some(sum));
        }

        #[test]
        fn what_is_read_is_finite_and_not_negative(text in "[0-9.msdhMSDHkK +e\u{a0}-]{0,12}") {
            if let Some(ms) = parse_duration(&text) {
                prop_assert!(ms.is_finite() && ms.is_sign_positive() && ms.fract() == 0.0);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse_duration(&text);
        }
    }
}
