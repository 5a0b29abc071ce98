//! The retention of a finished run's session: the gateway's `cron.sessionRetention`.
//!
//! The grammar of durations is the gateway's. That of `humantime` is different: it allows spaces and
//! weeks, but no fractions.

use crate::gateway::js;

/// The retention without a valid duration in the configuration: 24 hours, in milliseconds.
pub const DEFAULT_MS: f64 = 86_400_000.0;

/// The value of `sessionRetention` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting<'a> {
    /// `false`: runs are never removed.
    Disabled,
    /// A string that should be a duration.
    Text(&'a str),
    /// A missing value or one of another type, which the gateway ignores.
    Absent,
}

/// Returns the retention in milliseconds; `None` if runs are never removed.
///
/// A text that is not a valid duration means 24 hours, as in the gateway.
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

/// Parses a duration to whole milliseconds; `None` if the text is not a duration.
///
/// A duration is one number with an optional unit (`ms`, `s`, `m`, `h` or `d`; the default is `h`), or
/// several numbers with a unit each and no separators. A number consists of digits, optionally
/// followed by a point and digits. Case and surrounding white space are ignored. As in JavaScript,
/// the numbers are doubles, which are added from left to right, and an infinite result is invalid.
#[must_use]
pub(crate) fn parse_duration(text: &str) -> Option<f64> {
    // JavaScript lower-cases all of Unicode. Only K (U+212A, the kelvin sign) and İ (U+0130) become
    // ASCII letters, and no unit contains these.
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

/// `ms` comes before `m`, which is a prefix of it.
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

/// Splits off digits and, if digits follow it, a point with these.
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

/// Returns the number of ASCII digits at the start of a text.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn whole_ms(ms: f64) -> Option<f64> {
    Some(js::math_round(ms)).filter(|ms| ms.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::recording;
    use proptest::prelude::*;
    use serde_json::Value;

    fn retention_recording(table: &str) -> Vec<Value> {
        recording("__test__/gateway-vectors/retention.json", table)
    }

    /// Compares exactly up to 2^53. Above, `serde_json` may parse the recorded number with an error
    /// of one bit.
    fn is_same(ms: Option<f64>, recorded: Option<f64>) -> bool {
        match (ms, recorded) {
            (Some(ms), Some(recorded)) if recorded > 9_007_199_254_740_992.0 => {
                (ms - recorded).abs() <= f64::EPSILON * recorded
            }
            _ => ms == recorded,
        }
    }

    #[test]
    fn parses_every_recorded_duration_as_the_gateway_does() {
        let durations = retention_recording("durations");
        assert!(durations.len() >= 200);
        for duration in durations {
            let input = duration["input"].as_str().unwrap();
            let (ms, expected) = (parse_duration(input), duration["ms"].as_f64());
            assert!(is_same(ms, expected), "{input:?}: {ms:?}, not {expected:?}");
            let (retention, expected) = (resolve(Setting::Text(input)), &duration["retentionMs"]);
            assert!(
                is_same(retention, expected.as_f64()),
                "{input:?}: {retention:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn resolves_every_recorded_configuration_as_the_gateway_does() {
        let configs = retention_recording("configs");
        assert!(configs.len() >= 10);
        for config in configs {
            let setting = match &config["config"]["sessionRetention"] {
                Value::Bool(false) => Setting::Disabled,
                Value::String(text) => Setting::Text(text),
                _ => Setting::Absent,
            };
            let expected = config["retentionMs"].as_f64();
            assert_eq!(resolve(setting), expected, "{config}");
        }
    }

    #[test]
    fn uses_24_hours_without_a_valid_duration() {
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
    fn rejects_a_duration_that_is_infinite_as_a_double() {
        let digits = |count: usize| format!("1{}", "0".repeat(count));
        assert_eq!(parse_duration(&digits(301)), Some(3.6e307));
        assert_eq!(parse_duration(&digits(303)), None);
        assert_eq!(parse_duration(&format!("{}ms", digits(400))), None);
        assert_eq!(parse_duration(&format!("1h{}d", digits(305))), None);
    }

    #[test]
    fn rounds_the_sum_once_to_whole_milliseconds() {
        assert_eq!(parse_duration("0.5ms"), Some(1.0));
        assert_eq!(parse_duration("0.4ms0.4ms0.4ms"), Some(1.0));
        assert_eq!(parse_duration("0.49999999999999994ms"), Some(0.0));
    }

    #[test]
    fn requires_digits_on_both_sides_of_a_point() {
        for text in [".5h", "5.h", "1..5h", "1.5.5h", ".", "h", "1h.5m"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn parses_numbers_with_and_without_units() {
        assert_eq!(parse_duration(" 7D "), Some(604_800_000.0));
        assert_eq!(parse_duration("1.5"), Some(5_400_000.0));
        assert_eq!(parse_duration("2m500ms"), Some(120_500.0));
        assert_eq!(parse_duration("1h30"), None);
        assert_eq!(parse_duration("-1h"), None);
    }

    proptest! {
        #[test]
        fn parses_a_chain_to_the_sum_of_its_parts(
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
        fn returns_only_finite_whole_numbers_that_are_not_negative(text in "[0-9.msdhMSDHkK +e\u{a0}-]{0,12}") {
            if let Some(ms) = parse_duration(&text) {
                prop_assert!(ms.is_finite() && ms.is_sign_positive() && ms.fract() == 0.0);
            }
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = parse_duration(&text);
        }
    }
}
