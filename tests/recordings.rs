//! Replays what was recorded of the gateway and of Node.js against the rules that need no file.
#![expect(clippy::float_cmp, reason = "JavaScript's result, to the last bit")]

use cron_session_reaper::gateway::retention::{self, Setting, parse_duration};
use cron_session_reaper::gateway::{js, session_key};
use serde_json::Value;

fn recording(json: &str, table: &str) -> Vec<Value> {
    let recording: Value = serde_json::from_str(json).expect("a recording is JSON");
    let rows = recording[table].as_array();
    rows.expect("a recording holds its table").clone()
}

fn retention_recording(table: &str) -> Vec<Value> {
    let json = include_str!("../__test__/gateway-vectors/retention.json");
    recording(json, table)
}

/// Equal to the last bit as far as whole milliseconds go. Beyond 2^53, `serde_json` itself reads
/// the recording's number up to one bit off.
fn same_ms(read: Option<f64>, recorded: Option<f64>) -> bool {
    match (read, recorded) {
        (Some(read), Some(recorded)) if recorded > 9_007_199_254_740_992.0 => {
            (read - recorded).abs() <= f64::EPSILON * recorded
        }
        _ => read == recorded,
    }
}

#[test]
fn every_recorded_duration_is_read_as_the_gateway_reads_it() {
    let durations = retention_recording("durations");
    assert!(durations.len() >= 200);
    for duration in durations {
        let input = duration["input"].as_str().unwrap();
        let (ms, expected) = (parse_duration(input), duration["ms"].as_f64());
        assert!(same_ms(ms, expected), "{input:?}: {ms:?}, not {expected:?}");
        assert_eq!(
            retention::resolve(Setting::Text(input)),
            ms.or(Some(retention::DEFAULT_MS)),
            "{input:?}"
        );
        assert_eq!(
            expected.or(Some(retention::DEFAULT_MS)),
            duration["retentionMs"].as_f64(),
            "{input:?}"
        );
    }
}

#[test]
fn every_recorded_configuration_has_the_gateways_retention() {
    let configs = retention_recording("configs");
    assert!(configs.len() >= 10);
    for config in configs {
        let setting = match &config["config"]["sessionRetention"] {
            Value::Bool(false) => Setting::Disabled,
            Value::String(text) => Setting::Text(text),
            _ => Setting::Absent,
        };
        let expected = config["retentionMs"].as_f64();
        assert_eq!(retention::resolve(setting), expected, "{config}");
    }
}

#[test]
fn every_recorded_key_is_a_run_where_the_gateway_says_so() {
    let json = include_str!("../__test__/gateway-vectors/session-keys.json");
    let keys = recording(json, "keys");
    assert!(keys.len() >= 200);
    for recorded in keys {
        let key = recorded["key"].as_str().unwrap();
        let expected = recorded["cronRun"].as_bool().unwrap();
        assert_eq!(session_key::is_cron_run(key), expected, "{key:?}");
    }
}

#[test]
fn every_recorded_date_is_read_as_node_reads_it() {
    let dates = recording(include_str!("node-vectors/dates.json"), "rows");
    assert!(dates.len() >= 200);
    for row in dates {
        let date = row[0].as_str().unwrap();
        let expected = row[1].as_i64();
        assert_eq!(js::parse_iso_date(date), expected, "{date}");

        let (day, time) = date.split_once('T').unwrap();
        let is_archive_form =
            matches!(time.len(), 9 | 13) && time.ends_with('Z') && !time.contains(".Z");
        let stamp = format!("{day}T{}", time.replace(':', "-"));
        let expected = expected.filter(|_| is_archive_form);
        assert_eq!(js::parse_archive_stamp(&stamp), expected, "{stamp}");
    }
}

#[test]
fn every_recorded_value_is_the_number_that_node_makes_of_it() {
    let numbers = recording(include_str!("node-vectors/numbers.json"), "rows");
    assert!(numbers.len() >= 200);
    for row in numbers {
        let json = row[0].as_str().unwrap();
        let expected: f64 = row[1].as_str().unwrap().parse().unwrap();
        let read = js::to_number(json.as_bytes());
        assert!(
            read == expected || (read.is_nan() && expected.is_nan()),
            "{json}: {read}, not {expected}"
        );
    }
}
