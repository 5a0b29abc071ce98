//! Compares the scanner with `serde_json`, for any chunks of the store: both must accept the same
//! stores and find the same entries.

#![no_main]

use cron_session_reaper::gateway::session_key::{RunKeys, is_cron_run};
use cron_session_reaper::store::scan::{Broken, Entry, Scanner, Visitor};
use libfuzzer_sys::fuzz_target;

mod model;

fuzz_target!(|data: &[u8]| {
    let Some((text, size)) = model::input(data) else {
        return;
    };
    let (result, seen) = scan(text, size);
    assert_eq!(
        (&result, &seen),
        (&scan(text, text.len().max(1)).0, &scan(text, 1).1)
    );
    assert_eq!(result.is_ok(), model::is_valid(text), "{result:?}");
    let Some(entries) = model::entries(text) else {
        return;
    };
    assert_eq!(entries.len(), seen.0.len());
    for ((key, value), seen) in entries.iter().zip(&seen.0) {
        let expected = Seen {
            is_run: is_cron_run(key),
            is_object: value.is_object(),
            updated_at: model::updated_at(value).map(f64::to_bits),
            session_id: model::string(value, "sessionId").map(Into::into),
            session_file: model::file(value).map(Into::into),
        };
        assert_eq!(*seen, expected);
    }
});

fn scan(text: &[u8], size: usize) -> (Result<(), Broken>, Collect) {
    let mut collect = Collect::default();
    let mut scanner = Scanner::default();
    let result = text
        .chunks(size)
        .try_for_each(|chunk| scanner.push(chunk, &mut collect))
        .and_then(|()| scanner.finish());
    (result, collect)
}

#[derive(Debug, Default, PartialEq)]
struct Collect(Vec<Seen>);

#[derive(Debug, PartialEq)]
struct Seen {
    is_run: bool,
    is_object: bool,
    updated_at: Option<u64>,
    session_id: Option<String>,
    session_file: Option<String>,
}

impl Visitor for Collect {
    fn entry(&mut self, entry: &Entry<'_>, _: u64) {
        self.0.push(Seen {
            is_run: entry.key().is_run(RunKeys::Runs),
            is_object: entry.is_object(),
            updated_at: entry.updated_at().map(f64::to_bits),
            session_id: entry.session_id().text().map(Into::into),
            session_file: entry.session_file().map(Into::into),
        });
    }
}
