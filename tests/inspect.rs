//! What an inspection finds in a store and in its folder.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use cron_session_reaper::abort::Abort;
use cron_session_reaper::error::{Error, Result};
use cron_session_reaper::inspect::stats::{Job, Stats, Sum, stats};
use cron_session_reaper::inspect::{Inspection, Request, inspect};
use cron_session_reaper::store::reading::Source;
use cron_session_reaper::system::{Os, System};
use cron_session_reaper::transcripts::Tally;
use proptest::prelude::*;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use support::{Faulty, Tree};

const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";

/// A run of 99 is expired here, one of 100 is not.
fn request(store: &Path) -> Request<'_> {
    Request {
        store,
        now_ms: 150.0,
        retention_ms: Some(50.0),
        top: 5,
    }
}

fn look(store: &Path) -> Result<Inspection> {
    inspect(&Os, request(store), &Abort::default(), |_, _| {})
}

fn census_of(text: &str) -> Stats {
    let tree = Tree::new();
    look(&tree.file_of("sessions.json", text.as_bytes()))
        .unwrap()
        .stats
}

fn sum(entries: u64, bytes: usize) -> Sum {
    let bytes = u64::try_from(bytes).unwrap();
    Sum { entries, bytes }
}

fn files(files: u64, bytes: u64) -> Tally {
    Tally { files, bytes }
}

#[test]
fn files_are_told_apart_by_their_names_and_only_regular_ones_right_in_the_folder_count() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", b"{}");
    tree.file_of("a.jsonl", b"12345");
    tree.file_of("b.jsonl", b"123");
    tree.file_of("sub/c.jsonl", b"123");
    tree.folder("d.jsonl");
    tree.fifo("e.jsonl");
    tree.link("f.jsonl", "a.jsonl");
    tree.file_of("a.jsonl.deleted.2026-03-01T12-00-00.000Z", b"1");
    tree.file_of("b.jsonl.deleted.2026-02-01T12-00-00Z", b"12");
    tree.link("c.jsonl.deleted.2026-01-01T12-00-00.000Z", "a.jsonl");
    tree.file_of("b.jsonl.deleted.yesterday", b"1234567");
    tree.file_of(&format!("sessions.json.{UUID}.tmp"), b"1234");
    tree.file_of(&format!("sessions.json.77.{UUID}.tmp"), b"1");
    tree.file_of("sessions.json.reaper.1.2.tmp", b"1");
    tree.file_of("sessions.json.lock.77-0.tmp", b"1");
    tree.file_of(&format!("other.json.{UUID}.tmp"), b"12");
    tree.file_of("sessions.json.lock", b"{}");

    let found = look(&store).unwrap();

    assert_eq!(found.bytes, 2);
    assert_eq!(found.transcripts, files(2, 8));
    assert_eq!(found.archives, files(2, 3));
    assert_eq!(found.oldest_archive_ms, Some(1_769_947_200_000));
    assert_eq!(found.temps, files(4, 7));
    assert_eq!(found.others, files(3, 7 + 2 + 2));
}

#[test]
fn a_linked_store_has_its_temps_at_its_target_and_everything_else_beside_the_link() {
    let tree = Tree::new();
    tree.file_of("disk/store.json", b"{\"a\":1}");
    tree.file_of(&format!("disk/store.json.{UUID}.tmp"), b"123");
    tree.file_of("disk/not-ours.jsonl", b"1");
    tree.file_of("sessions/a.jsonl", b"12");
    let link = tree.link("sessions/sessions.json", "../disk/store.json");

    let found = look(&link).unwrap();

    assert_eq!((found.bytes, found.stats.all), (7, sum(1, 5)));
    assert_eq!(found.temps, files(1, 3));
    assert_eq!(found.transcripts, files(1, 2));
    assert_eq!(found.others, files(0, 0));
}

