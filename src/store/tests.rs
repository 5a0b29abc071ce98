//! Surveys and rewrites of whole stores, which must agree with each other.

use std::fs::File;
use std::path::PathBuf;

use super::reading::Source;
use super::rewrite::{Facts, RemovalPolicy, Rewritten, rewrite};
use super::scan::SessionId;
use super::survey::{Survey, survey};
use crate::abort::Abort;
use crate::error::Error;
use crate::system::{Os, System};

/// The cutoff of these tests: a run with `updatedAt` 99 is expired, one with 100 is not.
pub(super) const CUTOFF_MS: f64 = 100.0;

/// Returns the key of a run.
pub(super) fn run_key(number: u32) -> String {
    format!("agent:main:cron:nightly:run:{number}")
}

/// A store in a temporary folder.
pub(super) struct StoreFile {
    pub(super) folder: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl StoreFile {
    pub(super) fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.json");
        std::fs::write(&path, text).unwrap();
        Self { folder, path }
    }

    pub(super) fn source<'a>(&'a self, file: &'a File, abort: &'a Abort) -> Source<'a, Os> {
        Source {
            system: &Os,
            file,
            path: &self.path,
            abort,
        }
    }

    /// Surveys the store with a read buffer of `buffer` bytes.
    pub(super) fn survey(&self, buffer: usize) -> Result<Survey, Error> {
        let file = Os.open(&self.path).unwrap();
        let abort = Abort::default();
        survey(
            self.source(&file, &abort),
            CUTOFF_MS,
            &mut vec![0; buffer],
            |_| false,
        )
    }

    /// Rewrites the store with a read buffer of `buffer` bytes and returns the new text. Checks that
    /// a rewrite without an output file has the same result.
    pub(super) fn rewrite(
        &self,
        buffer: usize,
        policy: &mut TestPolicy,
    ) -> Result<(Rewritten, Vec<u8>), Error> {
        let file = Os.open(&self.path).unwrap();
        let out_path = self.folder.path().join("out");
        let out = Os.create_new(&out_path).unwrap();
        let buffer = &mut vec![0; buffer];
        let abort = Abort::default();
        let mut pass = |file, cutoff_ms, out, policy: &mut TestPolicy| {
            rewrite(self.source(file, &abort), cutoff_ms, out, policy, buffer)
        };
        let mut counting_policy = TestPolicy {
            locked: policy.locked.clone(),
            ..TestPolicy::default()
        };
        let counted = pass(&file, CUTOFF_MS, None, &mut counting_policy);
        let rewritten = pass(&file, CUTOFF_MS, Some(&out), policy);
        match (&rewritten, counted) {
            (Ok(rewritten), counted) => {
                assert_eq!(counted.unwrap(), *rewritten);
                assert_eq!(counting_policy, *policy);
                // With this cutoff nothing is expired, so that all entries of the output are counted.
                let left = pass(&out, f64::NEG_INFINITY, None, &mut TestPolicy::default());
                assert_eq!(left.unwrap().entries, rewritten.kept);
            }
            (Err(error), counted) => {
                assert_eq!(counted.unwrap_err().to_string(), error.to_string());
            }
        }
        let mut text = std::fs::read(&out_path).unwrap();
        std::fs::remove_file(&out_path).unwrap();
        rewritten.map(|rewritten| {
            text.truncate(usize::try_from(rewritten.bytes).unwrap());
            (rewritten, text)
        })
    }
}

/// Rewrites a store and returns the new text and the number of removed runs.
pub(super) fn swept(text: impl AsRef<[u8]>) -> (String, u64) {
    let (rewritten, text) = StoreFile::new(text)
        .rewrite(256 << 10, &mut TestPolicy::default())
        .unwrap();
    (String::from_utf8(text).unwrap(), rewritten.removed)
}

/// Removes all expired runs except those of one `sessionId`, and records what it receives.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TestPolicy {
    pub(super) locked: Option<String>,
    pub(super) removed: Vec<Facts<'static>>,
    pub(super) kept: Vec<(Option<String>, Option<String>)>,
    pub(super) restarts: u32,
}

impl RemovalPolicy for TestPolicy {
    fn removes(&mut self, run: &Facts<'_>) -> bool {
        let removes = self.locked.is_none() || run.session_id.text() != self.locked.as_deref();
        if removes {
            self.removed.push(run.clone().into_owned());
        }
        removes
    }

