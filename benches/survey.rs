//! Measures a survey and a rewrite of a store, and compares them with reading and copying the file.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::fmt::Write as _;
use std::fs::File;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use cron_session_reaper::abort::Abort;
use cron_session_reaper::store::reading::Source;
use cron_session_reaper::store::rewrite::{Facts, RemovalPolicy, rewrite};
use cron_session_reaper::store::scan::{Entry, Scanner, SessionId, Visitor};
use cron_session_reaper::store::survey::survey;
use cron_session_reaper::system::{Os, System};

/// Milliseconds since 1970.
const NOW_MS: u64 = 1_772_366_400_000;
const DAY_MS: u64 = 86_400_000;

criterion_group!(benches, real, tiny);
criterion_main!(benches);

/// Measures entries like a gateway's: 15–60 KB, mostly strings with many escapes.
fn real(criterion: &mut Criterion) {
    let entries = (0..2700).map(real_entry).collect();
    measure(criterion.benchmark_group("real"), entries);
}

/// Measures a store of many small entries.
fn tiny(criterion: &mut Criterion) {
    let entries = (0..1_000_000)
        .map(|entry| {
            let updated_at = updated_at(entry);
            format!(r#"{{"sessionId": "{entry}", "updatedAt": {updated_at}}}"#)
        })
        .collect();
    measure(criterion.benchmark_group("tiny"), entries);
}

fn measure(mut group: BenchmarkGroup<'_, criterion::measurement::WallTime>, entries: Vec<String>) {
    let (folder, path) = store(entries);
    let text = std::fs::read(&path).unwrap();
    let file = Os.open(&path).unwrap();
    let out = tempfile::tempfile_in(folder.path()).unwrap();
    let mut buffer = vec![0; buffer_size()];
    let store = Source {
        system: &Os,
        file: &file,
        path: &path,
        abort: &Abort::default(),
    };

    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    let cached = &text[..text.len().min(128 << 10)];
    group.throughput(Throughput::Bytes(cached.len() as u64));
    group.bench_function("scan, in the cache", |bencher| {
        bencher.iter(|| Scanner::default().push(black_box(cached), &mut Ignore));
    });
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("read", |bencher| bencher.iter(|| read(&file, &mut buffer)));
    // With this cutoff no run is expired, so that the whole store is read.
    group.bench_function("survey", |bencher| {
        bencher.iter(|| survey(store, 0.0, &mut buffer, |_| false).unwrap());
    });
    group.bench_function("read, write, sync", |bencher| {
        bencher.iter(|| read_write_sync(&file, &out, &mut buffer));
    });
    #[expect(clippy::cast_precision_loss, reason = "the time is far below 2^53")]
    let cutoff_ms = (NOW_MS - DAY_MS) as f64;
    group.bench_function("rewrite without a fifth, sync", |bencher| {
        bencher.iter(|| {
            out.set_len(0).unwrap();
            rewrite(store, cutoff_ms, Some(&out), &mut RemoveAll, &mut buffer).unwrap();
            Os.sync(&out).unwrap();
        });
    });
    group.finish();
}

struct RemoveAll;

impl RemovalPolicy for RemoveAll {
    fn removes(&mut self, _: &Facts<'_>) -> bool {
        true
    }

    fn keeps(&mut self, _: &SessionId<'_>, _: Option<&str>) {}

    fn restart(&mut self) {}
}

struct Ignore;

impl Visitor for Ignore {
    fn entry(&mut self, _: &Entry<'_>, _: u64) {}
}

fn read(file: &File, buffer: &mut [u8]) -> u64 {
    let mut offset = 0;
    loop {
        match Os.read_at(file, buffer, offset).unwrap() {
            0 => return offset,
            read => offset += black_box(read) as u64,
        }
    }
}

fn read_write_sync(file: &File, out: &File, buffer: &mut [u8]) {
    out.set_len(0).unwrap();
    let mut offset = 0;
    loop {
        let read = Os.read_at(file, buffer, offset).unwrap();
        if read == 0 {
            return Os.sync(out).unwrap();
        }
        Os.write_all_at(out, &buffer[..read], offset).unwrap();
        offset += read as u64;
    }
}

/// Returns the size of the read buffer in bytes. The environment variable `BUFFER_KIB` sets another.
fn buffer_size() -> usize {
    let kib = std::env::var("BUFFER_KIB").map_or(256, |kib| kib.parse().unwrap());
    kib << 10
}

fn store(entries: Vec<String>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.json");
    let mut text = String::from("{");
    for (number, entry) in entries.into_iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        // Two in three are runs.
        let kind = if number.is_multiple_of(3) {
            "slack:direct"
        } else {
            "cron:nightly:run"
        };
        write!(
            text,
            "{comma}\n  \"agent:main:{kind}:{number:08x}\": {entry}"
        )
        .unwrap();
    }
    text.push_str("\n}");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Returns the `updatedAt` of an entry. One in five is older than a day.
fn updated_at(entry: u64) -> u64 {
    NOW_MS
        - DAY_MS / 2
        - if entry.is_multiple_of(5) {
            DAY_MS
        } else {
            entry
        }
}

fn real_entry(entry: u64) -> String {
    let mut random = Random(entry + 1);
    let mut text = String::new();
    let prompt = prose(&mut random, 13_000, 50_000);
    let skill = prose(&mut random, 300, 1500);
    let updated_at = updated_at(entry);
    write!(
        text,
        r#"{{
    "sessionId": "51b6848d-f25b-4ef3-aca8-{entry:012x}",
    "updatedAt": {updated_at},
    "systemSent": true,
    "chatType": "direct",
    "deliveryContext": {{
      "channel": "slack",
      "to": "user:{entry}"
    }},
    "sessionFile": "/home/user/.openclaw/agents/main/sessions/51b6848d-f25b-4ef3-aca8-{entry:012x}.jsonl",
    "skillsSnapshot": {{
      "prompt": "{prompt}",
      "skills": ["#
    )
    .unwrap();
    for skill_number in 0..12 {
        let comma = if skill_number == 0 { "" } else { "," };
        write!(
            text,
            "{comma}\n        {{\n          \"name\": \"skill-{skill_number}\",\n          \"blockChars\": {},\n          \"description\": \"{skill}\"\n        }}",
            skill_number * 37
        )
        .unwrap();
    }
    text.push_str("\n      ],\n      \"version\": 0\n    },\n    \"inputTokens\": 1520,\n    \"outputTokens\": 42,\n    \"compactionCount\": 0\n  }");
    text
}

/// Returns text like a prompt in JSON: words, and an escape about every 20 bytes.
fn prose(random: &mut Random, least: u64, most: u64) -> String {
    const WORDS: [&str; 12] = [
        "the ",
        "<skill>",
        "reads ",
        r#"\"name\" "#,
        r"\n",
        r"\n  ",
        r"C:\\bin ",
        "session",
        " of a ",
        r"caf\u00e9 ",
        "store ",
        "description, which is a little longer ",
    ];
    let length = least + random.next() % (most - least);
    let mut text = String::new();
    while (text.len() as u64) < length {
        // The escape of a character is rarer than the other words.
        let word = match (random.next() % 12) as usize {
            9 if !random.next().is_multiple_of(8) => 0,
            word => word,
        };
        text.push_str(WORDS[word]);
    }
    text
}

/// A pseudo-random sequence that is equal in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