#[test]
fn looking_changes_nothing_and_takes_no_lock() {
    let tree = Tree::new();
    let text = br#"{"agent:main:cron:j:run:1": {"sessionId": "a"}}"#;
    let store = tree.file_of("sessions.json", text);
    tree.file_of("a.jsonl", b"1");
    tree.file_of(&format!("sessions.json.{UUID}.tmp"), b"1");
    tree.file_of("a.jsonl.deleted.2020-03-01T12-00-00.000Z", b"1");
    let before = tree.all();
    let system = Faulty::new(|call, _| {
        let reads = ["open", "stat", "stat_open", "read_at", "canonicalize"];
        (!reads.contains(&call)).then_some(ErrorKind::PermissionDenied)
    });

    let found = inspect(&system, request(&store), &Abort::default(), |_, _| {});

    assert_eq!(found.unwrap().stats.runs.expired.entries, 1);
    assert_eq!(tree.changes(&before), [""; 0]);
}

#[test]
fn the_size_of_an_entry_goes_from_the_comma_before_it_to_its_end() {
    let first = "\n  \"agent:main:cron:j:run:1\": {\"updatedAt\": 99}";
    let second = " \"agent:main:cron:j:run:2\" :\t{\"updatedAt\": 100}";
    let third = "\"agent:main:main\":[\"x,}\"]";
    let found = census_of(&format!(" {{{first} ,{second},{third}\n}}\n"));

    let runs = sum(2, first.len() + second.len());
    let expired = sum(1, first.len());
    let all = sum(3, first.len() + second.len() + third.len());
    assert_eq!(found.all, all);
    assert_eq!(found.runs, Job { runs, expired });
    assert_eq!(found.updated_at_ms, Some((99.0, 100.0)));
    assert_eq!(found.biggest_jobs, [("j".to_owned(), found.runs)]);
    let kinds = [
        ("cron run".to_owned(), runs),
        ("main".to_owned(), sum(1, third.len())),
    ];
    assert_eq!(found.kinds, kinds);
}

#[test]
fn without_a_retention_no_run_is_expired() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", br#"{"agent:main:cron:j:run:1": {}}"#);
    let for_ever = Request {
        retention_ms: None,
        ..request(&store)
    };
    let found = inspect(&Os, for_ever, &Abort::default(), |_, _| {});
    let runs = found.unwrap().stats.runs;
    assert_eq!((runs.runs.entries, runs.expired.entries), (1, 0));
}

#[test]
fn a_key_that_stands_twice_counts_twice() {
    let run = r#""agent:main:cron:j:run:1":{}"#;
    let found = census_of(&format!("{{{run},{run}}}"));
    assert_eq!(found.all, sum(2, 2 * run.len()));
    assert_eq!(found.runs.expired.entries, 2);
    assert_eq!(found.biggest_entries.len(), 2);
}

#[test]
fn the_biggest_come_first_and_equal_ones_by_name() {
    let entry = |key: &str, size: usize| format!("\"{key}\":\"{}\"", "x".repeat(size));
    let sizes = [
        ("c", 9),
        ("b", 5),
        ("g", 1),
        ("a", 5),
        ("f", 2),
        ("e", 7),
        ("d", 5),
    ];
    let entries = sizes.map(|(key, size)| entry(key, size));
    let found = census_of(&format!("{{{}}}", entries.join(",")));
    let keys = found.biggest_entries.iter().map(|(key, _)| key.as_str());
    assert_eq!(keys.collect::<String>(), "ceabd");
    assert_eq!(found.biggest_entries[0].1, 15);
}

#[test]
fn only_as_many_kinds_are_named_as_there_may_be_channels() {
    for different in [24_usize, 30, 3000] {
        let entry = |n| format!("\"agent:main:k{n}:direct:1\":\"{}\"", "x".repeat(n % 100));
        let entries: Vec<_> = (0..different).map(entry).collect();
        let found = census_of(&format!("{{{}}}", entries.join(",")));
        let named = found.kinds.iter().filter(|(kind, _)| kind != "other");
        assert_eq!(named.count(), 24, "{different}");
        assert_eq!(found.kinds.len(), if different == 24 { 24 } else { 25 });
        let (_, last) = &found.kinds[found.kinds.len() - 1];
        let sums = found.kinds.iter().map(|(_, sum)| sum.entries);
        assert_eq!(sums.sum::<u64>(), different as u64);
        assert!(different == 24 || last.entries == different as u64 - 24);
    }
}

