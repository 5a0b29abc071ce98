#![expect(clippy::format_push_string, reason = "a test need not be fast")]

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::abort::Abort;
use crate::error::Error;
use crate::store::survey::Survey;
use crate::store::tests::{CUTOFF_MS, StoreFile, TestPolicy, place, run_key, swept};
use crate::system::Os;

/// Returns a store in the gateway's format with runs of these `updatedAt`.
fn pretty(runs: &[u8]) -> String {
    let mut text = String::from("{");
    for (number, at) in runs.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let key = run_key(u32::try_from(number).unwrap());
        text += &format!("{comma}\n  \"{key}\": {{\n    \"updatedAt\": {at}\n  }}");
    }
    text + if runs.is_empty() { "}" } else { "\n}" }
}

#[test]
fn keeps_the_format_of_a_pretty_printed_store() {
    for pattern in 0..64_u32 {
        // Every pattern of six expired and other runs. The expected store has the kept runs' numbers.
        let runs: Vec<u8> = (0..6).map(|run| 99 + (pattern >> run & 1) as u8).collect();
        let kept: Vec<usize> = (0..6).filter(|run| runs[*run] == 100).collect();
        let mut expected = pretty(&vec![100; kept.len()]);
        for (number, run) in kept.iter().enumerate().rev() {
            let number = u32::try_from(number).unwrap();
            let run = u32::try_from(*run).unwrap();
            expected = expected.replacen(&run_key(number), &run_key(run), 1);
        }
        assert_eq!(
            swept(pretty(&runs)),
            (expected, 6 - kept.len() as u64),
            "{runs:?}"
        );
    }
}

#[test]
fn keeps_the_white_space_around_kept_entries() {
    let run = |number| format!("\"{}\":1", run_key(number));
    for (store, expected) in [
        (format!(" {{ {} }} ", run(1)), " {} ".to_owned()),
        (
            format!("\r\n{{\t\"a\" : 1 , {} }}\r\n", run(1)),
            "\r\n{\t\"a\" : 1 }\r\n".to_owned(),
        ),
        (
            format!("{{{} , \"a\" : 1 }}", run(1)),
            "{ \"a\" : 1 }".to_owned(),
        ),
        (
            format!("{{{},{},\"a\":1,{}}}", run(1), run(2), run(3)),
            "{\"a\":1}".to_owned(),
        ),
        (" { } ".to_owned(), " { } ".to_owned()),
    ] {
        assert_eq!(swept(&store).0, expected, "{store}");
    }
}

