//! A rewrite removes what a plain reading of the whole store says must go, and leaves every other
//! byte alone.

#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;

use cron_session_reaper::abort::Abort;
use cron_session_reaper::gateway::session_key::is_cron_run;
use cron_session_reaper::store::rewrite::{Judge, Run, rewrite};
use cron_session_reaper::store::scan::{Entry, Key, Scanner, SessionId, Source, Visitor};
use cron_session_reaper::store::survey::{Survey, survey};
use cron_session_reaper::system::{Os, System};
use libfuzzer_sys::fuzz_target;

mod model;

/// The moment of the recordings, less a day.
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
    // A deliberate mistake, to show that it would be noticed: see faults/fuzz.mjs.
    let mistaken = std::env::var_os("FUZZ_MISTAKE").is_some();
    let given = if mistaken { cutoff + 1.0 } else { cutoff };
    let mut buffer = vec![0; size];
    let mut hears = Hears::default();
    let surveyed = survey(source, cutoff, &mut buffer);
    let result = rewrite(source, given, Some(&out), &mut hears, &mut buffer);
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
    let goes = |key: &String| {
        is_cron_run(key) && model::updated_at(last(key)).is_some_and(|at| at < cutoff)
    };
    let pattern: Vec<bool> = entries.iter().map(|(key, _)| goes(key)).collect();
    assert_eq!(written, cut(text, &pattern));

    let mut keys: Vec<&String> = Vec::new();
    for (key, _) in &entries {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let text = |field: Option<&str>| field.map(str::to_owned);
    let [mut removed, mut stayed] = [Vec::new(), Vec::new()];
    for key in keys {
        let value = last(key);
        let names = [model::string(value, "sessionId"), model::file(value)];
        if goes(key) {
            removed.push(names.map(text));
        } else if value.is_object() {
            stayed.push(names.map(text));
        }
    }
    assert_eq!(result.removed, removed.len() as u64);
    assert_eq!(hears.gone, removed);
    // What nobody wants to know, if nothing goes, is not found out.
    if !removed.is_empty() {
        assert_eq!(hears.stayed, stayed);
    }
});

thread_local! {
    static FILES: RefCell<[File; 2]> =
        RefCell::new(std::array::from_fn(|_| tempfile::tempfile().unwrap()));
}

#[derive(Default)]
struct Hears {
    gone: Vec<[Option<String>; 2]>,
    stayed: Vec<[Option<String>; 2]>,
}

impl Judge for Hears {
    fn goes(&mut self, run: &Run) -> bool {
        self.gone.push([
            run.session_id.text().map(str::to_owned),
            run.session_file.clone(),
        ]);
        true
    }

    fn stays(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>) {
        let names = [session_id.text(), session_file];
        self.stayed.push(names.map(|name| name.map(str::to_owned)));
    }

    fn restart(&mut self) {
        self.gone.clear();
        self.stayed.clear();
    }
}

/// The rule of the cuts, told from the whole.
fn cut(text: &[u8], goes: &[bool]) -> Vec<u8> {
    let mut places = Places::default();
    Scanner::default().push(text, &mut places).unwrap();
    let Some(first) = goes.iter().position(|goes| !goes) else {
        let inner = if goes.is_empty() {
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
    for at in first + 1..goes.len() {
        if !goes[at] {
            result.extend_from_slice(&text[places.ends[at - 1]..places.ends[at]]);
        }
    }
    result.extend_from_slice(&text[places.ends[goes.len() - 1]..]);
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
