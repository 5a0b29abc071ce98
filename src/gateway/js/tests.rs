#![expect(clippy::float_cmp, reason = "the results are exactly JavaScript's")]

use std::borrow::Cow;
#[cfg(unix)]
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::gateway::recording;

#[test]
fn converts_every_recorded_value_to_a_number_as_node_does() {
    let numbers = recording("tests/node-vectors/numbers.json", "rows");
    assert!(numbers.len() >= 200);
    for row in numbers {
        let json = row[0].as_str().unwrap();
        let expected: f64 = row[1].as_str().unwrap().parse().unwrap();
        let number = to_number(json.as_bytes());
        assert!(
            number == expected || (number.is_nan() && expected.is_nan()),
            "{json}: {number}, not {expected}"
        );
    }
}

/// The expected values are `mtimeMs` of Node.js for files with these times.
#[test]
fn converts_a_files_time_as_node_does() {
    for (nanoseconds, expected) in [
        (1_795_681_477_123_456_789, 1_795_681_477_123.456_8),
        (1_700_000_000_999_999_999, 1_700_000_001_000.0),
        (1_700_000_000_000_000_001, 1_700_000_000_000.0),
        (0, 0.0),
        (-1, -9.999_999_974_752_427e-7),
    ] {
        assert_eq!(mtime_ms(nanoseconds), expected, "{nanoseconds}");
    }
    assert_eq!(mtime_ms(-500_000_000), -500.0);
}

#[test]
fn parses_every_recorded_date_as_node_does() {
    let dates = recording("tests/node-vectors/dates.json", "rows");
    assert!(dates.len() >= 200);
    for row in dates {
        let date = row[0].as_str().unwrap();
        let expected = row[1].as_i64();
        assert_eq!(parse_iso_date(date), expected, "{date}");

        let (day, time) = date.split_once('T').unwrap();
        let is_archive_form =
            matches!(time.len(), 9 | 13) && time.ends_with('Z') && !time.contains(".Z");
        let stamp = format!("{day}T{}", time.replace(':', "-"));
        let expected = expected.filter(|_| is_archive_form);
        assert_eq!(parse_archive_stamp(&stamp), expected, "{stamp}");
    }
}

#[test]
fn trims_exactly_the_white_space_that_ecmascript_lists() {
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
    assert_eq!(trim("\u{feff} \u{a0}2 4h\u{3000}\n"), "2 4h");
}