    fn keeps(&mut self, session_id: &SessionId<'_>, session_file: Option<&str>) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.kept
            .push((owned(session_id.text()), owned(session_file)));
    }

    fn restart(&mut self) {
        self.kept.clear();
        self.removed.clear();
        self.restarts += 1;
    }
}

#[test]
fn removes_an_entry_exactly_if_javascript_considers_it_expired() {
    for (value, is_removed) in [
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
        let expected = if is_removed { "{}" } else { &store };
        assert_eq!(swept(&store).0, expected);
        let survey = StoreFile::new(&store).survey(7).unwrap();
        assert_eq!(survey == Survey::Due, is_removed, "{store}");
        let not_a_run = format!("{{\"agent:main:cron:nightly\": {value}}}");
        assert_eq!(swept(&not_a_run).0, not_a_run);
    }
}

#[test]
fn keeps_a_run_whose_updated_at_is_too_long_to_be_recorded() {
    let five = "0".repeat(70_000) + "5";
    let store = format!("{{\"{}\": {{\"updatedAt\": \"{five}\"}}}}", run_key(1));
    assert_eq!(swept(&store), (store, 0));
}

#[test]
fn reports_a_session_id_that_is_too_long_to_be_recorded_as_compound() {
    let long = "x".repeat(70_000);
    let store = format!(
        r#"{{"{}": {{"sessionId": "{long}", "sessionFile": "f"}}}}"#,
        run_key(1)
    );
    let mut policy = TestPolicy::default();
    StoreFile::new(store).rewrite(4096, &mut policy).unwrap();
    assert_eq!(policy.removed[0].session_id, SessionId::Compound);
    assert_eq!(policy.removed[0].session_file.as_deref(), Some("f"));
}

#[test]
fn reports_when_the_next_run_expires() {
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
        locked: 0,
    };
    assert_eq!(StoreFile::new(&store).survey(64).unwrap(), expected);
    let (rewritten, text) = StoreFile::new(&store)
        .rewrite(64, &mut TestPolicy::default())
        .unwrap();
    assert_eq!(
        (rewritten.entries, rewritten.earliest.to_bits()),
        (5, 200.5_f64.to_bits())
    );
    assert_eq!(text, store.as_bytes());
}

#[test]
fn sweeps_a_store_with_valid_but_unusual_values() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep_objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    let huge = "k".repeat(2 << 20);
    let mut stores = 0;
    for unusual in [
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
        let entry = |key: &[u8]| [b"\"", key, b"\" :\r\n\t", unusual].concat();
        let run = [b"\"", run_key(1).as_bytes(), b"\":{\"x\":", unusual, b"}"].concat();
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
        let (rewritten, text) = StoreFile::new(store)
            .rewrite(256 << 10, &mut TestPolicy::default())
            .unwrap();
        assert_eq!(rewritten.removed, 1);
        assert!(
            text == expected,
            "{}",
            String::from_utf8_lossy(&unusual[..unusual.len().min(80)])
        );
        stores += 1;
    }
    println!("{stores} odd stores swept");
}

/// Broken stores, the offset of the first invalid byte, and the reason that is reported.
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
fn refuses_a_broken_store_with_line_column_and_reason() {
    for (text, offset, reason) in BROKEN {
        for buffer in [1, 2, 3, 64, 4096] {
            let store = StoreFile::new(text);
            let errors = [
                store.survey(buffer).unwrap_err(),
                store
                    .rewrite(buffer, &mut TestPolicy::default())
                    .unwrap_err(),
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
fn counts_the_column_of_an_invalid_byte_in_bytes() {
    let store = StoreFile::new("{\n  \"é\": [\n],\r\n  x");
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

#[cfg(unix)] // Windows cannot open a folder.
#[test]
fn reports_the_error_of_the_operating_system_if_reading_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = Os.open(folder.path()).unwrap();
    let source = Source {
        system: &Os,
        file: &file,
        path: folder.path(),
        abort: &Abort::default(),
    };
    let error = survey(source, CUTOFF_MS, &mut [0; 64], |_| false).unwrap_err();
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

/// Returns line and column, and the reason.
pub(super) fn place(error: &Error) -> ((u64, u64), String) {
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
