//! Compares a rewrite with a simple reader of the whole store: both must remove the same entries, and
//! all other bytes must be unchanged.

#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;

use cron_session_reaper::abort::Abort;
use cron_session_reaper::gateway::session_key::is_cron_run;
use cron_session_reaper::store::reading::Source;
use cron_session_reaper::store::rewrite::{Facts, RemovalPolicy, rewrite};
use cron_session_reaper::store::scan::{Entry, Key, Scanner, SessionId, Visitor};
use cron_session_reaper::store::survey::{Survey, survey};
use cron_session_reaper::system::{Os, System};
use libfuzzer_sys::fuzz_target;

mod model;

/// One day before the time of the recordings.
const CUTOFF_MS: f64 = 1_772_280_000_000.0;

fuzz_target!(|data: &[u8]| {
    let Some((text, size)) = model::input(data) else {
        return;
    };
    let store = FILES.with_borrow(|files| {
        files[0].set_len(0).unwrap();
        Os.write_all_at(&files[0], text, 0).unwrap();
        files[0].try_clone().unwrap()
    });
    let out = FILES.with_borrow(|files| files[1].try_clone().unwrap());
    out.set_len(0).unwrap();

    let source = Source {
        system: &Os,
        file: &store,
        path: Path::new("store"),
        abort: &Abort::default(),
    };
    let cutoff = CUTOFF_MS;
    // A deliberate mistake, to check that the fuzzer detects it: see faults/fuzz.mjs.
    let is_mistaken = std::env::var_os("FUZZ_MISTAKE").is_some();
    let used = if is_mistaken { cutoff + 1.0 } else { cutoff };
    let mut buffer = vec![0; size];
    let mut recorder = Recorder::default();
    let surveyed = survey(source, cutoff, &mut buffer, |_| false);
    let result = rewrite(source, used, Some(&out), &mut recorder, &mut buffer);
    assert_eq!(result.is_ok(), model::is_valid(text));
    let Ok(result) = result else {
        return;
    };
    let due = surveyed.unwrap() == Survey::Due;
    assert!(due || result.removed == 0);

    let mut written = vec![0; usize::try_from(result.bytes).unwrap()];
    assert_eq!(Os.read_at(&out, &mut written, 0).unwrap(), written.len());
    let Some(entries) = model::entries(text) else {
        return;
    };

    let last = |key: &String| &entries.iter().rfind(|(other, _)| other == key).unwrap().1;
    let is_removed = |key: &String| {
        is_cron_run(key) && model::updated_at(last(key)).is_some_and(|at| at < cutoff)
    };
    let pattern: Vec<bool> = entries.iter().map(|(key, _)| is_removed(key)).collect();
    assert_eq!(written, without_removed(text, &pattern));

    let mut keys: Vec<&String> = Vec::new();
    for (key, _) in &entries {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let text = |field: Option<&str>| field.map(str::to_owned);
    let [mut removed, mut kept] = [Vec::new(), Vec::new()];
    for key in keys {
        let value = last(key);
        let names = [model::string(value, "sessionId"), model::file(value)];
        if is_removed(key) {
            removed.push(names.map(text));
        } else if value.is_object() {
            kept.push(names.map(text));
        }
    }
    assert_eq!(result.removed, removed.len() as u64);
    assert_eq!(recorder.removed, removed);
    // If nothing is removed, duplicate keys are not detected, and the kept entries are not used.
    if !removed.is_empty() {
        assert_eq!(recorder.kept, kept);
    }
});

thread_local! {
    static FILES: RefCell<[File; 2]> =
        RefCell::new(std::array::from_fn(|_| tempfile::tempfile().unwrap()));
}

#[derive(Default)]
struct Recorder {
    removed: Vec<[Option<String>; 2]>,
    kept: Vec<[Option<String>; 2]>,
}

impl RemovalPolicy for Recorder {
    fn removes(&mut self, run: &Facts<'_>) -> bool {
        self.removed.push([
            run.session_id.text().map(str::to_owned),
            run.session_file.as_deref().map(str::to_owned),
        ]);
        true
    }

    fn keeps(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>) {
        let names = [session_id.text(), session_file];
        self.kept.push(names.map(|name| name.map(str::to_owned)));
    }

    fn restart(&mut self) {
        self.removed.clear();
        self.kept.clear();
    }
}

/// Removes entries from the whole text.
fn without_removed(text: &[u8], is_removed: &[bool]) -> Vec<u8> {
    let mut places = Places::default();
    Scanner::default().push(text, &mut places).unwrap();
    let Some(first) = is_removed.iter().position(|is_removed| !is_removed) else {
        let inner = if is_removed.is_empty() {
            places.open..places.open
        } else {
            places.open..places.close
        };
        return [&text[..inner.start], &text[inner.end..]].concat();
    };
    let start = if first == 0 {
        places.open
    } else {
        places.starts[first]
    };
    let mut result = [&text[..places.open], &text[start..places.ends[first]]].concat();
    for at in first + 1..is_removed.len() {
        if !is_removed[at] {
            result.extend_from_slice(&text[places.ends[at - 1]..places.ends[at]]);
        }
    }
    result.extend_from_slice(&text[places.ends[is_removed.len() - 1]..]);
    result
}

#[derive(Default)]
struct Places {
    open: usize,
    starts: Vec<usize>,
    ends: Vec<usize>,
    close: usize,
}

impl Visitor for Places {
    fn open(&mut self, end: u64) {
        self.open = usize::try_from(end).unwrap();
    }

    fn key(&mut self, _: Key<'_>, start: u64) {
        self.starts.push(usize::try_from(start).unwrap());
    }

    fn entry(&mut self, _: &Entry<'_>, end: u64) {
        self.ends.push(usize::try_from(end).unwrap());
    }

    fn close(&mut self, start: u64) {
        self.close = usize::try_from(start).unwrap();
    }
}