#[test]
fn rounds_halves_upwards_and_values_just_below_a_half_downwards() {
    for (x, rounded) in [
        (0.5, 1.0),
        (1.5, 2.0),
        (2.5, 3.0),
        (-0.5, 0.0),
        (-1.5, -1.0),
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
fn converts_an_array_of_any_depth_without_exhausting_the_stack() {
    let nested = |element: &str| {
        let depth = 100_000;
        format!("{}{element}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
    };
    assert_eq!(to_number(&nested("")), 0.0);
    assert_eq!(to_number(&nested(" 5 ")), 5.0);
    assert!(to_number(&nested("1,2")).is_nan());
}

#[test]
fn treats_brackets_and_commas_in_strings_as_text() {
    assert!(to_number(br#"["]"]"#).is_nan());
    assert!(to_number(br#"["["]"#).is_nan());
    assert!(to_number(br#"["1","2"]"#).is_nan());
    assert!(to_number(br#"["\u0031","2"]"#).is_nan());
    assert!(to_number(br#"[" "," "]"#).is_nan());
    assert_eq!(to_number(br#"[[" 5 "]]"#), 5.0);
}

#[test]
fn converts_invalid_utf8_to_nan() {
    assert!(to_number(b"\"5\xff\"").is_nan());
    assert!(to_number(b"[\"\xe2\x80\"]").is_nan());
}

#[test]
fn rounds_a_hexadecimal_number_beyond_128_bits_by_all_its_digits() {
    // 2^53 + 1 lies halfway between two doubles.
    let tie = format!("\"0x20000000000001{}0\"", "0".repeat(39));
    let above = format!("\"0x20000000000001{}1\"", "0".repeat(39));
    let scale = 2_f64.powi(4 * 40);
    assert_eq!(
        to_number(tie.as_bytes()),
        9_007_199_254_740_992.0 * scale,
        "to even"
    );
    assert_eq!(
        to_number(above.as_bytes()),
        9_007_199_254_740_994.0 * scale,
        "upwards"
    );
}

#[test]
fn is_falsy_for_exactly_the_falsy_values_of_javascript() {
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
fn decodes_every_escape() {
    let json = br#" "\"\\\/\b\f\n\r\t\u0041\u00E9\ud83d\uDE00z" "#;
    let decoded = "\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{1f600}z";
    assert_eq!(text(json).as_deref(), Some(decoded));
    assert_eq!(wtf8(json).as_deref(), Some(decoded.as_bytes()));
}

#[test]
fn borrows_a_text_without_escapes() {
    assert!(matches!(text(br#""plain""#), Some(Cow::Borrowed("plain"))));
}

#[test]
fn replaces_lone_surrogates_in_text_and_keeps_them_in_wtf8() {
    let json = br#""a\ude00\ud83d\ud83d\ude00""#;
    assert_eq!(text(json).as_deref(), Some("a\u{fffd}\u{fffd}\u{1f600}"));
    assert_eq!(
        wtf8(json).as_deref(),
        Some(&b"a\xed\xb8\x80\xed\xa0\xbd\xf0\x9f\x98\x80"[..])
    );
    assert_ne!(wtf8(br#""\ud800""#), wtf8(br#""\ud801""#));
}

#[test]
fn replaces_invalid_utf8_as_node_does() {
    // A truncated sequence is one U+FFFD; a surrogate encoded as three bytes is three.
    assert_eq!(
        text(b"\"\xe2\x82|\xed\xa0\x80|\xff\"").as_deref(),
        Some("\u{fffd}|\u{fffd}\u{fffd}\u{fffd}|\u{fffd}")
    );
    assert_ne!(wtf8(b"\"\xed\xa0\x80\""), wtf8(br#""\ud800""#));
    let beside_an_escape = Some("\u{fffd}\n");
    assert_eq!(text(b"\"\xff\\n\"").as_deref(), beside_an_escape);
    assert_eq!(
        wtf8(b"\"\xff\\n\"").as_deref(),
        beside_an_escape.map(str::as_bytes)
    );
}

#[test]
fn decodes_only_strings() {
    for json in ["null", "1", "[\"a\"]", "{}", "true", "", "\"", "\"\\\""] {
        assert_eq!(text(json.as_bytes()), None, "{json}");
        assert_eq!(wtf8(json.as_bytes()), None, "{json}");
    }
}

#[test]
fn converts_a_time_to_milliseconds_rounded_towards_1970() {
    assert_eq!(epoch_ms(UNIX_EPOCH + Duration::from_micros(1500)), 1);
    assert_eq!(epoch_ms(UNIX_EPOCH - Duration::from_secs(1)), -1000);
}

#[test]
fn formats_a_time_as_iso_8601_and_for_the_name_of_an_archive() {
    assert_eq!(iso_stamp(1_772_366_400_000), "2026-03-01T12:00:00.000Z");
    assert_eq!(archive_stamp(1_772_366_400_000), "2026-03-01T12-00-00.000Z");
}

#[test]
fn limits_a_formatted_time_to_the_years_1970_to_9999() {
    assert_eq!(iso_stamp(-1), "1970-01-01T00:00:00.000Z");
    assert_eq!(iso_stamp(i64::MAX), "9999-12-31T23:59:59.999Z");
}

#[test]
fn accepts_an_archive_stamp_with_and_without_milliseconds() {
    let noon = Some(1_772_366_400_000);
    assert_eq!(parse_archive_stamp("2026-03-01T12-00-00.000Z"), noon);
    assert_eq!(parse_archive_stamp("2026-03-01T12-00-00Z"), noon);
}

#[test]
fn rejects_an_archive_stamp_of_another_form() {
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
        "2026-03-01T24-00-01Z",
        "+026-03-01T12-00-00.000Z",
        "2026-03-01T12-00-\u{663}0.000Z",
        "2026-03-01T12-00-0\u{e9}.000Z",
    ] {
        assert_eq!(parse_archive_stamp(stamp), None, "{stamp}");
    }
}

#[test]
fn subtracts_a_valid_offset_and_rejects_any_other_zone() {
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
fn ignores_fractions_of_a_millisecond_except_after_24_00() {
    assert_eq!(parse_iso_date("1970-01-01T00:00:00.1Z"), Some(100));
    assert_eq!(parse_iso_date("1970-01-01T00:00:00.0019999Z"), Some(1));
    assert_eq!(parse_iso_date("1969-12-31T23:59:59.9999Z"), Some(-1));
    assert_eq!(parse_iso_date("1970-01-01T24:00:00.0001Z"), None);
}

#[cfg(unix)]
#[test]
fn resolves_paths_as_node_does() {
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
        ("/a/b", ".c/..d/e.", "/a/b/.c/..d/e."),
        ("/a/b", "c/", "/a/b/c"),
        ("/a/b", "c/..", "/a/b"),
        ("/", "..", "/"),
        ("/", "", "/"),
    ] {
        assert_eq!(
            resolve(Path::new(base), Path::new(path)).as_os_str(),
            resolved,
            "{base} {path}"
        );
    }
}

/// UTF-16 code units among which surrogates are frequent.
fn code_units() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        proptest::sample::select(vec![0xd83d, 0xde00, 0xd800, 0xdfff]),
        proptest::sample::select(vec![0x61, 0xe9, 0xd7ff, 0xe000, 0xfffd]),
    ];
    proptest::collection::vec(unit, 0..5)
}

fn escaped(units: &[u16]) -> Vec<u8> {
    let escapes = units.iter().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", escapes.collect::<Vec<_>>().concat()).into_bytes()
}

proptest! {
    #[test]
    fn decodes_any_code_units_as_javascript_does(units in code_units()) {
        let json = escaped(&units);
        prop_assert_eq!(text(&json).unwrap(), String::from_utf16_lossy(&units));
        if let Ok(string) = String::from_utf16(&units) {
            prop_assert_eq!(wtf8(&json).unwrap(), string.into_bytes());
        }
    }

    #[test]
    fn returns_equal_wtf8_exactly_for_equal_code_units(a in code_units(), b in code_units()) {
        prop_assert_eq!(wtf8(&escaped(&a)) == wtf8(&escaped(&b)), a == b);
    }

    #[test]
    fn decodes_any_string_that_serde_json_writes(value in any::<String>()) {
        let json = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(text(&json), Some(Cow::from(value.as_str())));
        prop_assert_eq!(wtf8(&json), Some(value.into_bytes()));
    }

    #[test]
    fn parses_a_formatted_time_to_the_same_time(ms in 0_i64..253_402_300_800_000) {
        prop_assert_eq!(parse_archive_stamp(&archive_stamp(ms)), Some(ms));
        prop_assert_eq!(parse_iso_date(&iso_stamp(ms)), Some(ms));
    }

    #[test]
    fn never_panics_on_a_date(date in "[0-9+-]{4}.[0-9]{2}.[0-9]{2}T.{0,20}") {
        let _ = parse_iso_date(&date);
        let _ = parse_archive_stamp(&date);
    }

    #[test]
    fn never_panics_on_a_value(json in any::<Vec<u8>>()) {
        let _ = (to_number(&json), is_falsy(&json), text(&json), wtf8(&json));
    }
}
