//! Whole sweeps, without Node.js: the recordings of the real gateway, and what is stricter.
#![cfg(unix)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::time::SystemTime;

use crate::abort::Abort;
use crate::gateway::retention::{self, Setting};
use crate::store::survey_cache::SurveyCache;
use crate::sweep::outcome::{Archived, Entries, LogLine, Mode, Reason, Removed, Sizes};
use crate::sweep::{Ageing, Options, Outcome, Request};
use crate::system::{Os, Process, System};
use crate::testing::{Faulty, Swept, preview, swept, touch};

const HOUR: f64 = 3_600_000.0;
const NOW: f64 = 1_772_366_400_000.0;

fn sweep_at(store: &Path, cache: &SurveyCache, now_ms: f64) -> Swept {
    let request = Request {
        store,
        now_ms,
        retention_ms: 24.0 * HOUR,
    };
    swept(&Os, request, cache)
}

fn sweep_once(store: &Path) -> Swept {
    sweep_at(store, &SurveyCache::new(), NOW)
}

/// Returns the files below `root` by path. Folders end in `/`.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                found.insert(format!("{name}/"), Vec::new());
                walk(root, &path, found);
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.insert(name.to_owned(), format!("-> {}", target.display()).into());
            } else {
                found.insert(name.to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

/// Replaces the stamp of an archive that the sweep made by `{STAMP}`.
fn with_stamp_hidden(name: &str, laid_out: &BTreeMap<String, Vec<u8>>) -> String {
    match name.rsplit_once(".deleted.") {
        Some((before, stamp)) if stamp.len() == 24 && !laid_out.contains_key(name) => {
            format!("{before}.deleted.{{STAMP}}")
        }
        _ => name.to_owned(),
    }
}

#[test]
fn replays_every_recorded_sweep_of_the_gateway() {
    let recordings = include_str!("../../__test__/gateway-vectors/sweeps.json");
    let recordings: Value = serde_json::from_str(recordings).unwrap();
    let cases = recordings["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 150);
    for case in cases {
        replay(case);
    }
}

fn replay(case: &Value) {
    let name = case["name"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let rooted = |text: &str| text.replace("{ROOT}", root.to_str().unwrap());
    for file in case["files"].as_array().unwrap() {
        let path = root.join(file["path"].as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file["dir"] == true {
            fs::create_dir_all(&path).unwrap();
        } else if let Some(target) = file["symlink"].as_str() {
            std::os::unix::fs::symlink(rooted(target), &path).unwrap();
        } else {
            fs::write(&path, rooted(file["text"].as_str().unwrap())).unwrap();
        }
    }
    fs::create_dir_all(root.join("home")).unwrap();
    let laid_out = tree(&root);
    let store_name = case["store"].as_str().unwrap();
    let store = root.join(store_name);

    let params = &case["params"];
    let setting = match &params["cronConfig"]["sessionRetention"] {
        Value::Bool(false) => Setting::Disabled,
        Value::String(text) => Setting::Text(text),
        _ => Setting::Absent,
    };
    let report = match retention::resolve(setting) {
        None => Outcome::not_swept(Mode::Apply, Reason::Disabled, None).into(),
        Some(retention_ms) => {
            let request = Request {
                store: &store,
                now_ms: params["nowMs"].as_f64().unwrap(),
                retention_ms,
            };
            swept(&Os, request, &SurveyCache::new())
        }
    };

    let expect = &case["expect"];
    assert_eq!(report.swept, expect["result"]["swept"], "{name}");
    assert_eq!(report.pruned, expect["result"]["pruned"], "{name}");
    let logs: Vec<Value> = report.log.iter().map(log_as_json).collect();
    assert_eq!(Value::from(logs), expect["logs"], "{name}");

    let found: BTreeMap<String, Vec<u8>> = tree(&root)
        .into_iter()
        .map(|(path, bytes)| (with_stamp_hidden(&path, &laid_out), bytes))
        .collect();
    let expected = expect["tree"].as_object().unwrap();
    let expected_names: Vec<&String> = expected.keys().collect();
    let mut found_names: Vec<&String> = found.keys().collect();
    found_names.sort();
    let mut expected_sorted = expected_names.clone();
    expected_sorted.sort();
    assert_eq!(found_names, expected_sorted, "{name}");
    for (path, text) in expected {
        let text = rooted(text.as_str().unwrap());
        let bytes = &found[path];
        if path == store_name && expect["storeBytesExact"] == false {
            let found: Value = serde_json::from_slice(bytes).unwrap();
            let expected: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(found, expected, "{name}: {path}");
        } else if !path.ends_with('/') && !bytes.starts_with(b"-> ") {
            assert_eq!(String::from_utf8_lossy(bytes), text, "{name}: {path}");
        }
    }
}

fn log_as_json(line: &LogLine) -> Value {
    let mut fields = line.fields.clone();
    if let Some(retention_ms) = fields.get_mut("retentionMs") {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "recorded retentions are whole"
        )]
        let whole = retention_ms.as_f64().unwrap() as i64;
        *retention_ms = whole.into();
    }
    serde_json::json!({ "level": line.level, "obj": fields, "msg": line.message })
}

/// A folder with a store of two entries, one of them an expired run with a transcript.
struct Gateway {
    _folder: tempfile::TempDir,
    root: PathBuf,
    store: PathBuf,
}

impl Gateway {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let store = root.join("sessions.json");
        fs::write(
            &store,
            r#"{"agent:main:main":{"sessionId":"m"},"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1}}"#,
        )
        .unwrap();
        fs::write(root.join("r.jsonl"), "run").unwrap();
        fs::write(root.join("m.jsonl"), "main").unwrap();
        Self {
            _folder: folder,
            root,
            store,
        }
    }

    fn names(&self) -> Vec<String> {
        let nothing = BTreeMap::new();
        let names = tree(&self.root);
        names
            .keys()
            .map(|name| with_stamp_hidden(name, &nothing))
            .collect()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.store).unwrap()
    }
}

/// Returns the contents of a lock file of this process.
fn live_lock() -> String {
    let pid = std::process::id();
    format!(r#"{{"pid":{pid},"createdAt":"2999-01-01T00:00:00.000Z"}}"#)
}

#[test]
fn removes_an_expired_run_and_archives_its_transcript() {
    let gateway = Gateway::new();
    let report = sweep_once(&gateway.store);
    assert!(report.swept);
    assert_eq!(report.pruned, 1);
    assert_eq!(gateway.text(), r#"{"agent:main:main":{"sessionId":"m"}}"#);
    assert_eq!(
        gateway.names(),
        ["m.jsonl", "r.jsonl.deleted.{STAMP}", "sessions.json"]
    );
}

/// A commit that was killed left the store of a writer that ignores the lock.
#[test]
fn keeps_and_reports_another_writers_store_also_if_it_removes_runs() {
    let gateway = Gateway::new();
    fs::write(gateway.root.join("sessions.json.reaper.1.2.tmp"), "{}").unwrap();
    let report = sweep_once(&gateway.store);
    assert_eq!((report.pruned, report.temps.kept.len()), (1, 1));
}

#[test]
fn writes_a_store_of_mode_0600() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::new();
    sweep_once(&gateway.store);
    let mode = fs::metadata(&gateway.store).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn preserves_the_owner_of_the_store() {
    use std::os::unix::fs::{MetadataExt, chown};
    let gateway = Gateway::new();
    if let Err(error) = chown(&gateway.store, Some(12_345), Some(54_321)) {
        eprintln!("skipped, since only root may give a file away: {error}");
        return;
    }
    assert_eq!(sweep_once(&gateway.store).pruned, 1);
    let stat = fs::metadata(&gateway.store).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (12_345, 54_321));
}

#[test]
fn creates_nothing_if_the_store_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let report = sweep_once(&folder.path().join("none/sessions.json"));
    assert_eq!((report.swept, report.pruned), (true, 0));
    assert!(report.log.is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn leaves_a_damaged_store_unmodified_and_logs_line_and_column() {
    let gateway = Gateway::new();
    let damaged = "{\n  \"agent:main:cron:j:run:1\": {\"updatedAt\": 1},\n  oops";
    fs::write(&gateway.store, damaged).unwrap();
    let before = tree(&gateway.root);
    let report = sweep_once(&gateway.store);
    assert!(!report.swept);
    assert_eq!(report.log.len(), 1);
    assert_eq!(
        report.log[0].message,
        "cron-reaper: failed to sweep session store"
    );
    let err = report.log[0].fields["err"].as_str().unwrap();
    let expected = format!("Error: {}:3:3: ", gateway.store.display());
    assert!(err.starts_with(&expected), "{err}");
    assert_eq!(tree(&gateway.root), before);
}

#[test]
fn takes_no_lock_and_writes_nothing_if_no_run_is_expired() {
    let gateway = Gateway::new();
    // A sweep that needed this lock would wait ten seconds and fail.
    fs::write(gateway.root.join("sessions.json.lock"), live_lock()).unwrap();
    let before = tree(&gateway.root);
    let report = sweep_at(&gateway.store, &SurveyCache::new(), 24.0 * HOUR);
    assert_eq!((report.swept, report.pruned), (true, 0));
    assert_eq!(tree(&gateway.root), before);
}

#[test]
fn writes_through_a_store_that_is_a_link() {
    let gateway = Gateway::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("real.json");
    fs::rename(&gateway.store, &target).unwrap();
    std::os::unix::fs::symlink(&target, &gateway.store).unwrap();
    assert_eq!(sweep_once(&gateway.store).pruned, 1);
    assert!(fs::symlink_metadata(&gateway.store).unwrap().is_symlink());
    assert_eq!(
        fs::read_to_string(&target).unwrap(),
        r#"{"agent:main:main":{"sessionId":"m"}}"#
    );
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn keeps_a_run_while_a_live_process_locks_its_transcript() {
    let gateway = Gateway::new();
    let before = gateway.text();
    let lock = gateway.root.join("r.jsonl.lock");
    // The age of the lock does not matter. Without a start time, it must be younger than the process.
    let mut old = live_lock();
    if let Process::Alive {
        starttime: Some(starttime),
        ..
    } = Os.process(Os.pid())
    {
        let field = format!(r#","starttime":{starttime}}}"#);
        old = old.replace("2999", "2026").replace('}', &field);
    }
    fs::write(&lock, old).unwrap();
    let cache = SurveyCache::new();
    let report = sweep_at(&gateway.store, &cache, NOW);
    assert_eq!((report.swept, report.pruned), (true, 0));
    assert_eq!(gateway.text(), before);
    assert_eq!(
        gateway.names(),
        ["m.jsonl", "r.jsonl", "r.jsonl.lock", "sessions.json"]
    );
    fs::remove_file(&lock).unwrap();
    assert_eq!(sweep_at(&gateway.store, &cache, NOW).pruned, 1);
}

/// A gateway resolves the links of a transcript's folder, and not the transcript itself.
#[test]
fn keeps_a_run_whose_transcript_is_locked_beside_a_link_or_beside_its_target() {
    for name in ["r.jsonl.lock", "sub/y.jsonl.lock"] {
        let gateway = Gateway::new();
        let (link, target) = (
            gateway.root.join("r.jsonl"),
            gateway.root.join("sub/y.jsonl"),
        );
        fs::create_dir(gateway.root.join("sub")).unwrap();
        fs::rename(&link, &target).unwrap();
        std::os::unix::fs::symlink("sub/y.jsonl", &link).unwrap();
        let (lock, before) = (gateway.root.join(name), gateway.text());

        // In the commit.
        let (taken, store_lock) = (lock.clone(), gateway.root.join("sessions.json.lock"));
        let system = Faulty::new(move |call, path| {
            if call == "link" && path == store_lock {
                fs::write(&taken, live_lock()).unwrap();
            }
            None
        });
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.pruned, report.entries.locked), (0, 1), "{name}");
        // In the survey.
        let system = Faulty::new(|_, _| None);
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.pruned, report.entries.locked), (0, 1), "{name}");
        assert!(system.calls("create_unnamed").is_empty(), "{name}");
        // In the plan: the survey ends at the first run that can be removed.
        let other = r#"{"agent:main:cron:j:run:2":{"updatedAt":1},"#;
        fs::write(&gateway.store, before.replacen('{', other, 1)).unwrap();
        let report = sweep_once(&gateway.store);
        assert_eq!((report.pruned, report.entries.locked), (1, 1), "{name}");

        assert!(target.exists(), "{name}");
        fs::remove_file(&lock).unwrap();
        assert_eq!(sweep_once(&gateway.store).transcripts.archived, 1);
        assert!(!target.exists(), "{name}");
    }
}

/// The transcripts belong to all stores of the folder: a sweep of a backup must not archive the
/// transcript of a chat in the store.
#[test]
fn keeps_a_transcript_that_another_store_in_the_folder_references() {
    for (name, entry, archived) in [
        (
            "sessions.json.bak.1772366400000",
            r#""chat":{"sessionId":"r"}"#,
            0,
        ),
        ("other.json", r#""chat":{"sessionFile":"r.jsonl"}"#, 0),
        // A sweep of that store would archive it, too.
        (
            "other.json",
            r#""agent:a:cron:j:run:1":{"sessionId":"r","updatedAt":1}"#,
            1,
        ),
        ("SESSIONS.JSON~", r#""chat":{"sessionId":"r"}"#, 0),
        // Not stores, by their names.
        ("notes.txt", r#""chat":{"sessionId":"r"}"#, 1),
        ("ops", r#""chat":{"sessionId":"r"}"#, 1),
        ("ops.jsonl", r#""chat":{"sessionId":"r"}"#, 1),
        ("sessions.json.lock", r#""chat":{"sessionId":"r"}"#, 1),
    ] {
        let gateway = Gateway::new();
        fs::write(gateway.root.join(name), format!("{{{entry}}}")).unwrap();
        let options = Options::default();
        let dry = preview(&Os, request(&gateway.store), &options, &SurveyCache::new());
        assert_eq!(
            (dry.pruned, dry.transcripts.archived),
            (1, archived),
            "{name}"
        );
        if name == "sessions.json.lock" {
            continue;
        }
        let report = sweep_once(&gateway.store);
        assert_eq!(
            (report.pruned, report.transcripts.archived),
            (1, archived),
            "{name}"
        );
    }
}

#[cfg(unix)]
#[test]
fn keeps_a_transcript_that_a_linked_store_references() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (other, gateway) = (elsewhere.path().join("ops.json"), Gateway::new());
    fs::write(&other, r#"{"chat":{"sessionId":"r"}}"#).unwrap();
    for (name, target) in [
        ("ops.json", &*other),
        // Not stores.
        ("gone.json", Path::new("/nonexistent/ops.json")),
        ("null.json", Path::new("/dev/null")),
        ("folder.json", elsewhere.path()),
    ] {
        std::os::unix::fs::symlink(target, gateway.root.join(name)).unwrap();
    }
    let before = gateway.text();
    let report = sweep_once(&gateway.store);
    assert_eq!((report.pruned, report.transcripts.archived), (1, 0));
    assert!(gateway.root.join("r.jsonl").exists());

    // A link of another user could lead root to a file that this user must not read.
    if std::os::unix::fs::lchown(gateway.root.join("ops.json"), Some(1234), None).is_ok() {
        fs::write(&gateway.store, before).unwrap();
        assert_eq!(sweep_once(&gateway.store).transcripts.archived, 1);
    }
}

#[test]
fn refuses_to_archive_beside_another_store_that_cannot_be_read() {
    for (name, error, is_store) in [
        ("ops.json", ErrorKind::PermissionDenied, true),
        ("notes.txt", ErrorKind::PermissionDenied, false),
        // A rotated backup that was removed after the folder was listed.
        ("sessions.json.bak.1", ErrorKind::NotFound, false),
    ] {
        let gateway = Gateway::new();
        let (before, other) = (gateway.text(), gateway.root.join(name));
        fs::write(&other, "{}").unwrap();
        let system = Faulty::new(move |call, path| {
            (call == "open_no_follow" && path == other).then_some(error)
        });
        let swept = sweep_on(&system, &gateway.store);
        assert_eq!(system.calls("sync").is_empty(), is_store, "{name}");
        let failure = swept.failure.map(|failure| failure.code.clone());
        assert_eq!(failure.as_deref(), is_store.then_some("EACCES"), "{name}");
        assert_eq!(gateway.text() == before, is_store, "{name}");
        assert_eq!(gateway.root.join("r.jsonl").exists(), is_store, "{name}");
    }
}

/// As long as its references are unknown, no transcript can be archived safely.
#[test]
fn refuses_to_archive_beside_a_damaged_store() {
    for (contents, is_store) in [
        (
            r#"{"chat":{"sessionId":"x"}, oops "b":{"sessionId":"r"}}"#,
            true,
        ),
        ("\u{feff}{\"chat\":{\"sessionId\":\"r\"}}", true),
        (" {", true),
        ("// edited by hand\n{}", true),
        ("\0{\0}", true),
        ("", false),
        ("[1,", false),
        ("oops", false),
    ] {
        let gateway = Gateway::new();
        let (before, other) = (gateway.text(), gateway.root.join("sessions.json.damaged"));
        fs::write(&other, contents).unwrap();
        touch(&other, SystemTime::UNIX_EPOCH);
        let system = Faulty::new(|_, _| None);
        let swept = sweep_on(&system, &gateway.store);
        assert_eq!(swept.failure.is_some(), is_store, "{contents}");
        assert_eq!(gateway.text() == before, is_store, "{contents}");
        assert_eq!(
            gateway.root.join("r.jsonl").exists(),
            is_store,
            "{contents}"
        );
        // A refused sweep costs no writes to the disk.
        assert_eq!(system.calls("sync").is_empty(), is_store, "{contents}");
        let opened = system.calls("open_no_follow").into_iter();
        let times = opened.filter(|it| *it == other).count();
        assert_eq!(times, if is_store { 4 } else { 1 }, "{contents}");
        assert_eq!(system.calls("sleep").len(), times - 1, "{contents}");
        if let Some(failure) = swept.failure {
            assert_eq!(failure.code, "ERR_SESSION_STORE_INVALID");
            assert_eq!(failure.path.as_deref(), other.to_str());
            assert!(failure.message.contains("move it to another folder"));
        }
    }
}

/// Also the one that shows whether a file that is not valid JSON can be a store.
#[test]
fn refuses_to_archive_if_reads_fail() {
    let swept_with = |failing: u32| {
        let gateway = Gateway::new();
        fs::write(gateway.root.join("sessions.json.damaged"), "oops").unwrap();
        let reads = AtomicU32::new(0);
        let system = Faulty::new(move |call, _| {
            let fails = call == "read_at" && reads.fetch_add(1, Ordering::Relaxed) >= failing;
            fails.then_some(ErrorKind::Other)
        });
        let swept = sweep_on(&system, &gateway.store).swept;
        assert_eq!(gateway.root.join("r.jsonl").exists(), !swept, "{failing}");
        (swept, u32::try_from(system.calls("read_at").len()).unwrap())
    };
    let (swept, reads) = swept_with(u32::MAX);
    assert!(swept && reads >= 3);
    for failing in 0..reads {
        assert!(!swept_with(failing).0, "{failing} of {reads}");
    }
}

/// Otherwise one crash of a writer would end all sweeps.
#[test]
fn sweeps_beside_an_incomplete_temp_file_that_a_sweep_kept() {
    for (contents, archived) in [(r#"{"chat":{"sessionId":"r"},"b"#, 0), ("{", 1)] {
        let gateway = Gateway::new();
        let kept = "sessions.json.kept.2026-01-20T12-00-00.000Z";
        fs::write(gateway.root.join(kept), contents).unwrap();
        let report = sweep_once(&gateway.store);
        assert_eq!(
            (report.pruned, report.transcripts.archived),
            (1, archived),
            "{contents}"
        );
    }
}

/// A process that writes it in place has emptied it first.
#[test]
fn refuses_to_archive_beside_a_store_that_was_emptied_in_the_last_ten_seconds() {
    for (age_ms, is_refused) in [(0, true), (10_000, true), (10_001, false)] {
        let gateway = Gateway::new();
        let other = gateway.root.join("ops.json");
        fs::write(&other, "").unwrap();
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        touch(&other, written);
        let now = written + Duration::from_millis(age_ms);
        let system = Faulty::new(|_, _| None).with_now(now);
        let code = sweep_on(&system, &gateway.store).failure.map(|it| it.code);
        assert_eq!(code.is_some(), is_refused, "{age_ms}");
        assert!(code.is_none_or(|it| it == "ERR_SESSION_STORE_INVALID"));
        assert_eq!(
            gateway.root.join("r.jsonl").exists(),
            is_refused,
            "{age_ms}"
        );
    }
}

#[test]
fn accesses_no_store_in_another_folder_with_the_lock_held() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (other, gateway) = (elsewhere.path().join("ops.json"), Gateway::new());
    fs::write(&other, r#"{"chat":{"sessionId":"x"}}"#).unwrap();
    std::os::unix::fs::symlink(&other, gateway.root.join("ops.json")).unwrap();
    let lock = gateway.root.join("sessions.json.lock");
    let (is_held, accessed) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&accessed);
    let system = Faulty::new(move |call, path| {
        if call == "link" && path == lock {
            is_held.store(1, Ordering::Relaxed);
        }
        if path == other {
            counted.fetch_add(is_held.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        None
    });
    assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
    assert_eq!(accessed.load(Ordering::Relaxed), 0);
}

#[test]
fn reads_another_store_again_that_is_being_written_in_place() {
    let gateway = Gateway::new();
    let other = gateway.root.join("ops.json");
    let complete = r#"{"chat":{"sessionId":"r"}}"#;
    fs::write(&other, &complete[..9]).unwrap();
    let path = other.clone();
    let opened = AtomicU32::new(0);
    let system = Faulty::new(move |call, it| {
        if call == "open_no_follow" && it == path && opened.fetch_add(1, Ordering::Relaxed) == 1 {
            fs::write(&path, complete).unwrap();
        }
        None
    });
    let report = sweep_on(&system, &gateway.store);
    assert_eq!((report.pruned, report.transcripts.archived), (1, 0));
    assert_eq!(
        system
            .calls("open_no_follow")
            .iter()
            .filter(|it| **it == other)
            .count(),
        2
    );
}

/// A sweep can wait for the lock for seconds.
#[test]
fn keeps_a_transcript_that_another_store_references_when_the_lock_is_acquired() {
    // From each attempt without the lock on, the store changes again.
    for changes in [1, 2, 100] {
        let gateway = Gateway::new();
        let (other, lock) = (
            gateway.root.join("ops.json"),
            gateway.root.join("sessions.json.lock"),
        );
        fs::write(&other, "{}").unwrap();
        let locked = AtomicU32::new(0);
        let system = Faulty::new(move |call, path| {
            if call == "link" && path == lock {
                let n = locked.fetch_add(1, Ordering::Relaxed);
                if n < changes {
                    let text = format!(r#"{{"chat":{{"sessionId":"r"}},"n":{{"n":{n}}}}}"#);
                    fs::write(&other, text).unwrap();
                }
            }
            None
        });
        let report = sweep_on(&system, &gateway.store);
        assert_eq!(
            (report.pruned, report.transcripts.archived),
            (1, 0),
            "{changes}"
        );
    }
}

#[test]
fn keeps_a_transcript_that_another_store_references_in_the_second_attempt() {
    let gateway = Gateway::new();
    let (text, store) = (gateway.text(), gateway.store.clone());
    let (other, lock) = (
        gateway.root.join("ops.json"),
        gateway.root.join("sessions.json.lock"),
    );
    fs::write(&other, "{}").unwrap();
    let locked = AtomicU32::new(0);
    let system = Faulty::new(move |call, path| {
        if call == "link" && path == lock {
            match locked.fetch_add(1, Ordering::Relaxed) {
                0 => fs::write(&store, format!("{text} ")).unwrap(),
                1 => fs::write(&other, r#"{"chat":{"sessionId":"r"}}"#).unwrap(),
                _ => {}
            }
        }
        None
    });
    let report = sweep_on(&system, &gateway.store);
    assert_eq!((report.pruned, report.transcripts.archived), (1, 0));
}

/// The lock of the swept store does not stop its writer.
#[test]
fn sweeps_beside_another_store_that_is_written_without_pause() {
    let gateway = Gateway::new();
    let other = gateway.root.join("ops.json");
    fs::write(&other, r#"{"chat":{"sessionId":"x"}}"#).unwrap();
    let written = AtomicU32::new(0);
    let system = Faulty::new(move |call, _| {
        if call == "sync" {
            let n = written.fetch_add(1, Ordering::Relaxed);
            let text = format!(r#"{{"chat":{{"sessionId":"x{n}"}}}}"#);
            fs::write(&other, text).unwrap();
        }
        None
    });
    let report = sweep_on(&system, &gateway.store);
    assert_eq!((report.pruned, report.transcripts.archived), (1, 1));
}

#[test]
fn keeps_a_transcript_in_a_subfolder_that_the_store_there_references() {
    for (entry, archived) in [
        (r#""chat":{"sessionId":"r"}"#, 0),
        (r#""chat":{"sessionFile":"s.jsonl"}"#, 0),
        (r#""chat":{"sessionId":"m"}"#, 1),
    ] {
        let gateway = Gateway::new();
        let sub = gateway.root.join("sub");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("sessions.json"), format!("{{{entry}}}")).unwrap();
        std::os::unix::fs::symlink("r.jsonl", sub.join("s.jsonl")).unwrap();
        fs::write(sub.join("r.jsonl"), "r").unwrap();
        let run = r#"{"agent:main:cron:j:run:1":{"sessionFile":"sub/r.jsonl","updatedAt":1}}"#;
        fs::write(&gateway.store, run).unwrap();
        let report = sweep_once(&gateway.store);
        assert_eq!(
            (report.pruned, report.transcripts.archived),
            (1, archived),
            "{entry}"
        );
    }
}

/// Only with the lock held is nothing accessed outside the folder.
#[test]
fn a_file_of_another_folder_is_compared_also_in_the_second_attempt() {
    let (elsewhere, gateway) = (tempfile::tempdir().unwrap(), Gateway::new());
    let other = elsewhere.path().join("r.jsonl");
    fs::write(&other, "another file").unwrap();
    let text = format!(
        r#"{{"chat":{{"sessionFile":"{}"}},"agent:main:cron:j:run:1":{{"sessionId":"r","updatedAt":1}}}}"#,
        other.display()
    );
    fs::write(&gateway.store, &text).unwrap();
    let (store, lock) = (
        gateway.store.clone(),
        gateway.root.join("sessions.json.lock"),
    );
    let acquired = AtomicU32::new(0);
    let system = Faulty::new(move |call, path| {
        if call == "link" && path == lock && acquired.fetch_add(1, Ordering::Relaxed) == 0 {
            fs::write(&store, format!("{text} ")).unwrap();
        }
        None
    });
    assert_eq!(sweep_on(&system, &gateway.store).transcripts.archived, 1);
}

/// There can be thousands, each a link that leads nowhere.
#[test]
fn an_abort_ends_the_search_for_other_stores() {
    let gateway = Gateway::new();
    for name in ["a.json", "b.json", "c.json"] {
        std::os::unix::fs::symlink("missing", gateway.root.join(name)).unwrap();
    }
    let options = Options::default();
    let (abort, root) = (options.abort.clone(), gateway.root.clone());
    let is_other = move |path: &Path| {
        path.parent() == Some(&root) && path.file_name().is_some_and(|it| it.len() == 6)
    };
    let is_examined = is_other.clone();
    let system = Faulty::new(move |call, path| {
        if call == "stat" && is_examined(path) {
            abort.request();
        }
        None
    });
    assert!(!sweep_with(&system, &gateway.store, &options).swept);
    let examined: BTreeSet<_> = system.calls("stat").into_iter().collect();
    assert_eq!(examined.iter().filter(|it| is_other(it)).count(), 1);
}

/// Otherwise a store that is written all the time would never be swept. Other processes then do not wait
/// for a file system that the store's content names.
#[test]
fn the_third_attempt_is_prepared_with_the_lock_and_accesses_no_other_folder() {
    let (elsewhere, gateway) = (tempfile::tempdir().unwrap(), Gateway::new());
    let other = elsewhere.path().join("r.jsonl");
    fs::write(&other, "another file").unwrap();
    let text = format!(
        r#"{{"agent:main:cron:j:run:1":{{"sessionFile":"{}","updatedAt":1}}}}"#,
        other.display()
    );
    fs::write(&gateway.store, &text).unwrap();
    let (store, lock) = (
        gateway.store.clone(),
        gateway.root.join("sessions.json.lock"),
    );
    let accessed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&accessed);
    let system = Faulty::new(move |call, path| {
        if call == "create_unnamed" && !lock.exists() {
            // Written in each preparation without the lock.
            fs::write(&store, &text).unwrap();
            touch(&store, SystemTime::now() + Duration::from_secs(1));
        }
        if path == other {
            seen.lock().unwrap().push(lock.exists());
        }
        None
    });
    assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
    // One of them is the lock.
    assert_eq!(system.calls("create_unnamed").len(), 4);
    let accessed = accessed.lock().unwrap();
    assert!(!accessed.is_empty() && !accessed.contains(&true));
}

#[test]
fn an_abort_after_the_commit_does_not_end_the_clean_up() {
    let gateway = Gateway::new();
    let sub = gateway.root.join("sub");
    fs::create_dir(&sub).unwrap();
    for name in ["r.jsonl", "x.jsonl.deleted.2026-01-20T12-00-00.000Z"] {
        fs::write(sub.join(name), "").unwrap();
    }
    let text = r#"{"agent:main:cron:j:run:1":{"sessionFile":"sub/r.jsonl","updatedAt":1}}"#;
    fs::write(&gateway.store, text).unwrap();
    let options = Options::default();
    let abort = options.abort.clone();
    let system = Faulty::new(move |call, _| {
        if call == "sync_folder" {
            abort.request();
        }
        None
    });
    let report = sweep_with(&system, &gateway.store, &options);
    assert_eq!((report.pruned, report.archives.removed), (1, 1));
}

/// Each can be on a file system that no longer responds.
#[test]
fn follows_a_bounded_number_of_stores_that_are_links_to_another_folder() {
    for (links, is_swept) in [(64, true), (65, false)] {
        let (elsewhere, gateway) = (tempfile::tempdir().unwrap(), Gateway::new());
        for n in 0..links {
            let other = elsewhere.path().join(format!("{n}.json"));
            fs::write(&other, r#"{"chat":{"sessionId":"x"}}"#).unwrap();
            std::os::unix::fs::symlink(other, gateway.root.join(format!("{n}.json"))).unwrap();
        }
        let swept = sweep_once(&gateway.store);
        assert_eq!(swept.swept, is_swept, "{links}");
        if let Some(failure) = swept.failure {
            assert!(failure.message.contains("it leads outside the folder"));
        }
    }
}

/// The link can be the transcript of a chat, or another store.
#[test]
fn keeps_an_old_archive_to_which_a_link_leads() {
    let old = |name: &str| format!("{name}.deleted.2026-01-20T12-00-00.000Z");
    for ageing in [Ageing::WithRuns, Ageing::After(24.0 * HOUR)] {
        let gateway = Gateway::new();
        fs::remove_file(gateway.root.join("m.jsonl")).unwrap();
        let elsewhere = format!("/nonexistent/{}", old("e.jsonl"));
        for (link, target) in [
            ("m.jsonl", &*old("m.jsonl")),
            ("ops.json", &old("ops.json")),
            // Perhaps another path of this folder.
            ("e.jsonl", &elsewhere),
        ] {
            std::os::unix::fs::symlink(target, gateway.root.join(link)).unwrap();
        }
        for name in ["m.jsonl", "ops.json", "e.jsonl", "x.jsonl"] {
            fs::write(gateway.root.join(old(name)), "{}").unwrap();
        }
        let options = Options {
            ageing,
            ..Options::default()
        };
        let dry = preview(&Os, request(&gateway.store), &options, &SurveyCache::new());
        let swept = sweep_with(&Os, &gateway.store, &options);
        assert_eq!((dry.archives.removed, swept.archives.removed), (1, 1));
        assert!(!gateway.root.join(old("x.jsonl")).exists());
    }
}

#[test]
fn a_store_of_another_extension_is_protected_by_others_with_it() {
    for (name, archived) in [("ops.store", 0), ("main.store~", 0), ("ops.txt", 1)] {
        let mut gateway = Gateway::new();
        let renamed = gateway.root.join("main.store");
        fs::rename(&gateway.store, &renamed).unwrap();
        gateway.store = renamed;
        fs::write(gateway.root.join(name), r#"{"chat":{"sessionId":"r"}}"#).unwrap();
        assert_eq!(
            sweep_once(&gateway.store).transcripts.archived,
            archived,
            "{name}"
        );
    }
}

/// Only in JavaScript's sense are two missing ids equal.
#[test]
fn a_kept_entry_without_an_id_does_not_protect_a_run_without_one() {
    let gateway = Gateway::new();
    let text = r#"{"agent:main:cron:j:run:1":{"sessionFile":"r.jsonl","updatedAt":1},"a":{},"b":{"sessionId":null}}"#;
    fs::write(&gateway.store, text).unwrap();
    assert_eq!(sweep_once(&gateway.store).transcripts.archived, 1);
}

/// A duplicate key makes the sweep read the store again from its start.
#[test]
fn counts_nothing_twice_if_the_store_is_read_again() {
    let gateway = Gateway::new();
    fs::write(gateway.root.join("m.jsonl.lock"), live_lock()).unwrap();
    let text = r#"{"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1},"agent:main:cron:j:run:2":{"sessionId":"m","updatedAt":1},"agent:main:cron:j:run:3":{"updatedAt":1},"agent:main:cron:j:run:3":{"updatedAt":1}}"#;
    fs::write(&gateway.store, text).unwrap();
    let report = sweep_once(&gateway.store);
    assert_eq!((report.pruned, report.entries.locked), (2, 1));
}

/// The lock can be acquired after seconds.
#[test]
fn an_abort_while_the_lock_is_acquired_prevents_the_commit() {
    let gateway = Gateway::new();
    let before = tree(&gateway.root);
    let options = Options::default();
    let (abort, lock) = (
        options.abort.clone(),
        gateway.root.join("sessions.json.lock"),
    );
    let system = Faulty::new(move |call, path| {
        if call == "link" && path == lock {
            abort.request();
        }
        None
    });
    assert!(!sweep_with(&system, &gateway.store, &options).swept);
    assert_eq!(tree(&gateway.root), before);
}

#[test]
fn writes_nothing_if_every_expired_run_is_locked() {
    let gateway = Gateway::new();
    fs::write(gateway.root.join("r.jsonl.lock"), live_lock()).unwrap();
    let system = Faulty::new(|_, _| None);
    let report = sweep_on(&system, &gateway.store);
    assert_eq!((report.pruned, report.entries.locked), (0, 1));
    assert_eq!(report.reason, Some(Reason::NothingExpired));
    let written = [system.calls("create_unnamed"), system.calls("write_all_at")];
    assert_eq!(written, [Vec::<PathBuf>::new(), Vec::new()]);
}

/// A process locks a transcript before it creates it.
#[test]
fn keeps_a_run_whose_transcript_is_locked_and_does_not_exist_yet() {
    let dead = live_lock().replace("2999", "1999");
    for (lock, pruned) in [(live_lock(), 0), (dead, 1)] {
        let gateway = Gateway::new();
        fs::remove_file(gateway.root.join("r.jsonl")).unwrap();
        fs::write(gateway.root.join("r.jsonl.lock"), lock).unwrap();
        let report = sweep_once(&gateway.store);
        assert_eq!((report.pruned, report.entries.locked), (pruned, 1 - pruned));
    }
}

/// The lock of the store is not that of a transcript.
#[test]
fn removes_a_run_that_names_the_store_as_its_transcript() {
    for store in ["sessions.json", "sessions.jsonl"] {
        let gateway = Gateway::new();
        let text =
            format!(r#"{{"agent:main:cron:j:run:1":{{"sessionFile":"{store}","updatedAt":1}}}}"#);
        let path = gateway.root.join(store);
        fs::write(&path, text).unwrap();
        fs::write(gateway.root.join(format!("{store}.lock")), live_lock()).unwrap();
        let options = Options::default();
        let dry = preview(&Os, request(&path), &options, &SurveyCache::new());
        assert_eq!(dry.pruned, 1, "{store}");
    }
}

/// Each look-up of a missing file makes the file system remember its name.
#[test]
fn looks_up_a_bounded_number_of_missing_transcripts_of_one_folder() {
    let gateway = Gateway::new();
    fs::create_dir(gateway.root.join("sub")).unwrap();
    fs::write(gateway.root.join("sub/last.jsonl"), "run").unwrap();
    let run = |n: u32, id: &str, file: &str| {
        format!(
            r#""agent:main:cron:j:run:{n}":{{"sessionId":"{id}","sessionFile":"{file}","updatedAt":1}}"#
        )
    };
    let mut runs: Vec<_> = (0..5000)
        .map(|n| run(n, &n.to_string(), &format!("sub/{n}.jsonl")))
        .collect();
    runs.push(run(5000, "r", "sub/last.jsonl"));
    fs::write(&gateway.store, format!("{{{}}}", runs.join(","))).unwrap();
    let system = Faulty::new(|_, _| None);
    let report = sweep_on(&system, &gateway.store);
    assert_eq!((report.pruned, report.transcripts.archived), (5001, 2));
    let looked_up = system.calls("stat").len();
    assert!(looked_up < 4000, "{looked_up}");
}

/// Returns a system whose clock is an hour ahead, so that every change is old.
fn an_hour_ahead() -> Faulty {
    Faulty::new(|_, _| None).with_now(SystemTime::now() + Duration::from_secs(3600))
}

/// Another process can remove the last expired run.
#[test]
fn remembers_a_store_that_was_swept_in_the_meantime() {
    let gateway = Gateway::new();
    let (store, opened) = (gateway.store.clone(), AtomicU32::new(0));
    let system = Faulty::new(move |call, path| {
        // When it is opened to be prepared.
        if call == "open" && path == store && opened.fetch_add(1, Ordering::Relaxed) == 1 {
            fs::write(&store, r#"{"agent:main:main":{"sessionId":"m"}}"#).unwrap();
        }
        None
    });
    let system = system.with_now(SystemTime::now() + Duration::from_secs(3600));
    let cache = SurveyCache::new();
    for reason in [Reason::NothingExpired, Reason::Unchanged] {
        let report = swept(&system, request(&gateway.store), &cache);
        assert_eq!(report.reason, Some(reason));
    }
}

#[test]
fn reads_a_store_again_only_if_it_changed() {
    let gateway = Gateway::new();
    let (system, cache) = (an_hour_ahead(), SurveyCache::new());
    let swept_at = |now_ms| {
        let request = request(&gateway.store);
        swept(&system, Request { now_ms, ..request }, &cache)
    };
    assert_eq!(swept_at(2.0).reason, Some(Reason::NothingExpired));
    assert!(!system.calls("read_at").is_empty());
    system.forget_calls();
    assert_eq!(swept_at(3.0).reason, Some(Reason::Unchanged));
    assert!(system.calls("open").is_empty());
    assert!(system.calls("read_at").is_empty());
    // The size changes as well, because the time stamps of two changes can be equal.
    let changed = gateway
        .text()
        .replace(r#""updatedAt":1"#, r#""updatedAt":0.5"#);
    fs::write(&gateway.store, changed).unwrap();
    assert_eq!(swept_at(24.0 * HOUR + 1.0).pruned, 1);
}

#[test]
fn does_not_read_its_own_store_again_until_a_run_expires() {
    let gateway = Gateway::new();
    let fresh = format!(r#""agent:main:cron:j:run:2":{{"updatedAt":{NOW}}},"agent:main:main""#);
    let text = gateway.text().replace(r#""agent:main:main""#, &fresh);
    fs::write(&gateway.store, text).unwrap();
    let (system, cache) = (an_hour_ahead(), SurveyCache::new());
    let swept_at = |now_ms| {
        let request = request(&gateway.store);
        swept(&system, Request { now_ms, ..request }, &cache)
    };
    assert_eq!(swept_at(NOW).pruned, 1);
    system.forget_calls();
    let report = swept_at(NOW + 24.0 * HOUR);
    assert_eq!(report.reason, Some(Reason::Unchanged));
    let entries = Entries {
        seen: 2,
        kept: 2,
        pruned: 0,
        locked: 0,
    };
    assert_eq!(report.entries, entries);
    assert!(system.calls("read_at").is_empty());
    assert_eq!(swept_at(NOW + 24.0 * HOUR + 1.0).pruned, 1);
}

/// A later change can have the same time stamp.
#[test]
fn reads_a_store_again_that_was_written_within_the_last_clock_tick() {
    let gateway = Gateway::new();
    let cache = SurveyCache::new();
    let system = Faulty::new(|_, _| None).with_now(SystemTime::now());
    let sweep = || swept(&system, request(&gateway.store), &cache);
    assert_eq!(sweep().pruned, 1);
    assert_eq!(sweep().reason, Some(Reason::NothingExpired));
    // The store that this sweep read can have changed as well.
    assert_eq!(sweep().reason, Some(Reason::NothingExpired));
}

#[test]
fn reports_what_was_found_and_removed() {
    let gateway = Gateway::new();
    let before = gateway.text().len() as u64;
    let report = sweep_once(&gateway.store);
    let after = gateway.text().len() as u64;
    assert_eq!(report.reason, None);
    let entries = Entries {
        seen: 2,
        kept: 1,
        pruned: 1,
        locked: 0,
    };
    assert_eq!(report.entries, entries);
    assert_eq!(
        report.transcripts,
        Archived {
            archived: 1,
            bytes: 3
        }
    );
    let reclaimed = before - after;
    let sizes = Sizes {
        before,
        after,
        reclaimed,
    };
    assert_eq!(report.bytes, sizes);
    let times = report.ms;
    assert!(times.total >= times.surveying + times.waiting + times.holding);
    assert_eq!(report.failure, None);
}

#[test]
fn deletes_its_own_archives_if_now_is_far_in_the_future() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("sessions.json");
    let text = r#"{"agent:main:cron:j:run:1":{"sessionId":"r1","sessionFile":"sub/r1.jsonl","updatedAt":1}}"#;
    fs::create_dir(folder.path().join("sub")).unwrap();
    for is_dry_run in [true, false] {
        fs::write(&store, text).unwrap();
        for transcript in ["r1.jsonl", "sub/r1.jsonl"] {
            fs::write(folder.path().join(transcript), "{}\n").unwrap();
        }
        let request = Request {
            store: &store,
            now_ms: 9e15,
            retention_ms: HOUR,
        };
        let report = if is_dry_run {
            preview(&Os, request, &Options::default(), &SurveyCache::new())
        } else {
            swept(&Os, request, &SurveyCache::new())
        };
        let (archived, removed, bytes) = (2, 2, 6);
        assert_eq!(report.transcripts, Archived { archived, bytes });
        assert_eq!(report.archives, Removed { removed, bytes });
    }
    let left: Vec<_> = tree(folder.path()).into_keys().collect();
    assert_eq!(left, ["sessions.json", "sub/"]);
}

#[test]
fn counts_a_transcript_of_several_runs_once() {
    let gateway = Gateway::new();
    let text = r#"{"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1},"agent:main:cron:j:run:2":{"sessionId":"m","updatedAt":1},"agent:main:cron:j:run:3":{"sessionFile":"r.jsonl","updatedAt":1}}"#;
    fs::write(&gateway.store, text).unwrap();
    let both = Archived {
        archived: 2,
        bytes: 7,
    };
    let request = request(&gateway.store);
    let dry = preview(&Os, request, &Options::default(), &SurveyCache::new());
    assert_eq!((dry.pruned, dry.transcripts), (3, both));
    let swept = sweep_once(&gateway.store);
    assert_eq!((swept.pruned, swept.transcripts), (3, both));
}

/// A `sessionFile` that many runs name is examined once. It must not stand for the transcript of one
/// of their ids.
#[test]
fn a_missing_session_file_of_several_runs_names_no_transcript() {
    let gateway = Gateway::new();
    let text = r#"{"agent:main:cron:j:run:1":{"sessionId":"r","sessionFile":"x.jsonl","updatedAt":1},"agent:main:cron:j:run:2":{"sessionId":"q","sessionFile":"x.jsonl","updatedAt":1},"a":{"sessionId":"r"}}"#;
    fs::write(&gateway.store, text).unwrap();
    let report = sweep_once(&gateway.store);
    assert_eq!((report.pruned, report.transcripts.archived), (2, 0));
    assert!(gateway.root.join("r.jsonl").exists());
}

/// Otherwise a store of millions of such runs takes minutes.
#[test]
fn a_file_that_many_runs_name_is_examined_once_in_a_pass() {
    for (field, name, pruned) in [
        ("sessionFile", "r.jsonl", 100),
        ("sessionFile", "missing.jsonl", 100),
        ("sessionFile", "link.jsonl", 100),
        ("sessionFile", "sub/../folder/r.jsonl", 100),
        ("sessionFile", "locked.jsonl", 0),
        ("sessionId", "r", 100),
        ("sessionId", "missing", 100),
        ("sessionId", "link", 100),
        ("sessionId", "locked", 0),
        ("sessionFile\":\"r.jsonl\",\"sessionId", "r", 100),
    ] {
        let gateway = Gateway::new();
        let link =
            |target, name| std::os::unix::fs::symlink(target, gateway.root.join(name)).unwrap();
        link("r.jsonl", "link.jsonl");
        link(".", "folder");
        for file in ["locked.jsonl", "locked.jsonl.lock"] {
            fs::write(gateway.root.join(file), live_lock()).unwrap();
        }
        let runs: Vec<_> = (0..100)
            .map(|n| format!(r#""agent:main:cron:j:run:{n}":{{"{field}":"{name}","updatedAt":1}}"#))
            .collect();
        fs::write(&gateway.store, format!("{{{}}}", runs.join(","))).unwrap();
        let system = Faulty::new(|_, _| None);
        let swept = sweep_on(&system, &gateway.store);
        assert_eq!(swept.pruned, pruned, "{field} {name}");
        let examined = system.calls("stat");
        let examined = examined
            .iter()
            .filter(|path| path.to_str().unwrap().contains(".jsonl"));
        assert!(examined.count() < 20, "{field} {name}");
    }
}

/// Its entry is removed, so nothing else tells of the transcript.
#[test]
fn warns_of_a_transcript_in_a_subfolder_that_cannot_be_entered() {
    for (error, warnings) in [
        (ErrorKind::PermissionDenied, 1),
        (ErrorKind::NotFound, 0),
        (ErrorKind::InvalidFilename, 0),
    ] {
        let gateway = Gateway::new();
        let text = r#"{"agent:main:cron:j:run:1":{"sessionFile":"sub/r.jsonl","updatedAt":1}}"#;
        fs::write(&gateway.store, text).unwrap();
        let sub = gateway.root.join("sub");
        let system =
            Faulty::new(move |call, path| (call == "stat" && path == sub).then_some(error));
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.swept, report.pruned), (true, 1));
        let cannot = format!(
            "cannot archive {}/sub/r.jsonl: EACCES",
            gateway.root.display()
        );
        let found = report.log.iter().filter_map(|it| it.fields["err"].as_str());
        let found: Vec<_> = found.filter(|it| it.contains(&cannot)).collect();
        assert_eq!(found.len(), warnings, "{error:?} {found:?}");
    }
}

/// Of an id that was removed several times, the last `sessionFile` counts: the gateway's rule.
#[test]
fn archives_the_last_session_file_of_an_id() {
    let run = |n: u32, id: &str, file: &str| {
        format!(r#""agent:main:cron:j:run:{n}":{{"sessionId":"{id}",{file}"updatedAt":1}}"#)
    };
    let file = |name: &str| format!(r#""sessionFile":"{name}","#);
    for (runs, archived) in [
        // Another run is between them.
        (
            [
                run(1, "q", &file("x.jsonl")),
                run(2, "p", &file("p.jsonl")),
                run(3, "q", &file("y.jsonl")),
            ],
            &["y.jsonl"][..],
        ),
        (
            [
                run(1, "q", &file("x.jsonl")),
                run(2, "q", ""),
                run(3, "p", ""),
            ],
            &["x.jsonl"],
        ),
        // Also if it does not exist.
        (
            [
                run(1, "q", &file("x.jsonl")),
                run(2, "q", &file("missing.jsonl")),
                run(3, "p", ""),
            ],
            &[],
        ),
    ] {
        let gateway = Gateway::new();
        for name in ["x.jsonl", "y.jsonl"] {
            fs::write(gateway.root.join(name), name).unwrap();
        }
        fs::write(&gateway.store, format!("{{{}}}", runs.join(","))).unwrap();
        sweep_once(&gateway.store);
        let is_there = |name: &str| gateway.root.join(name).exists();
        let gone: Vec<_> = ["x.jsonl", "y.jsonl"]
            .into_iter()
            .filter(|it| !is_there(it))
            .collect();
        assert_eq!(gone, archived);
    }
}

/// Each lock of a dead process costs ten system calls.
#[test]
fn thousands_of_files_that_many_runs_name_are_examined_once_each() {
    let gateway = Gateway::new();
    for n in 0..3000 {
        fs::write(gateway.root.join(format!("{n}.jsonl")), "").unwrap();
    }
    let runs: Vec<_> = (0..6000)
        .map(|n| {
            let file = n % 3000;
            format!(r#""agent:main:cron:j:run:{n}":{{"sessionFile":"{file}.jsonl","updatedAt":1}}"#)
        })
        .collect();
    fs::write(&gateway.store, format!("{{{}}}", runs.join(","))).unwrap();
    let system = Faulty::new(|_, _| None);
    let options = Options::default();
    let dry = preview(
        &system,
        request(&gateway.store),
        &options,
        &SurveyCache::new(),
    );
    assert_eq!(dry.pruned, 6000);
    let locks = system.calls("stat").into_iter();
    let is_lock = |path: &PathBuf| path.extension() == Some("lock".as_ref());
    assert_eq!(locks.filter(is_lock).count(), 3000);
}

#[test]
fn archives_the_transcripts_of_runs_that_name_the_same_file() {
    let gateway = Gateway::new();
    fs::write(gateway.root.join("q.jsonl"), "q").unwrap();
    fs::write(gateway.root.join("shared.jsonl"), "s").unwrap();
    let text = r#"{"agent:main:cron:j:run:1":{"sessionId":"r","sessionFile":"shared.jsonl","updatedAt":1},"agent:main:cron:j:run:2":{"sessionId":"q","sessionFile":"shared.jsonl","updatedAt":1}}"#;
    fs::write(&gateway.store, text).unwrap();
    assert_eq!(sweep_once(&gateway.store).transcripts.archived, 3);
}

#[test]
fn a_kept_id_that_is_not_a_string_protects_equal_ids_unless_it_is_falsy() {
    let gateway = Gateway::new();
    let text = r#"{"agent:main:cron:j:run:1":{"sessionId":7,"sessionFile":"r.jsonl","updatedAt":1},"agent:main:cron:j:run:2":{"sessionId":0,"sessionFile":"m.jsonl","updatedAt":1},"a":{"sessionId":7.0},"b":{"sessionId":0}}"#;
    fs::write(&gateway.store, text).unwrap();
    assert_eq!(sweep_once(&gateway.store).pruned, 2);
    let is_there = |name| gateway.root.join(name).exists();
    assert!(is_there("r.jsonl") && !is_there("m.jsonl"));
}

#[test]
fn counts_an_archive_once_if_two_rules_apply_to_its_folder() {
    let gateway = Gateway::new();
    let old = "x.jsonl.deleted.2026-01-20T12-00-00.000Z";
    fs::write(gateway.root.join(old), "old").unwrap();
    let options = Options {
        ageing: Ageing::After(24.0 * HOUR),
        ..Options::default()
    };
    let dry = preview(&Os, request(&gateway.store), &options, &SurveyCache::new());
    let swept = sweep_with(&Os, &gateway.store, &options);
    for report in [dry, swept] {
        assert_eq!(report.transcripts.archived, 1);
        assert_eq!(
            report.archives,
            Removed {
                removed: 1,
                bytes: 3
            }
        );
    }
}

#[test]
fn a_preview_counts_leftovers_exactly_when_a_sweep_removes_them() {
    let gateway = Gateway::new();
    let (options, cache) = (Options::default(), SurveyCache::new());
    let both = || {
        let request = request(&gateway.store);
        let dry = preview(&Os, request, &options, &cache);
        [dry, swept(&Os, request, &cache)]
    };
    let lock = gateway.root.join("r.jsonl.lock");
    fs::write(&lock, live_lock()).unwrap();
    // The first sweep searches, the second does not, and one that removes a run does.
    for removed in [1, 0] {
        create_leftover(&gateway);
        for report in both() {
            let found = (report.entries.locked, report.temps.removed);
            assert_eq!(found, (1, removed));
        }
    }
    fs::remove_file(&lock).unwrap();
    for report in both() {
        assert_eq!((report.pruned, report.temps.removed), (1, 1));
    }
}

/// Creates a temp file that a crashed sweep can leave. No process has this id.
fn create_leftover(gateway: &Gateway) -> PathBuf {
    let path = gateway.root.join("sessions.json.99999999-0.reaper.tmp");
    let dated = fs::File::create(&path).and_then(|it| it.set_modified(SystemTime::UNIX_EPOCH));
    dated.unwrap();
    path
}

#[test]
fn a_preview_reports_what_the_sweep_reports_and_changes_nothing() {
    let gateway = Gateway::new();
    let old = gateway
        .root
        .join("x.jsonl.deleted.2026-01-20T12-00-00.000Z");
    fs::write(old, "old").unwrap();
    let before = tree(&gateway.root);
    let (request, options) = (request(&gateway.store), Options::default());

    let dry = preview(&Os, request, &options, &SurveyCache::new());
    assert_eq!(tree(&gateway.root), before);
    assert_eq!((dry.swept, dry.reason), (false, Some(Reason::DryRun)));
    assert!(dry.log.is_empty());

    let swept = sweep_once(&gateway.store);
    assert_eq!(
        swept.archives,
        Removed {
            removed: 1,
            bytes: 3
        }
    );
    let mut expected = swept.clone();
    (expected.swept, expected.reason) = (dry.swept, dry.reason);
    expected.dry_run = true;
    (expected.ms, expected.log) = (dry.ms, Vec::new());
    assert_eq!(dry, expected);
}

/// Returns the error that a failed sweep logged.
fn failure(report: &Swept) -> &str {
    assert!(!report.swept);
    assert_eq!(report.pruned, 0);
    let [line] = &report.log[..] else {
        panic!("{:?}", report.log);
    };
    assert_eq!(line.message, "cron-reaper: failed to sweep session store");
    line.fields["err"].as_str().unwrap()
}

fn request(store: &Path) -> Request<'_> {
    Request {
        store,
        now_ms: NOW,
        retention_ms: 24.0 * HOUR,
    }
}

fn sweep_on(system: &impl System, store: &Path) -> Swept {
    swept(system, request(store), &SurveyCache::new())
}

fn sweep_with(system: &impl System, store: &Path, options: &Options) -> Swept {
    crate::testing::swept_with(system, request(store), options, &SurveyCache::new())
}

#[cfg(target_os = "linux")]
mod failures {
    use std::env;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::fs::{chown, symlink};
    use std::thread;

    use super::*;

    /// A sweep fails at each of these calls and changes nothing.
    #[test]
    fn a_failed_commit_leaves_store_and_transcripts_unmodified() {
        for (call, kind, said) in [
            (
                "create_unnamed",
                ErrorKind::StorageFull,
                "cannot create a temp file in",
            ),
            ("write_all_at", ErrorKind::StorageFull, "cannot rewrite"),
            (
                "copy_owner",
                ErrorKind::Other,
                "cannot preserve the owner of",
            ),
            ("sync", ErrorKind::Other, "cannot write the new content of"),
            ("link", ErrorKind::PermissionDenied, "cannot create"),
            ("exchange", ErrorKind::PermissionDenied, "cannot replace"),
            ("exchange", ErrorKind::ResourceBusy, "cannot replace"),
            ("obstacle", ErrorKind::Other, "cannot replace"),
            ("read_at", ErrorKind::Other, "cannot read"),
        ] {
            let gateway = Gateway::new();
            let before = tree(&gateway.root);
            let system = Faulty::new(move |name, _| (name == call).then_some(kind));
            let report = sweep_on(&system, &gateway.store);
            let err = failure(&report);
            assert!(err.starts_with(&format!("Error: {said}")), "{call}: {err}");
            let is_mount_point = kind == ErrorKind::ResourceBusy || call == "obstacle";
            assert_eq!(err.contains("mount point"), is_mount_point, "{call}: {err}");
            assert!(
                err.contains(gateway.root.to_str().unwrap()),
                "{call}: {err}"
            );
            assert_eq!(tree(&gateway.root), before, "{call}");
            assert_eq!(sweep_once(&gateway.store).pruned, 1, "{call}");
        }
    }

    /// Closing a large file that has no name frees its blocks, which takes a while.
    #[test]
    fn removed_temp_files_are_closed_after_the_release_of_the_lock() {
        let open = |name: &str| {
            let descriptors = fs::read_dir("/proc/self/fd").unwrap();
            let targets = descriptors.filter_map(|it| fs::read_link(it.unwrap().path()).ok());
            let name = format!("/{name} (deleted)");
            targets
                .filter(|it| it.to_str().is_some_and(|it| it.ends_with(&name)))
                .count()
        };
        for expired in [true, false] {
            let gateway = Gateway::new();
            if !expired {
                fs::write(&gateway.store, "{}").unwrap();
            }
            let temp = create_leftover(&gateway);
            let named = gateway.root.join("sessions.json.99999998-0.reaper.tmp");
            fs::rename(temp, &named).unwrap();
            let lock = gateway.root.join("sessions.json.lock");
            let at_release = Arc::new(AtomicU32::new(0));
            let seen = Arc::clone(&at_release);
            let path = named.to_str().unwrap().trim_start_matches('/').to_owned();
            let whole = path.clone();
            let system = Faulty::new(move |call, it| {
                if call == "unlink" && it == lock {
                    seen.store(u32::try_from(open(&path)).unwrap(), Ordering::Relaxed);
                }
                None
            });
            assert_eq!(sweep_on(&system, &gateway.store).temps.removed, 1);
            assert_eq!(at_release.load(Ordering::Relaxed), 1, "{expired}");
            assert_eq!(open(&whole), 0, "{expired}");
        }
    }

    #[test]
    fn a_preview_fails_exactly_if_a_sweep_is_refused_because_no_user_can_replace_the_store() {
        for (text, fails) in [(None, true), (Some("{}"), false)] {
            let gateway = Gateway::new();
            if let Some(text) = text {
                fs::write(&gateway.store, text).unwrap();
            }
            let system = Faulty::new(|call, _| (call == "obstacle").then_some(ErrorKind::Other));
            let (request, options) = (request(&gateway.store), Options::default());
            let dry = preview(&system, request, &options, &SurveyCache::new());
            assert_eq!(dry.failure.is_some(), fails, "{text:?}");
            assert_eq!(sweep_on(&system, &gateway.store).failure.is_some(), fails);
        }
    }

    /// Opening a device can have side effects.
    #[test]
    fn a_store_that_is_not_a_regular_file_is_refused_without_opening_it() {
        let gateway = Gateway::new();
        fs::remove_file(&gateway.store).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&gateway.store).unwrap();
        let system = Faulty::new(|_, _| None);
        let swept = sweep_on(&system, &gateway.store);
        assert_eq!(swept.failure.unwrap().code, "ERR_SESSION_STORE_NOT_A_FILE");
        assert!(system.calls("open").is_empty());
    }

    /// A container gets the store alone: `docker run -v /srv/sessions.json:/data/sessions.json`.
    #[test]
    fn refuses_a_store_that_is_a_mount_point_before_it_changes_anything() {
        let in_own_mounts = || {
            let gateway = Gateway::new();
            let store = &*gateway.store;
            if !has_own_mounts() || !run("mount", &["--bind".as_ref(), store, store]) {
                eprintln!("skipped: needs root");
                return;
            }
            let system = Faulty::new(|_, _| None);
            let before = tree(&gateway.root);
            let report = sweep_on(&system, store);
            let advice = "EBUSY: it is a mount point, which cannot be replaced; mount its folder";
            let err = failure(&report);
            assert!(err.contains(advice), "{err}");
            assert!(system.calls("create_unnamed").is_empty());
            assert_eq!(tree(&gateway.root), before);
            assert!(run("umount", &[store]));
        };
        thread::spawn(in_own_mounts).join().unwrap();
    }

    #[test]
    fn refuses_an_immutable_or_append_only_store_or_folder_before_it_changes_anything() {
        for (attribute, is_folder, said) in [
            ("i", false, "EPERM: it is immutable"),
            ("a", false, "EPERM: it is append-only"),
            ("i", true, "EPERM: it is immutable"),
            ("a", true, "EPERM: it is append-only"),
        ] {
            let gateway = Gateway::new();
            let path = if is_folder {
                &gateway.root
            } else {
                &gateway.store
            };
            if !run("chattr", &[format!("+{attribute}").as_ref(), path]) {
                eprintln!("skipped: needs root, and a file system with attributes");
                return;
            }
            let before = tree(&gateway.root);
            let report = sweep_once(&gateway.store);
            assert!(run("chattr", &[format!("-{attribute}").as_ref(), path]));
            let err = failure(&report);
            let place = format!("{}: {said}", path.display());
            assert!(err.contains(&place), "{err}");
            assert_eq!(tree(&gateway.root), before);
            assert_eq!(sweep_once(&gateway.store).pruned, 1);
        }
    }

    /// Runs a program and returns whether it succeeded.
    fn run(program: &str, arguments: &[&Path]) -> bool {
        let mut command = std::process::Command::new(program);
        let output = command.args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// Gives this thread its own mounts, which end with it, if that is permitted.
    #[expect(unsafe_code, reason = "only tests need this call")]
    fn has_own_mounts() -> bool {
        // SAFETY: the argument is a number.
        let is_own = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
        is_own && run("mount", &["--make-rprivate".as_ref(), "/".as_ref()])
    }

    /// On Windows, virus scanners and backups open files for a few milliseconds.
    #[test]
    fn replaces_a_store_that_is_in_use_for_a_moment() {
        for (failing, is_swept) in [(9, true), (10, false)] {
            let gateway = Gateway::new();
            let before = tree(&gateway.root);
            let renames = AtomicU32::new(0);
            let system = Faulty::new(move |name, _| match name {
                "exchange" => Some(ErrorKind::Unsupported),
                "rename" if renames.fetch_add(1, Ordering::Relaxed) < failing => {
                    Some(ErrorKind::ResourceBusy)
                }
                _ => None,
            });
            assert_eq!(sweep_on(&system, &gateway.store).swept, is_swept);
            assert_eq!(tree(&gateway.root) != before, is_swept);
            assert_eq!(system.calls("rename").len(), 10);
            assert_eq!(system.calls("sleep").len(), 9);
        }
    }

    /// In a user namespace, all owners that it does not map look the same. Runs itself in one.
    #[test]
    fn sweeps_the_store_of_an_unmapped_owner_only_as_that_owner() {
        const NAME: &str =
            "sweep::tests::failures::sweeps_the_store_of_an_unmapped_owner_only_as_that_owner";
        const STORE: &str = "STORE_OF_AN_UNMAPPED_OWNER";
        if let Some(store) = env::var_os(STORE) {
            assert_eq!(sweep_once(store.as_ref()).pruned, 1);
            return;
        }
        if !run("unshare", &["--user".as_ref(), "true".as_ref()]) {
            eprintln!("skipped: needs user namespaces");
            return;
        }
        let is_swept = |store: &Path| {
            let mut unshare = std::process::Command::new("unshare");
            unshare.arg("--user").arg(env::current_exe().unwrap());
            let output = unshare.args([NAME, "--exact"]).env(STORE, store).output();
            output.unwrap().status.success()
        };
        assert!(is_swept(&Gateway::new().store));

        let gateway = Gateway::new();
        let before = tree(&gateway.root);
        if chown(&gateway.store, Some(12_345), None).is_ok() {
            assert!(!is_swept(&gateway.store));
            assert_eq!(tree(&gateway.root), before);
        }
    }

    #[test]
    fn fails_if_the_folder_cannot_be_synced() {
        for has_exchange in [true, false] {
            let gateway = Gateway::new();
            let system = Faulty::new(move |name, _| match name {
                "exchange" if !has_exchange => Some(ErrorKind::Unsupported),
                "sync_folder" => Some(ErrorKind::Other),
                _ => None,
            });
            let report = sweep_on(&system, &gateway.store);
            assert!(failure(&report).starts_with("Error: cannot sync"));
        }
    }

    #[test]
    fn syncs_the_folder_once_for_store_and_archives() {
        let gateway = Gateway::new();
        let system = Faulty::new(|_, _| None);
        assert_eq!(sweep_on(&system, &gateway.store).transcripts.archived, 1);
        assert_eq!(system.calls("sync_folder").len(), 1);
    }

    /// The file that came out of the exchange cannot be examined: the exchange and the archives are
    /// undone.
    #[test]
    fn undoes_an_exchange_that_cannot_be_examined() {
        let gateway = Gateway::new();
        let before = tree(&gateway.root);
        let looks = AtomicU32::new(0);
        let system = Faulty::new(move |name, path| {
            let is_temp = name == "stat" && path.extension() == Some("tmp".as_ref());
            (is_temp && looks.fetch_add(1, Ordering::Relaxed) == 0).then_some(ErrorKind::Other)
        });
        let report = sweep_on(&system, &gateway.store);
        assert!(failure(&report).starts_with("Error: cannot examine"));
        assert_eq!(tree(&gateway.root), before);
    }

    /// The exchange cannot be undone either: the runs are removed, so their transcripts must remain
    /// archived.
    #[test]
    fn keeps_an_exchange_that_can_be_neither_examined_nor_undone() {
        let gateway = Gateway::new();
        let exchanges = AtomicU32::new(0);
        let system = Faulty::new(move |name, path| {
            let fails = match name {
                "stat" => path.extension() == Some("tmp".as_ref()),
                "exchange" => exchanges.fetch_add(1, Ordering::Relaxed) > 0,
                _ => false,
            };
            fails.then_some(ErrorKind::Other)
        });
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        assert_eq!(sweep_once(&gateway.store).pruned, 0);
        assert_eq!(
            gateway.names(),
            ["m.jsonl", "r.jsonl.deleted.{STAMP}", "sessions.json"]
        );
    }

    #[test]
    fn warns_about_a_transcript_that_cannot_be_archived() {
        let gateway = Gateway::new();
        let system =
            Faulty::new(|name, _| (name == "rename_no_replace").then_some(ErrorKind::Other));
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.swept, report.pruned), (true, 1));
        assert_eq!(report.transcripts, Archived::default());
        let line = &report.log[0];
        assert_eq!(line.message, "cron-reaper: transcript cleanup failed");
        let err = line.fields["err"].as_str().unwrap();
        assert!(err.starts_with("Error: cannot archive"), "{err}");
    }

    #[test]
    fn replaces_the_store_by_rename_without_exchange() {
        let gateway = Gateway::new();
        let system = Faulty::new(|name, _| (name == "exchange").then_some(ErrorKind::Unsupported));
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        assert_eq!(gateway.text(), r#"{"agent:main:main":{"sessionId":"m"}}"#);
        assert_eq!(
            gateway.names(),
            ["m.jsonl", "r.jsonl.deleted.{STAMP}", "sessions.json"]
        );
    }

    #[test]
    fn sweeps_without_unnamed_files() {
        let gateway = Gateway::new();
        let system =
            Faulty::new(|name, _| (name == "create_unnamed").then_some(ErrorKind::Unsupported));
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        assert_eq!(
            gateway.names(),
            ["m.jsonl", "r.jsonl.deleted.{STAMP}", "sessions.json"]
        );
    }

    /// Without `/proc`, or in a sandbox: an unnamed file can be created, but not named.
    #[test]
    fn sweeps_where_an_unnamed_file_cannot_be_named() {
        let gateway = Gateway::new();
        let system = Faulty::new(|name, _| (name == "link").then_some(ErrorKind::Unsupported));
        let report = sweep_on(&system, &gateway.store);
        // The second attempt archives it again.
        let found = (report.pruned, report.transcripts.archived, report.log.len());
        assert_eq!(found, (1, 1, 1), "{:?}", report.log);
        assert_eq!(gateway.text(), r#"{"agent:main:main":{"sessionId":"m"}}"#);
        assert_eq!(
            gateway.names(),
            ["m.jsonl", "r.jsonl.deleted.{STAMP}", "sessions.json"]
        );
    }

    /// A failure is not repeated under other names, and names that are taken are not tried for ever.
    #[test]
    fn tries_a_hundred_names_for_a_new_store_and_only_if_they_are_taken() {
        for (error, tried) in [
            (ErrorKind::PermissionDenied, 1),
            (ErrorKind::AlreadyExists, 100),
        ] {
            let gateway = Gateway::new();
            let before = tree(&gateway.root);
            let system = Faulty::new(move |name, path| match name {
                "create_unnamed" => Some(ErrorKind::Unsupported),
                "create_new" if path.extension() == Some("tmp".as_ref()) => Some(error),
                _ => None,
            });
            let report = sweep_on(&system, &gateway.store);
            assert!(failure(&report).starts_with("Error: cannot create a temp file"));
            assert_eq!(system.calls("create_new").len(), tried, "{error:?}");
            assert_eq!(tree(&gateway.root), before, "{error:?}");
        }
    }

    /// Only a commit that touches other files, of which there may be thousands, can last long.
    #[test]
    fn keeps_the_lock_fresh_exactly_if_other_files_than_the_store_are_changed() {
        let bare = r#"{"agent:main:cron:j:run:1":{"updatedAt":1}}"#;
        let sweep = |text: Option<&str>, leftover: bool| {
            let gateway = Gateway::new();
            if let Some(text) = text {
                fs::write(&gateway.store, text).unwrap();
            }
            if leftover {
                create_leftover(&gateway);
            }
            let system = Faulty::new(|_, _| None);
            assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
            system.calls("start_heartbeat").len()
        };
        assert_eq!(sweep(Some(bare), false), 0);
        assert_eq!(sweep(Some(bare), true), 1);
        assert_eq!(sweep(None, false), 1);
    }

    #[test]
    fn keeps_the_lock_fresh_while_leftovers_are_removed() {
        let gateway = Gateway::new();
        fs::write(&gateway.store, "{}").unwrap();
        create_leftover(&gateway);
        let system = Faulty::new(|_, _| None);
        assert_eq!(sweep_on(&system, &gateway.store).temps.removed, 1);
        assert_eq!(system.calls("start_heartbeat").len(), 1);
    }

    /// The preparation reads and writes the whole store.
    #[test]
    fn keeps_and_refreshes_the_lock_while_the_sweep_is_prepared_with_it() {
        let gateway = Gateway::new();
        let (bare, lock) = (
            r#"{"agent:main:cron:j:run:1":{"updatedAt":1}}"#,
            gateway.root.join("sessions.json.lock"),
        );
        fs::write(&gateway.store, bare).unwrap();
        let (store, path) = (gateway.store.clone(), lock.clone());
        let acquired = AtomicU32::new(0);
        let system = Faulty::new(move |call, it| {
            // The store changes until the lock is kept from the second attempt on.
            if call == "link" && it == path {
                let n = acquired.fetch_add(1, Ordering::Relaxed);
                fs::write(&store, format!("{bare}{}", " ".repeat(n as usize + 1))).unwrap();
            }
            None
        });
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        let acquired = system.calls("link").into_iter().filter(|it| *it == lock);
        assert_eq!(acquired.count(), 2);
        assert_eq!(system.calls("start_heartbeat").len(), 1);
    }

    #[test]
    fn a_lock_that_cannot_be_released_after_the_commit_is_a_warning() {
        let gateway = Gateway::new();
        let lock = gateway.root.join("sessions.json.lock");
        let system = Faulty::new(move |call, path| {
            (call == "unlink" && path == lock).then_some(ErrorKind::PermissionDenied)
        });
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.swept, report.pruned), (true, 1));
        let messages: Vec<_> = report.log.iter().map(|it| &*it.message).collect();
        assert!(
            messages.iter().any(|it| it.contains("cleanup failed")),
            "{messages:?}"
        );
    }

    /// The name is free then, and another process can use it.
    #[test]
    fn a_temp_file_that_became_the_store_is_not_removed() {
        let gateway = Gateway::new();
        let system = Faulty::new(|call, _| {
            matches!(call, "create_unnamed" | "exchange").then_some(ErrorKind::Unsupported)
        });
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        let removed = system.calls("unlink");
        let is_temp = |it: &&PathBuf| {
            it.to_str().unwrap().contains("sessions.json.") && !it.ends_with("sessions.json.lock")
        };
        assert_eq!(removed.iter().find(is_temp), None);
    }

    #[test]
    fn reports_how_long_the_sweep_waited_for_the_lock() {
        const WAITED: Duration = Duration::from_millis(20);
        let gateway = Gateway::new();
        let lock = gateway.root.join("sessions.json.lock");
        let system = Faulty::new(move |call, path| {
            if call == "link" && path == lock {
                thread::sleep(WAITED);
            }
            None
        });
        let times = sweep_on(&system, &gateway.store).ms;
        assert!(times.waiting >= WAITED, "{times:?}");
    }

    #[test]
    fn reports_for_how_long_the_lock_was_held() {
        const HELD: Duration = Duration::from_millis(20);
        let gateway = Gateway::new();
        let system = Faulty::new(|name, _| {
            if name == "exchange" {
                thread::sleep(HELD);
            }
            None
        });
        let times = sweep_on(&system, &gateway.store).ms;
        assert!(times.holding >= HELD, "{times:?}");
    }

    /// The writer's store came out of the exchange, then the writer removed ours: its store has only
    /// the temporary name. It stays there for the next sweep.
    #[test]
    fn fails_if_a_store_can_be_put_back_neither_by_an_exchange_nor_by_a_rename() {
        let gateway = Gateway::new();
        let store = gateway.store.clone();
        let write = ignorant_writer("exchange", &store, 1);
        let exchanges = AtomicU32::new(0);
        let system = Faulty::new(move |name, path| {
            write(name, path);
            if name == "exchange" && exchanges.fetch_add(1, Ordering::Relaxed) == 1 {
                fs::remove_file(&store).unwrap();
            }
            let is_put_back =
                name == "rename_no_replace" && path.starts_with(store.parent().unwrap());
            let is_temp = path.extension() == Some("tmp".as_ref());
            (is_put_back && is_temp).then_some(ErrorKind::PermissionDenied)
        });
        let report = sweep_on(&system, &gateway.store);
        assert!(
            failure(&report).starts_with("Error: cannot put back"),
            "{:?}",
            report.failure
        );
        let temp = gateway
            .names()
            .into_iter()
            .find(|name| name.starts_with("sessions.json.reaper."))
            .unwrap();
        let text = fs::read_to_string(gateway.root.join(temp)).unwrap();
        assert_eq!(text, WRITTEN_WITHOUT_LOCK);
    }

    const WRITTEN_WITHOUT_LOCK: &str = r#"{"agent:main:main":{"sessionId":"m"},"new":{"sessionId":"n"},"agent:main:cron:j:run:1":{"sessionId":"r","updatedAt":1}}"#;

    /// Returns a process that ignores the lock: it replaces the store `times` times, each time just
    /// before that call.
    fn ignorant_writer(
        call: &'static str,
        store: &Path,
        times: u32,
    ) -> impl Fn(&str, &Path) + Send + Sync + 'static {
        let store = store.to_owned();
        let writes = AtomicU32::new(0);
        move |name, path| {
            let is_the_stores = path.to_str().unwrap().contains("sessions.json.reaper.");
            if name == call && is_the_stores && writes.fetch_add(1, Ordering::Relaxed) < times {
                let temp = store.with_extension("new");
                fs::write(&temp, WRITTEN_WITHOUT_LOCK).unwrap();
                fs::rename(&temp, &store).unwrap();
            }
        }
    }

    fn with_ignorant_writer(call: &'static str, store: &Path, times: u32) -> Faulty {
        let write = ignorant_writer(call, store, times);
        Faulty::new(move |name, path| {
            write(name, path);
            None
        })
    }

    #[test]
    fn puts_back_a_store_written_without_the_lock_and_sweeps_it() {
        for times in 1..=3 {
            let gateway = Gateway::new();
            let system = with_ignorant_writer("exchange", &gateway.store, times);
            assert_eq!(sweep_on(&system, &gateway.store).pruned, 1, "{times}");
            let stays = r#"{"agent:main:main":{"sessionId":"m"},"new":{"sessionId":"n"}}"#;
            assert_eq!(gateway.text(), stays, "{times}");
            // A writer that replaced the store during the put-back may lack its own older state.
            let mut names = gateway.names();
            let all = names.len();
            names.retain(|name| !name.starts_with("sessions.json.kept."));
            assert_eq!(all - names.len(), usize::from(times > 1), "{times}");
            let stay = ["m.jsonl", "r.jsonl.deleted.{STAMP}", "sessions.json"];
            assert_eq!(names, stay, "{times}");
        }
    }

    /// Returns a system on which a process writes the store in place, with the same size, just before
    /// the first such call for a path that contains `part`.
    fn with_write_in_place(
        call: &'static str,
        part: &'static str,
        store: &Path,
        after_write: fn(&Path, SystemTime),
    ) -> Faulty {
        let store = store.to_owned();
        let writes = AtomicU32::new(0);
        Faulty::new(move |name, path| {
            let is_it = name == call && path.to_str().unwrap().contains(part);
            if is_it && writes.fetch_add(1, Ordering::Relaxed) == 0 {
                let written = fs::metadata(&store).unwrap().modified().unwrap();
                let text = fs::read_to_string(&store).unwrap();
                fs::write(&store, text.replace(r#""m""#, r#""n""#)).unwrap();
                after_write(&store, written);
            }
            None
        })
    }

    /// An exchange moves the same inode, so the inode alone does not show that it was written.
    #[test]
    fn sweeps_again_after_a_write_in_place_just_before_the_exchange() {
        let gateway = Gateway::new();
        let system = with_write_in_place("exchange", ".reaper.", &gateway.store, |_, _| {});
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        assert_eq!(gateway.text(), r#"{"agent:main:main":{"sessionId":"n"}}"#);
    }

    /// `ctime` shows what a restored `mtime` hides.
    #[test]
    fn sweeps_again_after_a_write_in_place_that_restored_the_modification_time() {
        let gateway = Gateway::new();
        let system = with_write_in_place("sync", "", &gateway.store, |store, written| {
            crate::testing::touch(store, written);
        });
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        assert_eq!(gateway.text(), r#"{"agent:main:main":{"sessionId":"n"}}"#);
    }

    /// A power cut after the report must not lose an archive's name.
    #[test]
    fn fails_if_a_subfolder_with_an_archive_cannot_be_synced() {
        let gateway = Gateway::new();
        let text = r#"{"agent:main:cron:j:run:1":{"sessionFile":"sub/r.jsonl","updatedAt":1}}"#;
        fs::write(&gateway.store, text).unwrap();
        fs::create_dir(gateway.root.join("sub")).unwrap();
        fs::write(gateway.root.join("sub/r.jsonl"), "").unwrap();
        let system = Faulty::new(|name, path| {
            (name == "sync_folder" && path.ends_with("sub")).then_some(ErrorKind::Other)
        });
        let report = sweep_on(&system, &gateway.store);
        assert!(failure(&report).contains("cannot sync"));
        assert_eq!(system.calls("sync_folder").len(), 1);
    }

    /// A file system that loses part of the new store must not make it the store.
    #[test]
    fn fails_if_the_new_store_is_shorter_than_what_was_written() {
        let gateway = Gateway::new();
        let before = gateway.text();
        let root = gateway.root.clone();
        let system = Faulty::new(move |name, _| {
            if name == "sync" {
                let is_temp = |it: &PathBuf| it.to_str().unwrap().ends_with(".reaper.tmp");
                let mut files = fs::read_dir(&root).unwrap().map(|it| it.unwrap().path());
                let temp = fs::File::options()
                    .write(true)
                    .open(files.find(is_temp).unwrap());
                temp.unwrap().set_len(1).unwrap();
            }
            (name == "create_unnamed").then_some(ErrorKind::Unsupported)
        });
        let report = sweep_on(&system, &gateway.store);
        assert!(failure(&report).contains("bytes were written, the file has 1"));
        assert_eq!(gateway.text(), before);
    }

    /// Preparing a large store takes long. Other processes need the lock in the meantime.
    #[test]
    fn releases_the_lock_between_the_first_two_attempts() {
        let gateway = Gateway::new();
        let lock = gateway.root.join("sessions.json.lock");
        let was_held = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&was_held);
        let write = ignorant_writer("exchange", &gateway.store, 1);
        let system = Faulty::new(move |name, path| {
            write(name, path);
            if name == "read_at" {
                seen.lock().unwrap().push(lock.exists());
            }
            None
        });
        assert_eq!(sweep_on(&system, &gateway.store).pruned, 1);
        assert!(was_held.lock().unwrap().iter().all(|held| !held));
    }

    /// A process that ignores the lock has the old store open and writes to it after the exchange.
    #[test]
    fn keeps_the_old_store_if_it_was_written_in_place_after_the_exchange() {
        // A change of the size, of the contents alone, and of the mode.
        let writes: [fn(&Path); 3] = [
            |old| fs::write(old, r#"{"written":"late"}"#).unwrap(),
            |old| {
                let same_size = fs::read_to_string(old).unwrap().replace("main", "late");
                fs::write(old, same_size).unwrap();
            },
            |old| fs::set_permissions(old, fs::Permissions::from_mode(0o640)).unwrap(),
        ];
        for write in writes {
            let gateway = Gateway::new();
            let root = gateway.root.clone();
            let system = Faulty::new(move |name, _| {
                if name == "sync_folder" {
                    let is_old = |it: &PathBuf| it.to_str().unwrap().contains(".reaper.");
                    let files = fs::read_dir(&root).unwrap().map(|it| it.unwrap().path());
                    write(&files.into_iter().find(is_old).unwrap());
                }
                None
            });
            let before = gateway.text();
            let report = sweep_on(&system, &gateway.store);
            assert_eq!((report.pruned, report.warnings.len()), (1, 1));
            let [kept] = &report.temps.kept[..] else {
                panic!("{:?}", report.temps);
            };
            assert!(kept.to_str().unwrap().contains("sessions.json.kept."));
            let late = fs::read_to_string(kept).unwrap();
            assert!(late.contains("late") || late == before, "{late}");
        }
    }

    /// The sweep reads half of the old store and half of the new one.
    #[test]
    fn sweeps_the_new_content_of_a_store_written_in_place_during_the_rewrite() {
        let gateway = Gateway::new();
        let store = gateway.store.clone();
        let reads = AtomicU32::new(0);
        let system = Faulty::new(move |name, _| {
            // The survey reads once, the rewrite twice: the second time at the end of the file.
            if name == "read_at" && reads.fetch_add(1, Ordering::Relaxed) == 2 {
                fs::write(&store, WRITTEN_WITHOUT_LOCK).unwrap();
            }
            None
        });
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.pruned, report.failure), (1, None));
        let stays = r#"{"agent:main:main":{"sessionId":"m"},"new":{"sessionId":"n"}}"#;
        assert_eq!(gateway.text(), stays);
    }

    /// A process that writes in place truncates the file and writes it a moment later: here before
    /// the first read, or before each.
    #[test]
    fn reads_a_store_again_that_is_being_written_in_place() {
        for dry in [true, false] {
            for cuts in [1, u32::MAX] {
                let gateway = Gateway::new();
                let (store, whole) = (gateway.store.clone(), gateway.text());
                let opens = AtomicU32::new(0);
                let system = Faulty::new(move |name, path| {
                    if name == "open" && path == store {
                        if opens.fetch_add(1, Ordering::Relaxed) < cuts {
                            fs::write(&store, "").unwrap();
                        }
                    } else if name == "sleep" {
                        fs::write(&store, &whole).unwrap();
                    }
                    None
                });
                let report = if dry {
                    let (request, cache) = (request(&gateway.store), SurveyCache::new());
                    preview(&system, request, &Options::default(), &cache)
                } else {
                    sweep_on(&system, &gateway.store)
                };
                let code = report.failure.as_ref().map(|it| it.code.clone());
                let expected = (cuts > 1).then(|| "ERR_SESSION_STORE_BUSY".to_owned());
                assert_eq!((code, report.pruned), (expected, u64::from(cuts == 1)));
            }
        }
    }

    /// Only the first sweep searches for the leftovers of a crash.
    #[test]
    fn a_first_sweep_searches_for_leftovers_even_if_the_store_is_being_written() {
        let gateway = Gateway::new();
        let nothing_due = r#"{"agent:main:main":{}}"#;
        let store = gateway.store.clone();
        let left = create_leftover(&gateway);
        let opens = AtomicU32::new(0);
        let system = Faulty::new(move |name, path| {
            if name == "open" && path == store {
                let is_first = opens.fetch_add(1, Ordering::Relaxed) == 0;
                fs::write(&store, if is_first { "{" } else { nothing_due }).unwrap();
            } else if name == "sleep" {
                fs::write(&store, nothing_due).unwrap();
            }
            None
        });
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.swept, report.temps.removed), (true, 1));
        assert!(!left.exists());
    }

    #[test]
    fn a_link_made_between_two_attempts_protects_its_transcript() {
        let gateway = Gateway::new();
        let store = gateway.store.clone();
        let lock = gateway.root.join("sessions.json.lock");
        let link = gateway.root.join("new.jsonl");
        let system = Faulty::new(move |name, path| {
            // This happens once, because the link exists then.
            if name == "link" && path == lock && symlink("r.jsonl", &link).is_ok() {
                let temp = store.with_extension("thief");
                let text = WRITTEN_WITHOUT_LOCK
                    .replace(r#""sessionId":"n""#, r#""sessionFile":"new.jsonl""#);
                fs::write(&temp, text).unwrap();
                fs::rename(&temp, &store).unwrap();
            }
            None
        });
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.pruned, report.transcripts.archived), (1, 0));
        assert_eq!(
            gateway.names(),
            ["m.jsonl", "new.jsonl", "r.jsonl", "sessions.json"]
        );
    }

    /// A sweep can wait for the store's lock for seconds. Another process can open a transcript then.
    #[test]
    fn keeps_a_run_whose_transcript_is_locked_just_before_the_commit() {
        let gateway = Gateway::new();
        let before = gateway.text();
        let lock = gateway.root.join("sessions.json.lock");
        let transcripts = gateway.root.join("r.jsonl.lock");
        let system = Faulty::new(move |name, path| {
            if name == "link" && path == lock {
                fs::write(&transcripts, live_lock()).unwrap();
            }
            None
        });
        let report = sweep_on(&system, &gateway.store);
        assert_eq!((report.swept, report.pruned), (true, 0));
        assert_eq!(report.entries.locked, 1);
        assert_eq!(gateway.text(), before);
        assert_eq!(
            gateway.names(),
            ["m.jsonl", "r.jsonl", "r.jsonl.lock", "sessions.json"]
        );
    }

    #[test]
    fn gives_up_if_another_process_replaces_the_store_at_every_attempt() {
        let gateway = Gateway::new();
        let system = with_ignorant_writer("link", &gateway.store, u32::MAX);
        let report = sweep_on(&system, &gateway.store);
        let err = failure(&report);
        assert!(
            err.contains("replaced by a process that ignores its lock"),
            "{err}"
        );
        assert_eq!(gateway.text(), WRITTEN_WITHOUT_LOCK);
        assert_eq!(gateway.names(), ["m.jsonl", "r.jsonl", "sessions.json"]);
    }

    /// Sweeps, aborts at the `nth` system call, and returns how many calls were made.
    fn aborted_at(gateway: &Gateway, nth: u32) -> (Swept, u32) {
        let options = Options::default();
        let abort: Abort = options.abort.clone();
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let system = Faulty::new(move |_, _| {
            if counted.fetch_add(1, Ordering::Relaxed) == nth {
                abort.request();
            }
            None
        });
        let report = sweep_with(&system, &gateway.store, &options);
        (report, calls.load(Ordering::Relaxed))
    }

    #[test]
    fn an_abort_at_any_call_changes_nothing_or_is_too_late() {
        let (report, calls) = aborted_at(&Gateway::new(), u32::MAX);
        assert_eq!(report.pruned, 1);
        let mut too_late = 0;
        for nth in 0..calls {
            let gateway = Gateway::new();
            let before = tree(&gateway.root);
            let (report, _) = aborted_at(&gateway, nth);
            if report.swept {
                too_late += 1;
                assert_eq!(report.pruned, 1, "{nth}");
                assert_eq!(
                    gateway.names(),
                    ["m.jsonl", "r.jsonl.deleted.{STAMP}", "sessions.json"]
                );
                continue;
            }
            assert_eq!(too_late, 0, "the later the abort, the later");
            assert_eq!(report.failure.as_ref().unwrap().code, "ABORT_ERR", "{nth}");
            assert_eq!((report.pruned, &report.log), (0, &Vec::new()));
            assert_eq!(tree(&gateway.root), before, "{nth}");
            assert_eq!(sweep_once(&gateway.store).pruned, 1, "{nth}");
        }
        // Most calls are made before the commit.
        assert!((1..calls / 2).contains(&too_late), "{too_late} of {calls}");
    }

    #[test]
    fn an_abort_ends_a_survey_before_its_next_read() {
        for (call, reads) in [("open", 0), ("read_at", 1)] {
            let gateway = Gateway::new();
            fs::write(&gateway.store, r#"{"agent:main:main":{"sessionId":"m"}}"#).unwrap();
            let options = Options::default();
            let abort = options.abort.clone();
            let system = Faulty::new(move |name, _| {
                if name == call {
                    abort.request();
                }
                None
            });
            let report = sweep_with(&system, &gateway.store, &options);
            assert_eq!(report.failure.as_ref().unwrap().code, "ABORT_ERR", "{call}");
            assert_eq!(system.calls("read_at").len(), reads, "{call}");
        }
    }

    /// One read returns thousands of runs, and on a slow disk each system call takes milliseconds.
    #[test]
    fn an_abort_ends_the_search_for_transcripts_before_the_next_run() {
        // In the survey, which ends at the first run that can be removed, and in the plan.
        for (lock, examined) in [(true, 1), (false, 2)] {
            let gateway = Gateway::new();
            let runs: Vec<_> = (0..100)
                .map(|n| {
                    let name = format!("{n}.jsonl");
                    fs::write(gateway.root.join(&name), "").unwrap();
                    if lock {
                        let lock = gateway.root.join(format!("{name}.lock"));
                        fs::write(lock, live_lock()).unwrap();
                    }
                    format!(r#""agent:main:cron:j:run:{n}":{{"sessionId":"{n}","updatedAt":1}}"#)
                })
                .collect();
            fs::write(&gateway.store, format!("{{{}}}", runs.join(","))).unwrap();
            let before = tree(&gateway.root);
            let options = Options::default();
            let (abort, found) = (options.abort.clone(), AtomicU32::new(0));
            let is_transcript = |path: &Path| path.extension() == Some("jsonl".as_ref());
            let system = Faulty::new(move |name, path| {
                if name == "stat" && is_transcript(path) {
                    let nth = found.fetch_add(1, Ordering::Relaxed) + 1;
                    if nth == examined {
                        abort.request();
                    }
                }
                None
            });
            let report = sweep_with(&system, &gateway.store, &options);
            assert_eq!(report.failure.as_ref().unwrap().code, "ABORT_ERR", "{lock}");
            let stats = system.calls("stat").into_iter();
            let transcripts = stats.filter(|path| is_transcript(path)).count();
            assert_eq!(transcripts, examined as usize, "{lock}");
            assert_eq!(tree(&gateway.root), before, "{lock}");
        }
    }

    #[test]
    fn an_abort_ends_the_wait_for_the_lock() {
        let gateway = Gateway::new();
        let lock = gateway.root.join("sessions.json.lock");
        fs::write(&lock, live_lock()).unwrap();
        let before = tree(&gateway.root);
        let options = Options::default();
        let abort = options.abort.clone();
        let looks = AtomicU32::new(0);
        let system = Faulty::new(move |name, path| {
            let is_look = name == "open_no_follow" && path == lock;
            if is_look && looks.fetch_add(1, Ordering::Relaxed) == 10 {
                abort.request();
            }
            None
        });
        let report = sweep_with(&system, &gateway.store, &options);
        assert_eq!(report.failure.as_ref().unwrap().code, "ABORT_ERR");
        assert_eq!(tree(&gateway.root), before);
    }

    #[test]
    fn a_preview_makes_no_call_that_changes_anything() {
        let gateway = Gateway::new();
        let temp = "sessions.json.3ab3ddeb-5fc7-4d35-adf6-d83c0627287f.tmp";
        fs::write(gateway.root.join(temp), "").unwrap();
        let system = Faulty::new(|name, path| {
            let looks = [
                "open",
                "stat",
                "stat_open",
                "read_at",
                "canonicalize",
                "obstacle",
            ];
            assert!(looks.contains(&name), "{name} {}", path.display());
            None
        });
        let options = Options {
            ageing: Ageing::After(0.0),
            ..Options::default()
        };
        let request = request(&gateway.store);
        let report = preview(&system, request, &options, &SurveyCache::new());
        assert_eq!(report.pruned, 1);
    }

    #[test]
    fn fails_before_any_change_if_the_lock_is_lost() {
        let gateway = Gateway::new();
        let lock = gateway.root.join("sessions.json.lock");
        let stolen = lock.clone();
        // The first `stat` of the lock after it was made is that before the commit.
        let made = AtomicU32::new(0);
        let system = Faulty::new(move |name, path| {
            if name == "link" && path == stolen {
                made.store(1, Ordering::Relaxed);
            } else if name == "stat" && path == stolen && made.swap(0, Ordering::Relaxed) == 1 {
                fs::remove_file(&stolen).unwrap();
                fs::write(&stolen, "another's").unwrap();
            }
            None
        });
        let report = sweep_on(&system, &gateway.store);
        let err = failure(&report);
        assert!(err.contains("lost the lock"), "{err}");
        assert_eq!(fs::read_to_string(&lock).unwrap(), "another's");
        assert_eq!(
            gateway.names(),
            ["m.jsonl", "r.jsonl", "sessions.json", "sessions.json.lock"]
        );
    }
}