#[test]
fn long_keys_and_names_are_cut_short() {
    for (length, expected) in [(1000, "é".repeat(1000)), (1001, "é".repeat(1000) + "…")] {
        let key = "é".repeat(length);
        let found = census_of(&format!("{{\"{key}\":1}}"));
        assert_eq!(found.biggest_entries[0].0, expected);
        let found = census_of(&format!("{{\"agent:a:cron:{key}:run:1\":1}}"));
        assert_eq!(found.biggest_jobs[0].0, expected);
    }
    // Beyond what the scanner remembers of a key.
    let found = census_of(&format!("{{\"{}\":1}}", "x".repeat(2 << 20)));
    assert_eq!(found.biggest_entries[0].0, "…");
    assert_eq!(found.kinds, [("other".to_owned(), found.all)]);
}

#[test]
fn a_list_is_never_longer_than_asked_for_nor_than_a_thousand() {
    let tree = Tree::new();
    let entry = |n| format!("\"agent:a:cron:j{n}:run:1\":1");
    let entries: Vec<_> = (0..1100).map(entry).collect();
    let text = format!("{{{}}}", entries.join(","));
    let store = tree.file_of("sessions.json", text.as_bytes());
    for (top, listed) in [(0, 0), (1, 1), (usize::MAX, 1000)] {
        let request = Request {
            top,
            ..request(&store)
        };
        let found = inspect(&Os, request, &Abort::default(), |_, _| {})
            .unwrap()
            .stats;
        assert_eq!(found.biggest_entries.len(), listed);
        assert_eq!(found.biggest_jobs.len(), listed);
    }
}

#[test]
fn a_store_that_is_missing_damaged_or_none_is_an_error_that_says_so() {
    let tree = Tree::new();
    let error = look(&tree.at("sessions.json")).unwrap_err();
    assert_eq!(error.code(), "ENOENT");
    let path = tree.at("sessions.json").display().to_string();
    let text = format!("cannot find {path}: ENOENT: no such file or directory");
    assert_eq!(error.to_string(), text);

    let folder = tree.folder("folder.json");
    let error = look(&folder).unwrap_err();
    assert_eq!(error.code(), "ERR_SESSION_STORE_NOT_A_FILE");

    let broken = tree.file_of("broken.json", b"{\n  \"a\": 1,\n  \"b\": tru}");
    let error = look(&broken).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Json {
                line: 3,
                column: 11,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn progress_is_told_to_the_end_and_an_abort_is_heard_anywhere() {
    let tree = Tree::new();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(5 << 20));
    let store = tree.file_of("sessions.json", long.as_bytes());
    let size = long.len() as u64;
    let mut told = Vec::new();
    let found = inspect(&Os, request(&store), &Abort::default(), |read, of| {
        told.push((read, of));
    });
    assert!(found.is_ok());
    assert!(told.len() >= 6 && told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&(size, size)));

    // Heard before the next read, and where there is none before the next file.
    for heard_after in [1, told.len()] {
        let (abort, mut calls) = (Abort::default(), 0);
        let found = inspect(&Os, request(&store), &abort, |_, _| {
            calls += 1;
            if calls == heard_after {
                abort.request();
            }
        });
        assert_eq!(found.unwrap_err().code(), "ABORT_ERR");
        assert_eq!(calls, heard_after);
    }
}

#[test]
fn a_store_that_is_being_written_in_place_is_read_again() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", b"");
    let written = store.clone();
    let system = Faulty::new(move |call, _| {
        if call == "sleep" {
            std::fs::write(&written, r#"{"a":{}}"#).unwrap();
        }
        None
    });
    let found = inspect(&system, request(&store), &Abort::default(), |_, _| {});
    assert_eq!(found.unwrap().stats.all.entries, 1);
}

/// A store as `serde_json` reads it, every entry in its place.
fn entries_of(text: &str) -> Vec<(String, Value)> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, Value)>;
        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("a store")
        }
        fn visit_map<A: MapAccess<'de>>(
            self,
            mut map: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    serde_json::Deserializer::from_str(text)
        .deserialize_map(Entries)
        .unwrap()
}

