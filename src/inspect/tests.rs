use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::stats::{EntrySize, JobStats, JobSum, KindStats, RunStats, Stats, Sum, stats};
use super::{Archives, FolderFiles, InspectOptions, Inspection, inspect};
use crate::abort::Abort;
use crate::error::{Error, Result};
use crate::store::reading::Source;
use crate::system::{Os, System};
use crate::testing::{Faulty, Tree};
use crate::transcripts::Tally;

const UUID: &str = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";

/// Options with which a run last updated at 99 is expired and one at 100 is not.
fn options(store: &Path) -> InspectOptions<'_> {
    InspectOptions {
        store,
        now_ms: 150.0,
        retention_ms: Some(50.0),
        top: 5,
    }
}

fn inspect_store(store: &Path) -> Result<Inspection> {
    inspect(&Os, options(store), &Abort::default(), |_, _| {})
}

fn stats_of(text: &str) -> Stats {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", text.as_bytes());
    inspect_store(&store).unwrap().stats
}

fn tally(files: u64, bytes: u64) -> Tally {
    Tally { files, bytes }
}

fn kind(kind: &str, entries: u64, bytes: u64) -> KindStats {
    KindStats {
        kind: kind.to_owned(),
        sum: Sum { entries, bytes },
    }
}

#[test]
fn counts_regular_files_of_the_folder_by_their_names() {
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

    let found = inspect_store(&store).unwrap();

    assert_eq!(found.bytes, 2);
    let expected = FolderFiles {
        transcripts: tally(2, 8),
        archives: Archives {
            tally: tally(2, 3),
            oldest_ms: Some(1_769_947_200_000),
        },
        temps: tally(4, 7),
        others: tally(3, 7 + 2 + 2),
    };
    assert_eq!(found.files, expected);
}

#[test]
fn counts_temp_files_of_a_linked_store_beside_its_target_and_other_files_beside_the_link() {
    let tree = Tree::new();
    tree.file_of("disk/store.json", b"{\"a\":1}");
    tree.file_of(&format!("disk/store.json.{UUID}.tmp"), b"123");
    tree.file_of("disk/not-ours.jsonl", b"1");
    tree.file_of("sessions/a.jsonl", b"12");
    tree.file_of("sessions/sessions.json.lock.77-0.tmp", b"1");
    tree.file_of(&format!("sessions/store.json.{UUID}.tmp"), b"12345");
    let link = tree.link("sessions/sessions.json", "../disk/store.json");

    let found = inspect_store(&link).unwrap();

    assert_eq!((found.bytes, found.stats.entries), (7, 1));
    let expected = FolderFiles {
        transcripts: tally(1, 2),
        temps: tally(2, 3 + 1),
        others: tally(1, 5),
        ..FolderFiles::default()
    };
    assert_eq!(found.files, expected);
}

#[test]
fn changes_nothing_and_takes_no_lock() {
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

    let found = inspect(&system, options(&store), &Abort::default(), |_, _| {});

    assert_eq!(found.unwrap().stats.runs.expired, 1);
    assert_eq!(tree.changes(&before), [""; 0]);
}

#[test]
fn measures_an_entry_from_the_comma_before_it_to_the_end_of_its_value() {
    let first = "\n  \"agent:main:cron:j:run:1\": {\"updatedAt\": 99}";
    let second = " \"agent:main:cron:j:run:2\" :\t{\"updatedAt\": 100}";
    let third = "\"agent:main:main\":[\"x,}\"]";
    let found = stats_of(&format!(" {{{first} ,{second},{third}\n}}\n"));

    let [first, second, third] = [first, second, third].map(|text| text.len() as u64);
    assert_eq!(found.entries, 3);
    let runs = RunStats {
        total: 2,
        bytes: first + second,
        expired: 1,
        expired_bytes: first,
        undated: 0,
        future: 0,
        oldest_ms: Some(99.0),
        newest_ms: Some(100.0),
    };
    assert_eq!(found.runs, runs);
    let job = JobStats {
        job: "j".to_owned(),
        sum: JobSum {
            runs: 2,
            expired: 1,
            bytes: first + second,
        },
    };
    assert_eq!(found.biggest_jobs, [job]);
    let kinds = [kind("cron run", 2, first + second), kind("main", 1, third)];
    assert_eq!(found.kinds, kinds);
}

