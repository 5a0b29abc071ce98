//! Surveying and rewriting a store, as a sweep does it: through files, with buffers of any size.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::format_push_string, reason = "a test need not be fast")]

#[cfg(unix)]
mod support;

use std::fs::File;
use std::path::{Path, PathBuf};

use cron_session_reaper::abort::Abort;
use cron_session_reaper::error::Error;
use cron_session_reaper::store::rewrite::{Judge, Rewrite, Run, rewrite};
use cron_session_reaper::store::scan::{SessionId, Source};
use cron_session_reaper::store::survey::{Survey, survey};
use cron_session_reaper::system::{Os, System};
use proptest::prelude::*;

/// A run's key, by its number.
fn run_key(number: u32) -> String {
    format!("agent:main:cron:nightly:run:{number}")
}

/// The cutoff of these tests: a run of 99 is expired, one of 100 is not.
const CUTOFF_MS: f64 = 100.0;

struct Store {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Store {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.json");
        std::fs::write(&path, text).unwrap();
        Self { folder, path }
    }

    fn survey(&self, buffer: usize) -> Result<Survey, Error> {
        let file = Os.open(&self.path).unwrap();
        let abort = Abort::default();
        survey(self.source(&file, &abort), CUTOFF_MS, &mut vec![0; buffer])
    }

    fn source<'a>(&'a self, file: &'a File, abort: &'a Abort) -> Source<'a, Os> {
        Source {
            system: &Os,
            file,
            path: &self.path,
            abort,
        }
    }

    fn rewrite(&self, buffer: usize, judge: &mut Agreeing) -> Result<(Rewrite, Vec<u8>), Error> {
        let file = Os.open(&self.path).unwrap();
        let out_path = self.folder.path().join("out");
        let out = Os.create_new(&out_path).unwrap();
        let buffer = &mut vec![0; buffer];
        let abort = Abort::default();
        let mut pass = |file, cutoff_ms, out, judge: &mut Agreeing| {
            rewrite(self.source(file, &abort), cutoff_ms, out, judge, buffer)
        };
        let mut counting = Agreeing {
            locked: judge.locked.clone(),
            ..Agreeing::default()
        };
        let counted = pass(&file, CUTOFF_MS, None, &mut counting);
        let rewrite = pass(&file, CUTOFF_MS, Some(&out), judge);
        match (&rewrite, counted) {
            (Ok(rewrite), counted) => {
                assert_eq!(counted.unwrap(), *rewrite);
                assert_eq!(counting, *judge);
                // Nothing is older than this, so it counts what is left.
                let left = pass(&out, f64::NEG_INFINITY, None, &mut Agreeing::default());
                assert_eq!(left.unwrap().entries, rewrite.kept);
            }
            (Err(error), counted) => {
                assert_eq!(counted.unwrap_err().to_string(), error.to_string());
            }
        }
        let mut text = std::fs::read(&out_path).unwrap();
        std::fs::remove_file(&out_path).unwrap();
        rewrite.map(|rewrite| {
            text.truncate(usize::try_from(rewrite.bytes).unwrap());
            (rewrite, text)
        })
    }
}

/// What stays of a store, and how many runs went.
fn swept(text: impl AsRef<[u8]>) -> (String, u64) {
    let (rewrite, text) = Store::new(text)
        .rewrite(256 << 10, &mut Agreeing::default())
        .unwrap();
    (String::from_utf8(text).unwrap(), rewrite.removed)
}

/// Lets everything go but one `sessionId`, and notes what it is told.
#[derive(Debug, Default, PartialEq)]
struct Agreeing {
    locked: Option<String>,
    gone: Vec<Run>,
    stayed: Vec<(Option<String>, Option<String>)>,
    restarts: u32,
}

impl Judge for Agreeing {
    fn goes(&mut self, run: &Run) -> bool {
        let goes = self.locked.is_none() || run.session_id.text() != self.locked.as_deref();
        if goes {
            self.gone.push(run.clone());
        }
        goes
    }

    fn stays(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.stayed
            .push((owned(session_id.text()), owned(session_file)));
    }

    fn restart(&mut self) {
        self.stayed.clear();
        self.gone.clear();
        self.restarts += 1;
    }
}