/// The rules once more, for the keys and values that these tests make.
fn expected(text: &str, sizes: &[u64]) -> Stats {
    let mut kinds = BTreeMap::<String, Sum>::new();
    let mut jobs = BTreeMap::<String, Job>::new();
    let mut found = Stats::default();
    let add = |sum: &mut Sum, bytes| {
        sum.entries += 1;
        sum.bytes += bytes;
    };
    for ((key, entry), bytes) in entries_of(text).into_iter().zip(sizes.iter().copied()) {
        let parts: Vec<&str> = key.split(':').collect();
        let kind = match parts[..] {
            ["agent", _, "cron", _, "run", _] => "cron run",
            ["agent", _, "cron", _, ..] => "cron job",
            ["agent", _, "main", ..] => "main",
            ["agent", _, channel, _, ..] => channel,
            _ => "other",
        };
        add(&mut found.all, bytes);
        add(kinds.entry(kind.to_owned()).or_default(), bytes);
        found.biggest_entries.push((key.clone(), bytes));
        if kind != "cron run" {
            continue;
        }
        let at = match entry.get("updatedAt") {
            _ if entry.is_null() => None,
            None | Some(Value::Null) => Some(0.0),
            Some(at) => Some(at.as_f64().unwrap_or(f64::NAN)),
        };
        let job = jobs.entry(parts[3].to_owned()).or_default();
        for job in [job, &mut found.runs] {
            add(&mut job.runs, bytes);
            if at.is_some_and(|at| at < 100.0) {
                add(&mut job.expired, bytes);
            }
        }
        if let Some(at) = at.filter(|at| *at > 0.0) {
            let (least, greatest) = found.updated_at_ms.unwrap_or((at, at));
            found.updated_at_ms = Some((at.min(least), at.max(greatest)));
        }
    }
    let by_bytes = |sum: &Sum| std::cmp::Reverse(sum.bytes);
    found.kinds = kinds.into_iter().collect();
    found
        .kinds
        .sort_by_key(|(kind, sum)| (kind == "other", by_bytes(sum)));
    found.biggest_jobs = jobs.into_iter().collect();
    found
        .biggest_jobs
        .sort_by_key(|(_, job)| by_bytes(&job.runs));
    found.biggest_jobs.truncate(3);
    found
        .biggest_entries
        .sort_by(|(a, a_bytes), (b, b_bytes)| b_bytes.cmp(a_bytes).then(a.cmp(b)));
    found.biggest_entries.truncate(3);
    found
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..4_u8, 0..3_u8).prop_map(|(job, run)| format!("agent:main:cron:j{job}:run:{run}")),
        1 => (0..4_u8).prop_map(|job| format!("agent:main:cron:j{job}")),
        2 => "agent:main:(telegram|slack|subagent|main):[a-zä]{1,9}",
        1 => "[a-f]{1,5}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    let at = prop_oneof![
        3 => (98..102_u8).prop_map(|at| at.to_string()),
        1 => Just("null".to_owned()),
        1 => Just("\"x\"".to_owned()),
        1 => Just("[{}, 1]".to_owned()),
    ];
    let text = "[a-z\\\\\"{},:é\n]{0,40}";
    prop_oneof![
        6 => (at, text).prop_map(|(at, text)| {
            format!("{{\"text\": {}, \"updatedAt\": {at}}}", Value::from(text))
        }),
        1 => text.prop_map(|text| format!("{{\"text\" : {}}}", Value::from(text))),
        1 => Just("null".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a_census_is_what_a_plain_reading_of_the_whole_would_count(
        entries in proptest::collection::vec((key(), value(), "[ \n]{0,3}", "[ \n]{0,3}"), 0..12),
        buffer in 1..300_usize,
    ) {
        let mut text = "{".to_owned();
        let mut sizes = Vec::new();
        for (number, (key, value, before, after)) in entries.iter().enumerate() {
            let entry = format!("{before}{}{after}:{value}", Value::from(key.as_str()));
            sizes.push(entry.len() as u64);
            let comma = if number + 1 < entries.len() { "," } else { "" };
            write!(text, "{entry}{after}{comma}").unwrap();
        }
        text += "}";
        let tree = Tree::new();
        let path = tree.file_of("sessions.json", text.as_bytes());
        let file = Os.open(&path).unwrap();

        let source = Source { system: &Os, file: &file, path: &path, abort: &Abort::default() };
        let found = stats(source, 100.0, 3, &mut vec![0; buffer], |_| {});

        prop_assert_eq!(found.unwrap(), expected(&text, &sizes), "{}", text);
    }
}