#[test]
fn counts_no_run_as_expired_without_a_retention() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", br#"{"agent:main:cron:j:run:1": {}}"#);
    let options = InspectOptions {
        retention_ms: None,
        ..options(&store)
    };
    let found = inspect(&Os, options, &Abort::default(), |_, _| {});
    let runs = found.unwrap().stats.runs;
    assert_eq!((runs.total, runs.expired), (1, 0));
}

#[test]
fn counts_runs_with_a_time_in_the_future_and_those_that_never_expire() {
    let run = |value: &str, at: usize| format!(r#""agent:main:cron:j:run:{at}":{value}"#);
    let runs = [
        r#"{"updatedAt":3600100}"#,
        r#"{"updatedAt":3600101}"#,
        r#"{"updatedAt":1e999}"#,
        r#"{"updatedAt":"2026-03-01T12:00:00.000Z"}"#,
        r#"{"updatedAt":{}}"#,
        "null",
        "{}",
        r#"{"updatedAt":null}"#,
    ];
    let entries: Vec<String> = (runs.iter().zip(1..))
        .map(|(value, at)| run(value, at))
        .collect();
    let tree = Tree::new();
    let store = tree.file_of(
        "sessions.json",
        format!("{{{}}}", entries.join(",")).as_bytes(),
    );
    let options = InspectOptions {
        now_ms: 100.0,
        ..options(&store)
    };
    let found = inspect(&Os, options, &Abort::default(), |_, _| {});
    let runs = found.unwrap().stats.runs;
    assert_eq!((runs.total, runs.future, runs.undated), (8, 2, 3));
}

#[test]
fn counts_each_occurrence_of_a_duplicate_key() {
    let run = r#""agent:main:cron:j:run:1":{}"#;
    let found = stats_of(&format!("{{{run},{run}}}"));
    assert_eq!((found.entries, found.runs.expired), (2, 2));
    assert_eq!(found.runs.bytes, 2 * run.len() as u64);
    assert_eq!(found.biggest_entries.len(), 2);
}

#[test]
fn lists_the_largest_entries_first_and_equal_ones_by_key() {
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
    let found = stats_of(&format!("{{{}}}", entries.join(",")));
    let keys = found.biggest_entries.iter().map(|entry| entry.key.as_str());
    assert_eq!(keys.collect::<String>(), "ceabd");
    assert_eq!(found.biggest_entries[0].bytes, 15);
}

#[test]
fn lists_24_kinds_and_counts_the_entries_of_all_others_together() {
    for different in [24_usize, 30, 3000] {
        let entry = |n| format!("\"agent:main:k{n}:direct:1\":\"{}\"", "x".repeat(n % 100));
        let entries: Vec<_> = (0..different).map(entry).collect();
        let found = stats_of(&format!("{{{}}}", entries.join(",")));
        let named = found.kinds.iter().filter(|it| it.kind != "other");
        assert_eq!(named.count(), 24, "{different}");
        assert_eq!(found.kinds.len(), if different == 24 { 24 } else { 25 });
        let last = &found.kinds[found.kinds.len() - 1];
        let entries = found.kinds.iter().map(|it| it.sum.entries);
        assert_eq!(entries.sum::<u64>(), different as u64);
        assert!(different == 24 || last.sum.entries == different as u64 - 24);
    }
}

#[test]
fn cuts_keys_and_jobs_to_1000_characters() {
    for (length, expected) in [(1000, "é".repeat(1000)), (1001, "é".repeat(1000) + "…")] {
        let key = "é".repeat(length);
        let found = stats_of(&format!("{{\"{key}\":1}}"));
        assert_eq!(found.biggest_entries[0].key, expected);
        let found = stats_of(&format!("{{\"agent:a:cron:{key}:run:1\":1}}"));
        assert_eq!(found.biggest_jobs[0].job, expected);
    }
}

#[test]
fn lists_a_key_that_the_scanner_does_not_remember_as_cut() {
    let text = format!("{{\"{}\":1}}", "x".repeat(2 << 20));
    let found = stats_of(&text);
    assert_eq!(found.biggest_entries[0].key, "…");
    assert_eq!(found.kinds, [kind("other", 1, text.len() as u64 - 2)]);
}

#[test]
fn lists_as_many_entries_and_jobs_as_asked_for_but_at_most_1000() {
    let tree = Tree::new();
    let entry = |n| format!("\"agent:a:cron:j{n}:run:1\":1");
    let entries: Vec<_> = (0..1100).map(entry).collect();
    let text = format!("{{{}}}", entries.join(","));
    let store = tree.file_of("sessions.json", text.as_bytes());
    for (top, listed) in [(0, 0), (1, 1), (usize::MAX, 1000)] {
        let options = InspectOptions {
            top,
            ..options(&store)
        };
        let found = inspect(&Os, options, &Abort::default(), |_, _| {})
            .unwrap()
            .stats;
        assert_eq!(found.biggest_entries.len(), listed);
        assert_eq!(found.biggest_jobs.len(), listed);
    }
}

/// A store with a job for each run must not fill the memory, and must not hide a large job.
#[test]
fn counts_a_large_job_exactly_among_a_hundred_thousand_small_ones() {
    let tree = Tree::new();
    let small = |n| format!("\"agent:a:cron:{n:0100}:run:1\":1");
    let large = |n| format!("\"agent:a:cron:large:run:{n}\":{{\"text\":\"{n:0100}\"}}");
    let entries: Vec<_> = (0..100_000)
        .flat_map(|n| {
            [small(n)]
                .into_iter()
                .chain((n % 1000 == 0).then(|| large(n)))
        })
        .collect();
    let text = format!("{{{}}}", entries.join(","));
    let found = inspect_store(&tree.file_of("sessions.json", text.as_bytes())).unwrap();
    assert_eq!(found.stats.runs.total, 100_100);
    let first = &found.stats.biggest_jobs[0];
    assert_eq!((first.job.as_str(), first.sum.runs), ("large", 100));
}

#[test]
fn reports_a_missing_store_with_the_error_of_the_system() {
    let tree = Tree::new();
    let store = tree.at("sessions.json");
    let error = inspect_store(&store).unwrap_err();
    assert_eq!(error.code(), "ENOENT");
    let path = store.display();
    let text = format!("cannot find {path}: ENOENT: no such file or directory");
    assert_eq!(error.to_string(), text);
}

#[test]
fn refuses_a_folder_in_place_of_a_store() {
    let tree = Tree::new();
    let error = inspect_store(&tree.folder("sessions.json")).unwrap_err();
    assert_eq!(error.code(), "ERR_SESSION_STORE_NOT_A_FILE");
}

#[test]
fn refuses_invalid_json_and_reports_line_and_column() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", b"{\n  \"a\": 1,\n  \"b\": tru}");
    let error = inspect_store(&store).unwrap_err();
    let Error::Json { line, column, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((line, column), (3, 11));
}

fn long_store(tree: &Tree) -> (std::path::PathBuf, u64) {
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(5 << 20));
    let store = tree.file_of("sessions.json", text.as_bytes());
    (store, text.len() as u64)
}