/// The store's text after a sweep, with `1` for a run that stays and `0` for one that goes.
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
fn what_stays_of_a_pretty_printed_store_is_a_pretty_printed_store() {
    for picture in 0..64_u32 {
        // Every pattern of six runs, expired or not; those that stay are renumbered by hand.
        let runs: Vec<u8> = (0..6).map(|run| 99 + (picture >> run & 1) as u8).collect();
        let staying: Vec<usize> = (0..6).filter(|run| runs[*run] == 100).collect();
        let mut expected = pretty(&vec![100; staying.len()]);
        for (number, run) in staying.iter().enumerate().rev() {
            let number = u32::try_from(number).unwrap();
            let run = u32::try_from(*run).unwrap();
            expected = expected.replacen(&run_key(number), &run_key(run), 1);
        }
        assert_eq!(
            swept(pretty(&runs)),
            (expected, 6 - staying.len() as u64),
            "{runs:?}"
        );
    }
}

#[test]
fn what_stands_around_the_entries_stays_as_it_is() {
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
fn an_entry_goes_as_javascript_would_have_it() {
    for (value, goes) in [
        (r#"{"updatedAt": 99}"#, true),
        (r#"{"updatedAt": 100}"#, false),
        (r#"{"updatedAt": 99.999}"#, true),
        (r#"{"updatedAt": -1e400}"#, true),
        (r#"{"updatedAt": 1e400}"#, false),
        (r"{}", true),
        (r#"{"updatedAt": null}"#, true),
        (r#"{"updatedAt": "99"}"#, true),
        (r#"{"updatedAt": "2020"}"#, false),
        (r#"{"updatedAt": ""}"#, true),
        (r#"{"updatedAt": "x"}"#, false),
        (r#"{"updatedAt": true}"#, true),
        (r#"{"updatedAt": [5]}"#, true),
        (r#"{"updatedAt": [ [ "5" ] ]}"#, true),
        (r#"{"updatedAt": [500]}"#, false),
        (r#"{"updatedAt": {}}"#, false),
        (r#"{"updatedAt": {"updatedAt": 5}}"#, false),
        (r#"{"a": {"updatedAt": 500}}"#, true),
        (r#"{"updatedAt": 99, "updatedAt": 100}"#, false),
        (r#"{"updatedAt": 100, "updatedAt": 99}"#, true),
        (r#"{"updatedAt": 99, "updatedAt": {}}"#, false),
        (r#"{"updatedAt": {}, "updatedAt": null}"#, true),
        (r#"{"\u0075pdated\u0041t": 100}"#, false),
        (r#"{"UpdatedAt": 100}"#, true),
        (
            r#"{"updatedAt ": 100, "__proto__": {"updatedAt": 100}}"#,
            true,
        ),
        ("null", false),
        ("false", false),
        ("0", false),
        ("-0.0e5", false),
        (r#""""#, false),
        ("true", true),
        ("7", true),
        (r#""x""#, true),
        ("[]", true),
        (r#"[{"updatedAt": 100}]"#, true),
    ] {
        let store = format!("{{\"{}\": {value}}}", run_key(1));
        let expected = if goes { "{}" } else { &store };
        assert_eq!(swept(&store).0, expected);
        let survey = Store::new(&store).survey(7).unwrap();
        assert_eq!(survey == Survey::Due, goes, "{store}");
        let other = format!("{{\"agent:main:cron:nightly\": {value}}}");
        assert_eq!(swept(&other).0, other);
    }
}

#[test]
fn an_updated_at_that_is_too_long_is_no_number() {
    let five = "0".repeat(70_000) + "5";
    let store = format!("{{\"{}\": {{\"updatedAt\": \"{five}\"}}}}", run_key(1));
    assert_eq!(swept(&store), (store, 0));
}

#[test]
fn a_session_id_that_is_too_long_names_nothing() {
    let long = "x".repeat(70_000);
    let store = format!(
        r#"{{"{}": {{"sessionId": "{long}", "sessionFile": "f"}}}}"#,
        run_key(1)
    );
    let mut judge = Agreeing::default();
    Store::new(store).rewrite(4096, &mut judge).unwrap();
    assert_eq!(judge.gone[0].session_id, SessionId::Compound);
    assert_eq!(judge.gone[0].session_file.as_deref(), Some("f"));
}

#[test]
fn a_key_that_stands_twice_has_the_place_of_the_first_and_the_value_of_the_last() {
    let (one, two) = (run_key(1), run_key(2));
    let escaped = one.replace("agent", "\\u0061gent");
    for (store, expected, removed) in [
        // The first expired, the last not: both stay.
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
        // The last expired: both go, and it is the last that is archived.
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
            let mut judge = Agreeing::default();
            let (rewrite, text) = Store::new(&store).rewrite(buffer, &mut judge).unwrap();
            let expected = expected.as_ref().unwrap_or(&store);
            assert_eq!(String::from_utf8(text).unwrap(), *expected, "{store}");
            let ids: Vec<_> = judge.gone.iter().map(|run| run.session_id.text()).collect();
            assert_eq!(ids, removed);
            assert_eq!(rewrite.removed, removed.len() as u64);
        }
    }
}

#[test]
fn an_entry_that_a_later_one_replaces_refers_to_nothing() {
    let store = format!(
        r#"{{"a": {{"sessionId": "old"}}, "{}": 1, "a": {{"sessionId": "new"}}}}"#,
        run_key(1)
    );
    let mut judge = Agreeing::default();
    Store::new(store).rewrite(4096, &mut judge).unwrap();
    assert_eq!(judge.stayed, [(Some("new".to_owned()), None)]);
    assert_eq!(judge.restarts, 1);
}

#[test]
fn keys_that_differ_only_in_lone_surrogates_are_two_keys() {
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
fn an_expired_run_whose_transcript_is_locked_stays() {
    let store = format!(
        r#"{{"{}": {{"sessionId": "a", "updatedAt": 5}}, "{}": {{"sessionId": "b", "updatedAt": 3}}}}"#,
        run_key(1),
        run_key(2)
    );
    let mut judge = Agreeing {
        locked: Some("a".to_owned()),
        ..Agreeing::default()
    };
    let (rewrite, text) = Store::new(&store).rewrite(4096, &mut judge).unwrap();
    assert!(store.starts_with(std::str::from_utf8(&text).unwrap().trim_end_matches('}')));
    assert_eq!(rewrite.removed, 1);
    assert_eq!(judge.gone[0].session_id.text(), Some("b"));
    assert_eq!(rewrite.earliest.to_bits(), 5_f64.to_bits());
    assert_eq!(judge.stayed, [(Some("a".to_owned()), None)]);
}

#[cfg(unix)] // What counts the reads is.
mod stopped {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::support::Faulty;
    use super::*;

    #[test]
    fn a_rewrite_can_be_stopped_at_every_read_of_its_three_passes() {
        // With a key that stands twice there is more than one pass.
        let entry = format!(r#""{}":{{"updatedAt":99}}"#, run_key(1));
        let text = format!("{{{entry},{entry}}}");
        let store = Store::new(&text);
        let mut buffer = [0; 10];
        let reads = 3 * (text.len().div_ceil(buffer.len()) + 1);
        let mut stopped_at = |at| {
            let (abort, count) = (Abort::default(), Arc::new(AtomicUsize::new(0)));
            let (asked, counted) = (abort.clone(), Arc::clone(&count));
            let system = Faulty::new(move |call, _| {
                if call == "read_at" && counted.fetch_add(1, Ordering::Relaxed) + 1 == at {
                    asked.request();
                }
                None
            });
            let source = Source {
                system: &system,
                file: &system.open(&store.path).unwrap(),
                path: &store.path,
                abort: &abort,
            };
            let mut judge = Agreeing::default();
            let result = rewrite(source, CUTOFF_MS, None, &mut judge, &mut buffer);
            (result, count.load(Ordering::Relaxed))
        };
        let (result, done) = stopped_at(usize::MAX);
        assert_eq!(result.unwrap().removed, 1);
        assert_eq!(done, reads);
        for at in 1..reads {
            let (result, done) = stopped_at(at);
            assert!(matches!(result, Err(Error::Aborted)), "{at}: {result:?}");
            assert_eq!(done, at);
        }
    }
}

#[test]
fn a_survey_tells_when_the_next_sweep_is_due() {
    let store = format!(
        r#"{{"{}": {{"updatedAt": 300}}, "{}": {{"updatedAt": "x"}}, "{}": {{"updatedAt": 200.5}}, "{}": null, "z": {{}}}}"#,
        run_key(1),
        run_key(2),
        run_key(3),
        run_key(4)
    );
    let expected = Survey::NothingDue {
        entries: 5,
        earliest: 200.5,
    };
    assert_eq!(Store::new(&store).survey(64).unwrap(), expected);
    let (rewrite, text) = Store::new(&store)
        .rewrite(64, &mut Agreeing::default())
        .unwrap();
    assert_eq!(
        (rewrite.entries, rewrite.earliest.to_bits()),
        (5, 200.5_f64.to_bits())
    );
    assert_eq!(text, store.as_bytes());
}

#[test]
fn what_is_valid_but_odd_is_swept_like_any_other() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep_objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    let huge = "k".repeat(2 << 20);
    let mut swept = 0;
    for odd in [
        deep.as_bytes(),
        deep_objects.as_bytes(),
        b"1e400",
        b"-0.000e-99999999999999999999",
        br#""\ud800 \udfff""#,
        b"\"\xff\xfe\xc3\"",
        br#"{"__proto__": {"updatedAt": 5}, "constructor": 1}"#,
        br#"{"\u0000": "\u0000", "": ""}"#,
        "\"\u{2028}\u{feff}\u{7f}\"".as_bytes(),
    ] {
        let entry = |key: &[u8]| [b"\"", key, b"\" :\r\n\t", odd].concat();
        let run = [b"\"", run_key(1).as_bytes(), b"\":{\"x\":", odd, b"}"].concat();
        let kept = [
            &entry(b"a")[..],
            b",",
            &entry(b"\xff"),
            b" ,",
            &entry(huge.as_bytes()),
        ]
        .concat();
        let store = [b"{", &kept[..], b" \n ,\t", &run, b"\r\n}"].concat();
        let expected = [b"{", &kept[..], b"\r\n}"].concat();
        let (rewrite, text) = Store::new(store)
            .rewrite(256 << 10, &mut Agreeing::default())
            .unwrap();
        assert_eq!(rewrite.removed, 1);
        assert!(
            text == expected,
            "{}",
            String::from_utf8_lossy(&odd[..odd.len().min(80)])
        );
        swept += 1;
    }
    println!("{swept} odd stores swept");
}

/// Broken stores, the byte at which that shows, and what is said about it.
const BROKEN: &[(&[u8], usize, &str)] = &[
    (b"", 0, "the file is empty"),
    (b" \n", 2, "the file contains only white space"),
    (
        b"\xef\xbb\xbf{}",
        0,
        "expected an object, found a byte order mark",
    ),
    (
        b"\xff\xfe{\0}\0",
        0,
        "expected an object, found the byte 0xff",
    ),
    (b"\0\0\0\0", 0, "expected an object, found the byte 0x00"),
    (b"[]", 0, "expected an object, found `[`"),
    (b"null", 0, "expected an object, found `n`"),
    (b"\"{}\"", 0, "expected an object, found `\"`"),
    (b"7", 0, "expected an object, found `7`"),
    (b"// {}\n{}", 0, "expected an object, found `/`"),
    (b"\x0b{}", 0, "expected an object, found the byte 0x0b"),
    (b"\xc2\xa0{}", 0, "expected an object, found the byte 0xc2"),
    (b"{", 1, "unexpected end of file inside an object"),
    (b"{\"a", 3, "unexpected end of file inside a string"),
    (b"{\"a\"", 4, "unexpected end of file inside an object"),
    (b"{\"a\":", 5, "unexpected end of file inside an object"),
    (b"{\"a\":1", 6, "unexpected end of file inside an object"),
    (b"{\"a\":\"\\", 7, "unexpected end of file inside a string"),
    (
        b"{\"a\":\"\\u12",
        10,
        "unexpected end of file inside a string",
    ),
    (b"{\"a\":tru", 8, "unexpected end of file inside an object"),
    (b"{\"a\":1,", 7, "unexpected end of file inside an object"),
    (b"{\"a\":[{}", 8, "unexpected end of file inside an object"),
    (b"{}{}", 2, "expected nothing after the object, found `{`"),
    (b"{} x", 3, "expected nothing after the object, found `x`"),
    (
        b"{}\0",
        2,
        "expected nothing after the object, found the byte 0x00",
    ),
    (b"{}}", 2, "expected nothing after the object, found `}`"),
    (
        b"{\"a\":1,}",
        7,
        "expected a key in double quotes, found `}`",
    ),
    (
        b"{,}",
        1,
        "expected a key in double quotes or `}`, found `,`",
    ),
    (
        b"{a:1}",
        1,
        "expected a key in double quotes or `}`, found `a`",
    ),
    (
        b"{'a':1}",
        1,
        "expected a key in double quotes or `}`, found `'`",
    ),
    (
        b"{1:1}",
        1,
        "expected a key in double quotes or `}`, found `1`",
    ),
    (b"{\"a\" 1}", 5, "expected `:`, found `1`"),
    (b"{\"a\"::1}", 5, "expected a value, found `:`"),
    (b"{\"a\":1 \"b\":2}", 7, "expected `,` or `}`, found `\"`"),
    (b"{\"a\":1]", 6, "expected `,` or `}`, found `]`"),
    (b"{\"a\":[1}", 7, "expected `,` or `]`, found `}`"),
    (b"{\"a\":[1,]}", 8, "expected a value, found `]`"),
    (b"{\"a\":[,1]}", 6, "expected a value or `]`, found `,`"),
    (b"{\"a\":}", 5, "expected a value, found `}`"),
    (b"{\"a\":+1}", 5, "expected a value, found `+`"),
    (b"{\"a\":.5}", 5, "expected a value, found `.`"),
    (b"{\"a\":01}", 6, "expected `,` or `}`, found `1`"),
    (b"{\"a\":-}", 6, "expected a digit, found `}`"),
    (b"{\"a\":-a}", 6, "expected a digit, found `a`"),
    (b"{\"a\":1.}", 7, "expected a digit, found `}`"),
    (b"{\"a\":1.e5}", 7, "expected a digit, found `e`"),
    (b"{\"a\":1e}", 7, "expected a digit, found `}`"),
    (b"{\"a\":1e+}", 8, "expected a digit, found `}`"),
    (b"{\"a\":1e5.5}", 8, "expected `,` or `}`, found `.`"),
    (b"{\"a\":0x10}", 6, "expected `,` or `}`, found `x`"),
    (b"{\"a\":NaN}", 5, "expected a value, found `N`"),
    (b"{\"a\":Infinity}", 5, "expected a value, found `I`"),
    (b"{\"a\":undefined}", 5, "expected a value, found `u`"),
    (
        b"{\"a\":nul}",
        8,
        "expected `true`, `false` or `null`, found `}`",
    ),
    (b"{\"a\":True}", 5, "expected a value, found `T`"),
    (b"{\"a\":truee}", 9, "expected `,` or `}`, found `e`"),
    (b"{\"a\":1/*x*/}", 6, "expected `,` or `}`, found `/`"),
    (
        b"{\"a\":\"\n\"}",
        6,
        "a control character in a string must be escaped",
    ),
    (
        b"{\"a\":\"\\\n\"}",
        7,
        "a control character in a string must be escaped",
    ),
    (
        b"{\"a\":\"\0\"}",
        6,
        "a control character in a string must be escaped",
    ),
    (
        b"{\"\x1f\":1}",
        2,
        "a control character in a string must be escaped",
    ),
    (
        b"{\"a\":\"\\x41\"}",
        7,
        "expected a character that can be escaped, found `x`",
    ),
    (
        b"{\"a\":\"\\'\"}",
        7,
        "expected a character that can be escaped, found `'`",
    ),
    (
        b"{\"a\":\"\\ \"}",
        7,
        "expected a character that can be escaped, found a space",
    ),
    (
        b"{\"a\":\"\\\xc3\xa9\"}",
        7,
        "expected a character that can be escaped, found the byte 0xc3",
    ),
    (
        b"{\"a\":\"\\u12\"}",
        10,
        "expected four hexadecimal digits, found `\"`",
    ),
    (
        b"{\"a\":\"\\u12g4\"}",
        10,
        "expected four hexadecimal digits, found `g`",
    ),
    (
        b"{\"a\":\"\\u\\u0041\"}",
        8,
        "expected four hexadecimal digits, found `\\`",
    ),
    (
        b"{\"a\":\"\\U0041\"}",
        7,
        "expected a character that can be escaped, found `U`",
    ),
    (
        b"{\"a\":1,\x0c\"b\":1}",
        7,
        "expected a key in double quotes, found the byte 0x0c",
    ),
    (
        b"{\"a\":\xe2\x80\xa81}",
        5,
        "expected a value, found the byte 0xe2",
    ),
    (b"{\"a\":\\u0031}", 5, "expected a value, found `\\`"),
];

#[test]
fn a_broken_store_is_refused_with_the_place_and_the_reason() {
    for (text, offset, reason) in BROKEN {
        for buffer in [1, 2, 3, 64, 4096] {
            let store = Store::new(text);
            let errors = [
                store.survey(buffer).unwrap_err(),
                store.rewrite(buffer, &mut Agreeing::default()).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(
                    place(&error),
                    (line_and_column(text, *offset), (*reason).to_owned()),
                    "{text:?}"
                );
            }
        }
    }
    println!("{} broken stores refused", BROKEN.len());
}

#[test]
fn the_place_is_counted_in_lines_and_bytes() {
    let store = Store::new("{\n  \"é\": [\n],\r\n  x");
    let error = store.survey(4096).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}:4:3: invalid JSON: expected a key in double quotes, found `x` \
             (store not modified; repair it or restore a backup)",
            store.path.display()
        )
    );
}

#[cfg(unix)] // Windows does not even open a folder.
#[test]
fn what_cannot_be_read_is_reported_as_the_system_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = Os.open(folder.path()).unwrap();
    let source = Source {
        system: &Os,
        file: &file,
        path: folder.path(),
        abort: &Abort::default(),
    };
    let error = survey(source, CUTOFF_MS, &mut [0; 64]).unwrap_err();
    let Error::Io {
        operation: "read",
        path,
        source,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (&*path, source.kind()),
        (folder.path(), std::io::ErrorKind::IsADirectory)
    );
}

fn place(error: &Error) -> ((u64, u64), String) {
    match error {
        Error::Json {
            line,
            column,
            reason,
            ..
        } => ((*line, *column), reason.clone()),
        other => panic!("{other}"),
    }
}

fn line_and_column(text: &[u8], offset: usize) -> (u64, u64) {
    let before = &text[..offset];
    let lines: Vec<_> = before.split(|byte| *byte == b'\n').collect();
    (lines.len() as u64, lines[lines.len() - 1].len() as u64 + 1)
}

/// An entry of a random store: its key, its value, and the white space at its four joints.
#[derive(Debug, Clone)]
struct Part {
    key: String,
    value: String,
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

/// A store and where its entries are: the end of the comma before each, and the end of its value.
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

/// What JavaScript would decide, from whole values: which entries go, and the ids removed.
fn model(parts: &[Part]) -> (Vec<bool>, Vec<Option<String>>) {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    let keys: Vec<String> = parts
        .iter()
        .map(|part| serde_json::from_str(&format!("\"{}\"", part.key)).unwrap())
        .collect();
    let last = |key: &String| keys.iter().rposition(|other| other == key).unwrap();
    let goes: Vec<bool> = keys
        .iter()
        .map(|key| {
            let key_is_run = key
                .to_lowercase()
                .starts_with("agent:main:cron:nightly:run:");
            let value = &parts[last(key)].value;
            // The numbers that `part` makes, by hand.
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
        .filter(|at| goes[*at] && first(*at))
        .map(|at| {
            // A lone surrogate is beyond serde_json, and not what this is about.
            let value = json(&parts[last(&keys[at])].value).ok()?;
            Some(value.get("sessionId")?.as_str()?.to_owned())
        })
        .collect();
    (goes, removed)
}

/// The rule of the cuts, told from the whole.
fn cut(text: &str, places: &[(usize, usize)], goes: &[bool]) -> String {
    let open = text.find('{').unwrap() + 1;
    let close = text.rfind('}').unwrap();
    let kept: Vec<usize> = (0..goes.len()).filter(|at| !goes[*at]).collect();
    if kept.len() == goes.len() {
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
    result + &text[places[goes.len() - 1].1..]
}

proptest! {
    #[test]
    fn a_rewrite_removes_what_a_reading_of_the_whole_would(
        parts in proptest::collection::vec(part(), 0..9),
        buffer in prop_oneof![1..100_usize, Just(4096)],
    ) {
        let (text, places) = assemble(&parts);
        let (goes, removed) = model(&parts);
        let store = Store::new(&text);
        let mut judge = Agreeing::default();
        let (rewrite, result) = store.rewrite(buffer, &mut judge).unwrap();
        prop_assert_eq!(String::from_utf8(result).unwrap(), cut(&text, &places, &goes));
        prop_assert_eq!(rewrite.entries, parts.len() as u64);
        prop_assert_eq!(rewrite.removed, removed.len() as u64);
        for (run, id) in judge.gone.iter().zip(removed) {
            prop_assert!(id.is_none() || run.session_id.text() == id.as_deref());
        }
        let due = store.survey(buffer).unwrap() == Survey::Due;
        prop_assert!(due || rewrite.removed == 0);
    }

    #[test]
    fn the_size_of_the_buffer_makes_no_difference(
        parts in proptest::collection::vec(part(), 0..5),
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut text = assemble(&parts).0.into_bytes();
        if let Some((at, byte)) = damage {
            *at.get_mut(&mut text) = byte;
        }
        let store = Store::new(&text);
        let outcome = |buffer| {
            let mut judge = Agreeing::default();
            let rewrite = store.rewrite(buffer, &mut judge).map_err(|error| error.to_string());
            (rewrite, judge)
        };
        prop_assert_eq!(outcome(1), outcome(text.len()));
        // A survey that ends early does not see what is broken further on.
        let survey = |buffer| store.survey(buffer).map_err(|error| error.to_string());
        if survey(1) != Ok(Survey::Due) {
            prop_assert_eq!(survey(1), survey(text.len()));
        }
    }
}

#[test]
fn entries_larger_than_the_buffer_are_copied_whole() {
    let long = r#"\"é\n\\\u00e9 and so on"#.repeat(2000);
    let parts: Vec<Part> = (0..60)
        .map(|number| {
            let at = if number % 7 < 3 { 99 } else { 100 };
            // Short ones among them, and some that are no runs.
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
    let goes: Vec<bool> = (0..60)
        .map(|number| number % 7 < 3 && number % 5 != 0)
        .collect();
    let expected = cut(&text, &places, &goes);
    let store = Store::new(&text);
    for buffer in [4 << 10, 100_000, 256 << 10, 8 << 20] {
        let (rewrite, result) = store.rewrite(buffer, &mut Agreeing::default()).unwrap();
        assert!(result == expected.as_bytes(), "a buffer of {buffer}");
        assert_eq!(
            rewrite.removed,
            goes.iter().filter(|goes| **goes).count() as u64
        );
    }
}

#[test]
fn a_store_that_shrinks_meanwhile_ends_in_an_error() {
    /// Cuts the store short as soon as something is to be decided.
    struct Shrink<'a>(&'a Path);
    impl Judge for Shrink<'_> {
        fn goes(&mut self, _: &Run) -> bool {
            std::fs::File::options()
                .write(true)
                .open(self.0)
                .unwrap()
                .set_len(20)
                .unwrap();
            false
        }
        fn stays(&mut self, _: &SessionId<'_>, _: Option<&str>) {}
        fn restart(&mut self) {}
    }
    let store = Store::new(pretty(&[99, 100, 99]));
    let file = Os.open(&store.path).unwrap();
    let out = Os.create_new(&store.folder.path().join("out")).unwrap();
    let mut judge = Shrink(&store.path);
    let abort = Abort::default();
    let result = rewrite(
        store.source(&file, &abort),
        CUTOFF_MS,
        Some(&out),
        &mut judge,
        &mut [0; 16],
    );
    let (_, reason) = place(&result.unwrap_err());
    assert_eq!(reason, "the file became shorter while it was being read");
}
