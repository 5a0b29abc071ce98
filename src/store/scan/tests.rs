use proptest::prelude::*;

use super::*;

/// Records everything that a scanner reports.
#[derive(Debug, Default, PartialEq)]
struct Events(Vec<String>);

impl Visitor for Events {
    fn open(&mut self, end: u64) {
        self.0.push(format!("open {end}"));
    }

    fn key(&mut self, key: Key<'_>, start: u64) {
        self.0.push(format!("key {start} {key:?}"));
    }

    fn entry(&mut self, entry: &Entry<'_>, end: u64) {
        let (id, file) = (entry.session_id(), entry.session_file());
        let at = entry.updated_at();
        self.0.push(format!("entry {end} {at:?} {id:?} {file:?}"));
    }

    fn close(&mut self, start: u64) {
        self.0.push(format!("close {start}"));
    }
}

fn scan<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Events, Result<(), Broken>) {
    let (mut events, mut scanner) = (Events::default(), Scanner::default());
    for chunk in chunks {
        if let Err(broken) = scanner.push(chunk, &mut events) {
            return (events, Err(broken));
        }
    }
    (events, scanner.finish())
}

fn scan_whole(text: &[u8]) -> (Events, Result<(), Broken>) {
    scan([text].into_iter())
}

fn assert_chunks_make_no_difference(text: &[u8]) {
    let whole = scan_whole(text);
    for at in 0..=text.len() {
        let (head, tail) = text.split_at(at);
        assert_eq!(scan([head, tail].into_iter()), whole, "cut at {at}");
    }
    for size in 1..=text.len().min(130) {
        assert_eq!(scan(text.chunks(size)), whole, "chunks of {size}");
    }
}

#[test]
fn reports_the_same_for_any_chunks_of_a_store() {
    let long = r#"\\\"\n\u00e9\ud83d\ude00\/\b\f\r\t \\"#.repeat(9);
    let text = format!(
        "\r\n {{\t\"agent:main:cron:j:run:\\u00e9é😀\" : {{\"updatedAt\":-12.5e+7 ,\
         \"session\\u0049d\":\"{long}\",\"sessionFile\":\"a\\\"b\",\"n\":{{\"updatedAt\":1,\
         \"x\":[[],{{}},[{{\"y\":[true,false,null]}}],\"]}}\",0,-0,1E5]}}}},\n\n\
         \"{long}\":null,\"a\":[],\"b\":\"\",\"c\":0.0,\"d\":{{\"sessionId\":[1,\"2\"],\
         \"sessionId\":\"last\",\"updatedAt\":[ [5] ]}} , \"\": true}} \r\n\t"
    );
    assert_chunks_make_no_difference(text.as_bytes());
    let (Events(events), result) = scan_whole(text.as_bytes());
    assert_eq!((events.len(), result), (2 + 2 * 7, Ok(())));
    assert!(events[2].contains(r"Some(-125000000.0)"), "{}", events[2]);
    assert!(events[2].contains("Some(\"a\\\"b\")"), "{}", events[2]);
    assert!(
        events[12].contains(r#"Some(5.0) Text("last")"#),
        "{}",
        events[12]
    );
}

#[test]
fn reports_the_same_for_any_chunks_of_a_store_with_invalid_utf8() {
    assert_chunks_make_no_difference(b"{\"\xff\xc3\":{\"sessionId\":\"\xe2\x82\\n\xf0\x9f\x98\"}}");
}

#[test]
fn reports_the_same_error_for_any_chunks_of_a_broken_store() {
    for text in [
        &b"{\"a\":\"\\u00eg\"}"[..],
        b"{\"a\":nulL}",
        b"{\"a\":1.5e}",
        b"{\"a\":\"\\\\\\q\"}",
        b"{\"a\":[1,2}",
        b"{\"a\":1}}",
    ] {
        assert!(scan_whole(text).1.is_err());
        assert_chunks_make_no_difference(text);
    }
}

#[test]
fn accepts_any_depth_and_detects_an_unbalanced_bracket_there() {
    let text = [
        "{\"a\":".repeat(300_000),
        "1".to_owned(),
        "}".repeat(300_000),
    ]
    .concat();
    assert_eq!(scan(text.as_bytes().chunks(4096)).1, Ok(()));
    let unbalanced = text.replace('1', "[1");
    let (_, result) = scan(unbalanced.as_bytes().chunks(4096));
    assert_eq!(result.unwrap_err().reason, "expected `,` or `]`, found `}`");
}

/// Bytes that are often, but not always, valid JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = proptest::sample::select(vec![
        &b"{"[..],
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"a\"",
        b"\"updatedAt\"",
        b"1",
        b"-0.5e3",
        b"null",
        b" ",
        b"\n",
        b"\"\\\\\\\"\\u0041\xff\"",
        b"\"a\":1",
        b"{\"b\":[]}",
        b"\"k\":{},",
        b"\\",
        b"\"",
    ]);
    proptest::collection::vec(token, 0..24).prop_map(|tokens| [b"{", &*tokens.concat()].concat())
}

proptest! {
    #[test]
    fn accepts_exactly_what_serde_json_accepts(
        mut text in nearly_json(),
        is_closed in any::<bool>(),
    ) {
        if is_closed {
            text.push(b'}');
        }
        let (_, result) = scan_whole(&text);
        let serde_json = serde_json::from_slice::<serde::de::IgnoredAny>(&text);
        prop_assert_eq!(result.is_ok(), serde_json.is_ok(), "{:?}", result);
        prop_assert_eq!(scan(text.chunks(1)), scan_whole(&text));
    }
}