#[test]
fn reports_progress_up_to_the_size_of_the_store() {
    let tree = Tree::new();
    let (store, size) = long_store(&tree);
    let mut calls = Vec::new();
    let found = inspect(&Os, options(&store), &Abort::default(), |read, size| {
        calls.push((read, size));
    });
    assert!(found.is_ok());
    assert!(calls.len() >= 6 && calls.is_sorted(), "{calls:?}");
    assert_eq!(calls.last(), Some(&(size, size)));
}

#[test]
fn stops_before_the_next_read_or_file_when_aborted() {
    let tree = Tree::new();
    let (store, size) = long_store(&tree);
    for abort_at in [1, size] {
        let (abort, mut reads) = (Abort::default(), Vec::new());
        let found = inspect(&Os, options(&store), &abort, |read, _| {
            reads.push(read);
            if read >= abort_at {
                abort.request();
            }
        });
        assert_eq!(found.unwrap_err().code(), "ABORT_ERR");
        let last = reads.pop().unwrap();
        assert!(reads.iter().all(|read| *read < abort_at), "{reads:?}");
        assert_eq!(last == size, abort_at == size);
    }
}

#[test]
fn reads_a_store_again_that_is_being_written_in_place() {
    let tree = Tree::new();
    let store = tree.file_of("sessions.json", b"");
    let written = store.clone();
    let system = Faulty::new(move |call, _| {
        if call == "sleep" {
            std::fs::write(&written, r#"{"a":{}}"#).unwrap();
        }
        None
    });
    let found = inspect(&system, options(&store), &Abort::default(), |_, _| {});
    assert_eq!(found.unwrap().stats.entries, 1);
}

/// Reads a store with `serde_json`, keeping every occurrence of a duplicate key.
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

/// Counts in the simplest way, by rules that suffice for the keys and values of these tests.
fn expected(text: &str, sizes: &[u64]) -> Stats {
    let mut kinds = BTreeMap::<String, Sum>::new();
    let mut jobs = BTreeMap::<String, JobSum>::new();
    let mut found = Stats::default();
    for ((key, entry), bytes) in entries_of(text).into_iter().zip(sizes.iter().copied()) {
        let parts: Vec<&str> = key.split(':').collect();
        let name = match parts[..] {
            ["agent", _, "cron", _, "run", _] => "cron run",
            ["agent", _, "cron", _, ..] => "cron job",
            ["agent", _, "main", ..] => "main",
            ["agent", _, channel, _, ..] => channel,
            _ => "other",
        };
        found.entries += 1;
        let sum = kinds.entry(name.to_owned()).or_default();
        sum.entries += 1;
        sum.bytes += bytes;
        found.biggest_entries.push(EntrySize {
            key: key.clone(),
            bytes,
        });
        if name != "cron run" {
            continue;
        }
        let updated_at = match entry.get("updatedAt") {
            _ if entry.is_null() => None,
            None | Some(Value::Null) => Some(0.0),
            Some(at) => Some(at.as_f64().unwrap_or(f64::NAN)),
        };
        let job = jobs.entry(parts[3].to_owned()).or_default();
        job.runs += 1;
        job.bytes += bytes;
        found.runs.total += 1;
        found.runs.bytes += bytes;
        if updated_at.is_some_and(|at| at < 100.0) {
            job.expired += 1;
            found.runs.expired += 1;
            found.runs.expired_bytes += bytes;
        }
        found.runs.undated += u64::from(updated_at.is_none_or(f64::is_nan));
        if let Some(at) = updated_at.filter(|at| *at > 0.0) {
            let runs = &mut found.runs;
            runs.oldest_ms = Some(runs.oldest_ms.unwrap_or(at).min(at));
            runs.newest_ms = Some(runs.newest_ms.unwrap_or(at).max(at));
        }
    }
    let by_bytes = |bytes| std::cmp::Reverse(bytes);
    found.kinds = kinds
        .into_iter()
        .map(|(kind, sum)| KindStats { kind, sum })
        .collect();
    found
        .kinds
        .sort_by_key(|it| (it.kind == "other", by_bytes(it.sum.bytes)));
    found.biggest_jobs = jobs
        .into_iter()
        .map(|(job, sum)| JobStats { job, sum })
        .collect();
    found.biggest_jobs.sort_by_key(|it| by_bytes(it.sum.bytes));
    found.biggest_jobs.truncate(3);
    found
        .biggest_entries
        .sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.key.cmp(&b.key)));
    found.biggest_entries.truncate(3);
    found
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..4_u8, 0..3_u8).prop_map(|(job, run)| format!("agent:main:cron:j{job}:run:{run}")),
        1 => (0..4_u8).prop_map(|job| format!("agent:main:cron:j{job}")),
        2 => "agent:main:(telegram|slack|subagent|main):[a-zä]{1,9}",
        1 => "[a-f]{1,5}",
    ]
}

fn any_value() -> impl Strategy<Value = String> {
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
    fn counts_what_a_simple_reading_of_the_whole_store_counts(
        entries in proptest::collection::vec(
            (any_key(), any_value(), "[ \n]{0,3}", "[ \n]{0,3}"),
            0..12,
        ),
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
        let found = stats(source, f64::MAX, 100.0, 3, &mut vec![0; buffer], |_| {});

        prop_assert_eq!(found.unwrap(), expected(&text, &sizes), "{}", text);
    }
}