#[test]
fn treats_a_duplicate_key_as_having_its_first_position_and_its_last_value() {
    let (one, two) = (run_key(1), run_key(2));
    let escaped = one.replace("agent", "\\u0061gent");
    for (store, expected, removed) in [
        // The first value is expired, the last is not: both are kept.
        (
            format!(r#"{{"{one}": {{}}, "{one}": {{"updatedAt": 100}}}}"#),
            None,
            vec![],
        ),
        (
            format!(r#"{{"{one}": {{}}, "{escaped}": {{"updatedAt": 100}}, "{two}": {{}}}}"#),
            Some(format!(
                r#"{{"{one}": {{}}, "{escaped}": {{"updatedAt": 100}}}}"#
            )),
            vec![None],
        ),
        // The last value is expired: both are removed, and the last one's transcript is archived.
        (
            format!(
                r#"{{"{one}": {{"updatedAt": 100, "sessionId": "a"}}, "x": 1, "{two}": {{"sessionId": "b"}}, "{escaped}": {{"sessionId": "c"}}}}"#
            ),
            Some(r#"{ "x": 1}"#.to_owned()),
            vec![Some("c"), Some("b")],
        ),
        (
            format!(
                r#"{{"{one}": {{"sessionId": "a"}}, "{one}": {{"sessionId": "b"}}, "{one}": 7}}"#
            ),
            Some("{}".to_owned()),
            vec![None],
        ),
    ] {
        for buffer in [1, 16, 4096] {
            let mut policy = TestPolicy::default();
            let (rewritten, text) = StoreFile::new(&store).rewrite(buffer, &mut policy).unwrap();
            let expected = expected.as_ref().unwrap_or(&store);
            assert_eq!(String::from_utf8(text).unwrap(), *expected, "{store}");
            let ids: Vec<_> = policy
                .removed
                .iter()
                .map(|run| run.session_id.text())
                .collect();
            assert_eq!(ids, removed);
            assert_eq!(rewritten.removed, removed.len() as u64);
        }
    }
}

/// Returns the session ids of kept entries, and the number of restarts.
fn kept_ids(store: &str) -> (Vec<String>, u32) {
    let mut policy = TestPolicy::default();
    StoreFile::new(store).rewrite(1 << 20, &mut policy).unwrap();
    let ids = policy.kept.into_iter().filter_map(|(id, _)| id);
    (ids.collect(), policy.restarts)
}

#[test]
fn ignores_the_references_of_an_earlier_value_of_a_duplicate_key() {
    let removed = run_key(1);
    for kept in [run_key(2), "7".to_owned()] {
        let store = format!(
            r#"{{"{kept}": {{"sessionId": "old", "updatedAt": 100}}, "{removed}": 1, "{kept}": {{"sessionId": "new", "updatedAt": 100}}}}"#
        );
        assert_eq!(kept_ids(&store), (vec!["new".to_owned()], 1), "{kept}");
    }
}

#[test]
fn counts_the_references_of_all_values_of_other_keys_beyond_the_number_that_is_compared() {
    let removed = run_key(1);
    let distinct: Vec<_> = (0..1 << 14).map(|n| format!(r#""{n}": 1, "#)).collect();
    let distinct = distinct.concat();
    let twice = r#""a": {"sessionId": "old"}, "a": {"sessionId": "new"}"#;
    let both = ["old", "new"].map(str::to_owned).to_vec();
    let store = format!(r#"{{{distinct} "{removed}": 1, {twice}}}"#);
    assert_eq!(kept_ids(&store), (both, 0));
    let store = format!(r#"{{{twice}, {distinct} "{removed}": 1}}"#);
    assert_eq!(kept_ids(&store), (vec!["new".to_owned()], 1));
}

/// A key whose last value is not read any more does not have an earlier one instead.
#[test]
fn counts_the_references_of_all_values_of_other_keys_that_need_too_much_memory() {
    let long = "x".repeat(500_000);
    let entry = |n, id: &str| format!(r#""{n}{long}": {{"sessionId": "{id}"}}"#);
    let first = (0..10).map(|n| entry(n, "old"));
    let last = (0..10).map(|n| entry(n, &n.to_string()));
    let entries: Vec<_> = first.chain(last).collect();
    let store = format!(r#"{{{}, "{}": 1}}"#, entries.join(","), run_key(1));
    let (ids, _) = kept_ids(&store);
    for id in (0..10).map(|n| n.to_string()) {
        assert!(ids.contains(&id), "{id} is missing in {ids:?}");
    }
}

#[test]
fn refuses_a_store_with_more_duplicate_keys_than_memory() {
    let long = "x".repeat(500_000);
    let entry = |n| format!(r#""{}{long}": {{}}"#, run_key(n));
    let entries: Vec<_> = (0..20).chain(0..20).map(entry).collect();
    let store = format!("{{{}}}", entries.join(","));
    let mut policy = TestPolicy::default();
    let error = StoreFile::new(store)
        .rewrite(1 << 20, &mut policy)
        .unwrap_err();
    assert!(
        error.to_string().contains("has too many duplicate keys"),
        "{error}"
    );
    assert_eq!(error.code(), "ERR_SESSION_STORE_INVALID");
}

#[test]
fn distinguishes_keys_that_differ_only_in_lone_surrogates() {
    let key = |unit: &str| run_key(1) + unit;
    let store = format!(
        r#"{{"{}": {{}}, "{}": {{"updatedAt": 100}}}}"#,
        key("\\ud800"),
        key("\\ud801")
    );
    let (text, removed) = swept(&store);
    assert_eq!(
        text,
        format!(r#"{{ "{}": {{"updatedAt": 100}}}}"#, key("\\ud801"))
    );
    assert_eq!(removed, 1);
}

#[test]
fn keeps_an_expired_run_that_the_policy_keeps() {
    let store = format!(
        r#"{{"{}": {{"sessionId": "a", "updatedAt": 5}}, "{}": {{"sessionId": "b", "updatedAt": 3}}}}"#,
        run_key(1),
        run_key(2)
    );
    let mut policy = TestPolicy {
        locked: Some("a".to_owned()),
        ..TestPolicy::default()
    };
    let (rewritten, text) = StoreFile::new(&store).rewrite(4096, &mut policy).unwrap();
    assert!(store.starts_with(std::str::from_utf8(&text).unwrap().trim_end_matches('}')));
    assert_eq!(rewritten.removed, 1);
    assert_eq!(policy.removed[0].session_id.text(), Some("b"));
    assert_eq!(rewritten.earliest.to_bits(), 5_f64.to_bits());
    assert_eq!(policy.kept, [(Some("a".to_owned()), None)]);
}

#[cfg(unix)] // `Faulty` is for Unix.
#[test]
fn stops_at_every_read_of_its_three_passes_if_aborted() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::testing::Faulty;

    // The duplicate key causes the second and the third pass.
    let entry = format!(r#""{}":{{"updatedAt":99}}"#, run_key(1));
    let text = format!("{{{entry},{entry}}}");
    let store = StoreFile::new(&text);
    let mut buffer = [0; 10];
    let reads = 3 * (text.len().div_ceil(buffer.len()) + 1);
    let mut abort_at = |at| {
        let (abort, count) = (Abort::default(), Arc::new(AtomicUsize::new(0)));
        let (requested, counted) = (abort.clone(), Arc::clone(&count));
        let system = Faulty::new(move |call, _| {
            if call == "read_at" && counted.fetch_add(1, Ordering::Relaxed) + 1 == at {
                requested.request();
            }
            None
        });
        let source = Source {
            system: &system,
            file: &system.open(&store.path).unwrap(),
            path: &store.path,
            abort: &abort,
        };
        let mut policy = TestPolicy::default();
        let result = rewrite(source, CUTOFF_MS, None, &mut policy, &mut buffer);
        (result, count.load(Ordering::Relaxed))
    };
    let (result, count) = abort_at(usize::MAX);
    assert_eq!(result.unwrap().removed, 1);
    assert_eq!(count, reads);
    for at in 1..reads {
        let (result, count) = abort_at(at);
        assert!(matches!(result, Err(Error::Aborted)), "{at}: {result:?}");
        assert_eq!(count, at);
    }
}

/// An entry of a random store.
#[derive(Debug, Clone)]
struct Part {
    key: String,
    value: String,
    /// The white space before the key, the colon, the value and the comma.
    spaces: [String; 4],
}

fn part() -> impl Strategy<Value = Part> {
    let key = prop_oneof![
        4 => (0..6_u32).prop_map(run_key),
        1 => (0..6_u32).prop_map(|run| run_key(run).replace('a', "\\u0061")),
        1 => (0..6_u32).prop_map(|run| run_key(run).to_uppercase()),
        2 => "[a-z:é😀]{0,9}",
    ];
    let number = prop_oneof![
        Just("99"),
        Just("100"),
        Just("5e1"),
        Just("\"7\""),
        Just("null"),
        Just("{}"),
        Just("[1,2]")
    ];
    let string = prop_oneof![
        "\"([a-zé ]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-f]{4})*\"",
        "\"[a-c]\"",
        Just("7".to_owned()),
    ];
    let object = (number, string.clone(), string).prop_map(|(at, id, file)| {
        format!(r#"{{"updatedAt": {at}, "n": [{{"updatedAt": 1}}, "}}"], "sessionId": {id}, "sessionFile":{file}}}"#)
    });
    let value = prop_oneof![
        6 => object,
        1 => prop_oneof![Just("null"), Just("0"), Just("\"\""), Just("[]"), Just("-1.5e3"), Just("true"), Just("{}")]
            .prop_map(str::to_owned),
    ];
    let spaces = proptest::array::uniform4("[ \n\r\t]{0,3}");
    (key, value, spaces).prop_map(|(key, value, spaces)| Part { key, value, spaces })
}

/// Returns a store, and for each entry the end of the comma before it and the end of its value.
fn assemble(parts: &[Part]) -> (String, Vec<(usize, usize)>) {
    let mut text = " {".to_owned();
    let mut places = Vec::new();
    for (
        number,
        Part {
            key,
            value,
            spaces: [a, b, c, d],
        },
    ) in parts.iter().enumerate()
    {
        if number > 0 {
            text.push(',');
        }
        let start = text.len();
        text += &format!("{a}\"{key}\"{b}:{c}{value}");
        places.push((start, text.len()));
        text += d;
    }
    (text + "}\n", places)
}

/// Decides from the parsed values, as JavaScript does. Returns for each entry whether it is removed,
/// and the ids of the removed runs.
fn model(parts: &[Part]) -> (Vec<bool>, Vec<Option<String>>) {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    let keys: Vec<String> = parts
        .iter()
        .map(|part| serde_json::from_str(&format!("\"{}\"", part.key)).unwrap())
        .collect();
    let last = |key: &String| keys.iter().rposition(|other| other == key).unwrap();
    let is_removed: Vec<bool> = keys
        .iter()
        .map(|key| {
            let key_is_run = key
                .to_lowercase()
                .starts_with("agent:main:cron:nightly:run:");
            let value = &parts[last(key)].value;
            // Only the values that `part` returns are handled.
            let field = value
                .split("\"updatedAt\": ")
                .nth(1)
                .map(|rest| rest.split(", \"n\"").next().unwrap());
            let expired = match field {
                Some("99" | "5e1" | "\"7\"" | "null") => true,
                Some(_) => false,
                None => !matches!(value.as_str(), "null" | "0" | "\"\""),
            };
            key_is_run && expired
        })
        .collect();
    let first = |at: usize| keys.iter().position(|other| *other == keys[at]) == Some(at);
    let removed = (0..parts.len())
        .filter(|at| is_removed[*at] && first(*at))
        .map(|at| {
            // `serde_json` rejects lone surrogates. Their ids are not compared.
            let value = json(&parts[last(&keys[at])].value).ok()?;
            Some(value.get("sessionId")?.as_str()?.to_owned())
        })
        .collect();
    (is_removed, removed)
}

/// Removes entries from the whole text.
fn without_removed(text: &str, places: &[(usize, usize)], is_removed: &[bool]) -> String {
    let open = text.find('{').unwrap() + 1;
    let close = text.rfind('}').unwrap();
    let kept: Vec<usize> = (0..is_removed.len())
        .filter(|at| !is_removed[*at])
        .collect();
    if kept.len() == is_removed.len() {
        return text.to_owned();
    }
    let Some((first, others)) = kept.split_first() else {
        return text[..open].to_owned() + &text[close..];
    };
    let mut result = text[..open].to_owned();
    result += &text[if *first == 0 { open } else { places[*first].0 }..places[*first].1];
    for at in others {
        // With the comma before it.
        result += &text[places[*at - 1].1..places[*at].1];
    }
    result + &text[places[is_removed.len() - 1].1..]
}

proptest! {
    #[test]
    fn agrees_with_a_model_that_parses_whole_values(
        parts in proptest::collection::vec(part(), 0..9),
        buffer in prop_oneof![1..100_usize, Just(4096)],
    ) {
        let (text, places) = assemble(&parts);
        let (is_removed, removed) = model(&parts);
        let store = StoreFile::new(&text);
        let mut policy = TestPolicy::default();
        let (rewritten, result) = store.rewrite(buffer, &mut policy).unwrap();
        prop_assert_eq!(String::from_utf8(result).unwrap(), without_removed(&text, &places, &is_removed));
        prop_assert_eq!(rewritten.entries, parts.len() as u64);
        prop_assert_eq!(rewritten.removed, removed.len() as u64);
        for (run, id) in policy.removed.iter().zip(removed) {
            prop_assert!(id.is_none() || run.session_id.text() == id.as_deref());
        }
        let due = store.survey(buffer).unwrap() == Survey::Due;
        prop_assert!(due || rewritten.removed == 0);
    }

    #[test]
    fn has_the_same_result_with_any_size_of_the_buffer(
        parts in proptest::collection::vec(part(), 0..5),
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut text = assemble(&parts).0.into_bytes();
        if let Some((at, byte)) = damage {
            *at.get_mut(&mut text) = byte;
        }
        let store = StoreFile::new(&text);
        let outcome = |buffer| {
            let mut policy = TestPolicy::default();
            let rewritten = store.rewrite(buffer, &mut policy).map_err(|error| error.to_string());
            (rewritten, policy)
        };
        prop_assert_eq!(outcome(1), outcome(text.len()));
        // A survey that ends early does not detect an invalid byte after that.
        let survey = |buffer| store.survey(buffer).map_err(|error| error.to_string());
        if survey(1) != Ok(Survey::Due) {
            prop_assert_eq!(survey(1), survey(text.len()));
        }
    }
}

#[test]
fn copies_entries_that_are_larger_than_the_buffer() {
    let long = r#"\"é\n\\\u00e9 and so on"#.repeat(2000);
    let parts: Vec<Part> = (0..60)
        .map(|number| {
            let at = if number % 7 < 3 { 99 } else { 100 };
            // Some entries are short, and some are not runs.
            let label = if number % 4 == 0 { "" } else { &long };
            let key = if number % 5 == 0 {
                format!("{number}")
            } else {
                run_key(number)
            };
            Part {
                key,
                value: format!(r#"{{"label": "{label}", "updatedAt": {at}, "n": "{label}"}}"#),
                spaces: ["\n  ", "", " ", ""].map(str::to_owned),
            }
        })
        .collect();
    let (text, places) = assemble(&parts);
    let is_removed: Vec<bool> = (0..60)
        .map(|number| number % 7 < 3 && number % 5 != 0)
        .collect();
    let expected = without_removed(&text, &places, &is_removed);
    let store = StoreFile::new(&text);
    for buffer in [4 << 10, 100_000, 256 << 10, 8 << 20] {
        let (rewritten, result) = store.rewrite(buffer, &mut TestPolicy::default()).unwrap();
        assert!(result == expected.as_bytes(), "a buffer of {buffer}");
        assert_eq!(
            rewritten.removed,
            is_removed.iter().filter(|is_removed| **is_removed).count() as u64
        );
    }
}

#[test]
fn fails_if_the_store_is_truncated_during_the_rewrite() {
    /// Truncates the store at the first decision.
    struct Truncate<'a>(&'a Path);
    impl RemovalPolicy for Truncate<'_> {
        fn removes(&mut self, _: &Facts<'_>) -> bool {
            std::fs::File::options()
                .write(true)
                .open(self.0)
                .unwrap()
                .set_len(20)
                .unwrap();
            false
        }
        fn keeps(&mut self, _: &SessionId<'_>, _: Option<&str>) {}
        fn restart(&mut self) {}
    }
    let store = StoreFile::new(pretty(&[99, 100, 99]));
    let file = Os.open(&store.path).unwrap();
    let out = Os.create_new(&store.folder.path().join("out")).unwrap();
    let mut policy = Truncate(&store.path);
    let abort = Abort::default();
    let result = rewrite(
        store.source(&file, &abort),
        CUTOFF_MS,
        Some(&out),
        &mut policy,
        &mut [0; 16],
    );
    let (_, reason) = place(&result.unwrap_err());
    assert_eq!(reason, "the file became shorter while it was being read");
}
