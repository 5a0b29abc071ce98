//! The lock on the real file system, with real processes that are killed. Except where real processes
//! wait for each other, the clock is virtual.
//!
//! The other processes are this test binary, started again with a role in the environment.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::virtual_time::VirtualTime;
use super::{Lock, is_dead, is_held_by_live_process, remove_dead};
use crate::error::Error;
use crate::store::StorePaths;
use crate::system::{Beat, Heartbeat, Os, Process, System};
use crate::testing::{Faulty, UNUSED_PID, touch};

const ROLE: &str = "LOCK_TEST_ROLE";
const LOCK: &str = "LOCK_TEST_LOCK";

/// How long a contender is watched that must not get the lock. It gives up after 10 s.
const WATCHED: Duration = Duration::from_secs(9);

// ---- Other processes -------------------------------------------------------------------------

/// Not a test: what this binary does when it is started as another process.
#[test]
fn another_process() {
    let Some(lock) = env::var_os(LOCK).map(PathBuf::from) else {
        return;
    };
    match env::var(ROLE).unwrap().as_str() {
        "hold" => {
            let held = Lock::acquire(&Os, &lock).unwrap();
            println!("held");
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            held.release().unwrap();
        }
        "increment" => loop {
            increment(&lock);
        },
        "increment without the lock" => loop {
            append_next_number(&lock, || ());
        },
        role => panic!("unknown role: {role}"),
    }
}

fn increment(lock: &Path) {
    let held = Lock::acquire(&Os, lock).unwrap();
    append_next_number(lock, || held.verify().unwrap());
    held.release().unwrap();
}

/// Appends the number after the journal's last one. Two processes that do this at the same time
/// append the same number, so the journal shows a lost increment even after a kill.
fn append_next_number(lock: &Path, verify: impl FnOnce()) {
    let mut journal = File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(journal_of(lock))
        .unwrap();
    let mut text = String::new();
    journal.read_to_string(&mut text).unwrap();
    let last: u64 = text.lines().last().map_or(0, |line| line.parse().unwrap());
    thread::sleep(Duration::from_micros(last * 7919 % 300));
    verify();
    let next = format!("{}\n", last + 1);
    journal.write_all(next.as_bytes()).unwrap();
}

fn journal_of(lock: &Path) -> PathBuf {
    lock.with_extension("journal")
}

fn read_journal(lock: &Path) -> Vec<u64> {
    let text = fs::read_to_string(journal_of(lock)).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn command(role: &str, lock: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "lock::tests::another_process", "--nocapture"])
        .env(ROLE, role)
        .env(LOCK, lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Waits until a `hold` process has the lock. Returns whether it got it.
fn wait_until_held(child: &mut Child) -> bool {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .any(|line| line.ends_with("held"))
}

fn start_holder(lock: &Path) -> Child {
    let mut holder = command("hold", lock).spawn().unwrap();
    assert!(
        wait_until_held(&mut holder),
        "the holder did not get the lock"
    );
    holder
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A process that does nothing, as a JavaScript holder.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn pid(&self) -> u64 {
        u64::from(self.0.id())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        kill(&mut self.0);
    }
}

fn own_pid() -> u64 {
    u64::from(std::process::id())
}

fn starttime(pid: u64) -> u64 {
    match Os.process(pid) {
        Process::Alive { starttime, .. } => starttime.unwrap_or(0),
        Process::Gone => panic!("{pid} should be alive"),
    }
}

// ---- Locks -----------------------------------------------------------------------------------

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("sessions.json.lock");
    (folder, lock)
}

/// Returns the time `seconds` after `now` as JavaScript writes it.
fn date(now: SystemTime, seconds: i64) -> String {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        now - distance
    } else {
        now + distance
    };
    humantime::format_rfc3339_millis(time).to_string()
}

/// Returns a date as JavaScript writes it, `seconds` from now.
fn date_from_now(seconds: i64) -> String {
    date(SystemTime::now(), seconds)
}

fn javascript(pid: u64, created_at: &str, starttime: u64) -> String {
    format!(r#"{{"pid":{pid},"createdAt":"{created_at}","starttime":{starttime}}}"#)
}

fn parse(payload: &[u8]) -> serde_json::Value {
    serde_json::from_slice(payload).unwrap()
}

fn created_at(payload: &[u8]) -> SystemTime {
    humantime::parse_rfc3339(parse(payload)["createdAt"].as_str().unwrap()).unwrap()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Asserts that a contender that comes `now` does not get the lock for 9 s, and gets it after
/// `release`. Returns how long it waited after that.
fn assert_not_stolen(now: SystemTime, lock: &Path, release: impl FnOnce() + Send) -> Duration {
    let inode = || fs::symlink_metadata(lock).map(|file| file.ino()).ok();
    let before = inode();
    let release = Mutex::new(Some(release));
    let system = VirtualTime::starting_at(now).on_sleep(|system| {
        let mut release = release.lock().unwrap();
        if system.monotonic() >= WATCHED
            && let Some(release) = release.take()
        {
            assert_eq!(inode(), before, "the lock of a live holder was replaced");
            release();
            system.set_flock_holder(false);
        }
    });
    system.set_flock_holder(true);
    let held = Lock::acquire(&system, lock).unwrap();
    assert!(
        release.lock().unwrap().is_none(),
        "the lock {} of a live holder was stolen",
        lock.display()
    );
    held.release().unwrap();
    system.monotonic().saturating_sub(WATCHED)
}

// ---- Acquiring and releasing -------------------------------------------------------------------

#[test]
fn a_held_lock_has_the_gateways_format() {
    let (folder, path) = folder();
    let system = VirtualTime::starting_at(SystemTime::UNIX_EPOCH + Duration::from_millis(1_234));
    let held = Lock::acquire(&system, &path).unwrap();

    assert_eq!(names_in(folder.path()), ["sessions.json.lock"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let payload = parse(&fs::read(&path).unwrap());
    assert_eq!(payload["pid"], own_pid());
    assert_eq!(payload["starttime"], starttime(own_pid()));
    assert_eq!(payload["createdAt"], "1970-01-01T00:00:01.234Z");

    held.verify().unwrap();
    held.release().unwrap();
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_lock_is_released_when_it_is_dropped_or_its_thread_panics() {
    let (folder, path) = folder();
    drop(Lock::acquire(&Os, &path).unwrap());
    assert!(names_in(folder.path()).is_empty());

    let panicked = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _held = Lock::acquire(&Os, &path).unwrap();
            std::panic::resume_unwind(Box::new("a panic without a message"));
        });
        holder.join().is_err()
    });
    assert!(panicked);
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn threads_of_one_process_exclude_each_other() {
    let (_folder, path) = folder();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| increment(&path)));
        }
    });
    assert_eq!(read_journal(&path), (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_lost_lock_is_reported_and_the_new_one_is_not_removed() {
    let (_folder, path) = folder();
    let held = Lock::acquire(&Os, &path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another process's").unwrap();

    assert!(matches!(held.verify(), Err(Error::LockLost { lock }) if lock == path));
    assert!(matches!(held.release(), Err(Error::LockLost { lock }) if lock == path));
    assert_eq!(fs::read_to_string(&path).unwrap(), "another process's");
}

#[test]
fn reports_a_folder_that_does_not_exist() {
    let (folder, _) = folder();
    for (missing, code) in [("missing", "ENOENT"), ("file", "ENOTDIR")] {
        fs::write(folder.path().join("file"), "").unwrap();
        let path = folder.path().join(missing).join("sessions.json.lock");
        assert_eq!(Lock::acquire(&Os, &path).unwrap_err().code(), code);
    }
    assert_eq!(names_in(folder.path()), ["file"]);
}

#[test]
fn the_lock_is_beside_the_link_at_the_stores_path_in_the_resolved_folder() {
    let (folder, _) = folder();
    let real = folder.path().canonicalize().unwrap().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, folder.path().join("linked")).unwrap();
    fs::write(folder.path().join("target.json"), "{}").unwrap();
    symlink("../target.json", real.join("sessions.json")).unwrap();
    let named = folder.path().join("linked/sessions.json");
    let paths = StorePaths::resolve(&Os, &named).unwrap().unwrap();
    assert_eq!(paths.lock, real.join("sessions.json.lock"));
}

// ---- Dead holders ------------------------------------------------------------------------------

#[test]
fn takes_over_from_a_crashed_native_holder_within_50_ms() {
    let (folder, path) = folder();
    kill(&mut start_holder(&path));
    let system = VirtualTime::starting_now();
    Lock::acquire(&system, &path).unwrap().release().unwrap();
    assert!(system.monotonic() <= detection_time(50));
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_waiting_contender_takes_over_within_50_ms_after_its_holder_crashes() {
    let (_folder, path) = folder();
    let mut holder = start_holder(&path);
    let waited = assert_not_stolen(SystemTime::now(), &path, || kill(&mut holder));
    assert!(waited <= detection_time(50), "{waited:?}");
}

/// Returns how long it takes at most to detect a crashed native holder: without a boot id, as long as
/// for JavaScript.
fn detection_time(milliseconds: u64) -> Duration {
    let by_pid = if Os.boot_id().is_some() { 0 } else { 1_000 };
    Duration::from_millis(milliseconds + by_pid)
}

#[test]
fn takes_over_from_a_dead_javascript_holder_after_a_second() {
    let sleeper = Sleeper::start();
    // An hour ago: the file's ctime, which cannot be set, must be later than its mtime.
    let now = SystemTime::now() - Duration::from_secs(3_600);
    let reused = |pid| javascript(pid, &date(now, 0), starttime(pid) + 1);
    let mut cases = vec![
        ("pid gone", javascript(UNUSED_PID, &date(now, 0), 1)),
        (
            "date in the future",
            javascript(UNUSED_PID, &date(now, 86_400), 1),
        ),
        (
            "native, of another boot",
            javascript(UNUSED_PID, &date(now, 0), 1).replace('}', r#","flock":"another boot"}"#),
        ),
    ];
    if let Process::Alive {
        started_ms: Some(_),
        ..
    } = Os.process(own_pid())
    {
        cases.extend([
            ("pid reused", reused(sleeper.pid())),
            ("our own pid reused", reused(own_pid())),
            (
                "process started after the lock",
                format!(
                    r#"{{"pid":{},"createdAt":"{}"}}"#,
                    own_pid(),
                    date(now, -86_400)
                ),
            ),
        ]);
    }
    for (name, payload) in cases {
        let (folder, path) = folder();
        fs::write(&path, payload).unwrap();
        touch(&path, now);
        let system = VirtualTime::starting_at(now);
        Lock::acquire(&system, &path).unwrap().release().unwrap();
        let waited = system.monotonic().as_millis();
        assert!((1_000..1_100).contains(&waited), "{name}: {waited} ms");
        assert!(names_in(folder.path()).is_empty(), "{name}");
    }
}

/// Two JavaScript contenders have read the same dead lock. One removes it, and a native contender
/// claims the vacant path; then the other one removes the file that is there now.
#[test]
fn a_lock_claimed_after_a_dead_one_was_removed_counts_only_when_it_has_settled() {
    let now = SystemTime::now();
    // A contender has seen the lock only, or has tried to take it over.
    for (seen, age) in [("too young", 0), ("stale", 2)] {
        let (folder, path) = folder();
        let written = now - Duration::from_secs(age);
        fs::write(&path, javascript(UNUSED_PID, &date(written, 0), 1)).unwrap();
        touch(&path, written);
        let removed = AtomicU32::new(0);
        let system = VirtualTime::starting_at(now)
            .with_fault(|call, elapsed| {
                let is_removed = call == "exchange" && elapsed.is_zero();
                is_removed.then_some(ErrorKind::NotFound)
            })
            .on_sleep(|_| {
                if removed.fetch_add(1, Ordering::SeqCst) < 2 {
                    fs::remove_file(&path).unwrap();
                }
            });
        let held = Lock::acquire(&system, &path).unwrap();
        assert!(removed.load(Ordering::SeqCst) >= 2, "{seen}: not settled");
        held.verify().unwrap();
        held.release().unwrap();
        assert!(names_in(folder.path()).is_empty(), "{seen}");
    }
}

/// Replaces the lock by one that JavaScript has just created: another file, of a live process.
fn replace_by_live_lock(path: &Path) {
    let live = path.with_extension("live");
    let text = javascript(own_pid(), &date_from_now(0), starttime(own_pid()));
    fs::write(&live, text).unwrap();
    fs::rename(live, path).unwrap();
}

#[test]
fn a_live_lock_displaced_by_mistake_is_put_back_and_the_own_one_gets_a_date_in_1970() {
    let (folder, path) = folder();
    fs::write(&path, "x").unwrap();
    touch(&path, SystemTime::now() - Duration::from_secs(31));
    let (beside, own) = (folder.path(), folder.path().join("own"));
    let exchanges = AtomicU32::new(0);
    let system = VirtualTime::starting_now().with_fault(|call, _| {
        if call == "exchange" && exchanges.fetch_add(1, Ordering::SeqCst) == 0 {
            replace_by_live_lock(&path);
        }
        if call == "unlink" && !own.exists() {
            // Another contender may have moved it aside, to put it back later.
            let names = names_in(beside);
            let name = names
                .iter()
                .find(|name| *name != "sessions.json.lock")
                .unwrap();
            fs::hard_link(beside.join(name), &own).unwrap();
        }
        None
    });
    let error = Lock::acquire(&system, &path).err().unwrap();
    assert_eq!(error.code(), "ERR_SESSION_STORE_LOCKED");
    assert_eq!(parse(&fs::read(&path).unwrap()).get("flock"), None);
    assert_eq!(created_at(&fs::read(&own).unwrap()), SystemTime::UNIX_EPOCH);
    assert_eq!(names_in(beside), ["own", "sessions.json.lock"]);
}

#[test]
fn without_exchange_a_lock_that_was_replaced_or_flocked_since_is_not_rewritten() {
    for event in ["replaced", "flocked"] {
        let (_folder, path) = folder();
        fs::write(&path, "x").unwrap();
        touch(&path, SystemTime::now() - Duration::from_secs(31));
        let holder = Mutex::new(None);
        let system = VirtualTime::starting_now().with_fault(|call, _| {
            let mut holder = holder.lock().unwrap();
            if call == "open_for_update" && event == "flocked" {
                let file = holder.get_or_insert_with(|| File::open(&path).unwrap());
                fs2::FileExt::lock_exclusive(&*file).unwrap();
            } else if call == "open_for_update" && holder.is_none() {
                *holder = File::open(&path).ok();
                replace_by_live_lock(&path);
            }
            (call == "exchange").then_some(ErrorKind::Unsupported)
        });
        system.set_flock_holder(event == "flocked");
        let error = Lock::acquire(&system, &path).err().unwrap();
        assert_eq!(error.code(), "ERR_SESSION_STORE_LOCKED");
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("flock"), "{event}: {text}");
        assert!(!text.is_empty(), "{event}");
    }
}

#[test]
fn waits_for_a_contender_that_examines_its_new_lock() {
    let (_folder, path) = folder();
    let contender = Mutex::new(None);
    let system = VirtualTime::starting_now()
        .with_fault(|call, _| {
            let mut contender = contender.lock().unwrap();
            if call == "try_flock" && contender.is_none() {
                let file = contender.insert(File::open(&path).unwrap());
                fs2::FileExt::lock_exclusive(&*file).unwrap();
            }
            (call == "create_unnamed").then_some(ErrorKind::Unsupported)
        })
        .on_sleep(|_| {
            let contender = contender.lock().unwrap();
            fs2::FileExt::unlock(contender.as_ref().unwrap()).unwrap();
        });
    system.set_flock_holder(true);
    Lock::acquire(&system, &path).unwrap().release().unwrap();
}

#[test]
fn waits_for_a_live_holder_for_exactly_ten_seconds() {
    let (_folder, path) = folder();
    let now = SystemTime::now();
    let live = javascript(own_pid(), &date(now, 0), starttime(own_pid()));
    fs::write(&path, live).unwrap();
    let system = VirtualTime::starting_at(now);
    let error = Lock::acquire(&system, &path).err().unwrap();
    assert_eq!(error.code(), "ERR_SESSION_STORE_LOCKED");
    assert_eq!(system.monotonic(), Duration::from_secs(10));
}

#[test]
fn a_lock_that_cannot_be_removed_is_reported_and_remains_with_a_date_in_1970() {
    let (folder, path) = folder();
    let attempts = AtomicU32::new(0);
    let system = VirtualTime::starting_now().with_fault(|call, _| {
        let is_first = call == "unlink" && attempts.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then_some(ErrorKind::PermissionDenied)
    });
    let error = Lock::acquire(&system, &path).unwrap().release();
    assert_eq!(error.unwrap_err().code(), "EACCES");
    // Once it is reported, it is not removed when the lock is dropped.
    assert_eq!(names_in(folder.path()), ["sessions.json.lock"]);
    assert_eq!(
        created_at(&fs::read(&path).unwrap()),
        SystemTime::UNIX_EPOCH
    );
}

#[test]
fn a_dead_lock_from_the_future_is_taken_over_after_it_was_watched_for_a_second() {
    let (_folder, path) = folder();
    // The clock was set back: both time stamps of the file are in the future.
    let now = SystemTime::now() - Duration::from_secs(86_400);
    fs::write(&path, javascript(UNUSED_PID, &date(now, 86_400), 1)).unwrap();
    let system = VirtualTime::starting_at(now);
    Lock::acquire(&system, &path).unwrap().release().unwrap();
    let waited = system.monotonic().as_millis();
    assert!((1_000..1_100).contains(&waited), "{waited} ms");
}

#[test]
fn takes_over_an_old_lock_that_will_not_be_released_without_waiting() {
    let sleeper = Sleeper::start();
    let live = starttime(sleeper.pid());
    let cases = [
        (
            "watchdog expired",
            javascript(sleeper.pid(), &date_from_now(-301), live),
        ),
        (
            "from 1970",
            javascript(sleeper.pid(), "1970-01-01T00:00:00.000Z", live),
        ),
        ("empty", String::new()),
        ("incomplete", r#"{"pid":1,"creat"#.to_owned()),
        ("pid 0", javascript(0, &date_from_now(0), 1)),
        ("pid too large", javascript(u64::MAX, &date_from_now(0), 1)),
        ("no date", format!(r#"{{"pid":{}}}"#, sleeper.pid())),
        (
            "negative pid",
            r#"{"pid":-1,"createdAt":"2026-03-01T12:00:00.000Z"}"#.to_owned(),
        ),
        ("three megabytes", "x".repeat(3 << 20)),
    ];
    for (name, payload) in cases {
        let (folder, path) = folder();
        fs::write(&path, payload).unwrap();
        touch(&path, SystemTime::now() - Duration::from_secs(31));
        let system = VirtualTime::starting_now();
        Lock::acquire(&system, &path).unwrap().release().unwrap();
        let waited = system.monotonic();
        assert!(waited <= Duration::from_millis(50), "{name}: {waited:?}");
        assert!(names_in(folder.path()).is_empty(), "{name}");
    }
}

#[test]
fn rewrites_a_stale_lock_in_place_without_exchange() {
    let old = SystemTime::now() - Duration::from_secs(31);
    for payload in ["", "x", &"x".repeat(500), &"x".repeat(3 << 20)] {
        let (folder, path) = folder();
        fs::write(&path, payload).unwrap();
        touch(&path, old);
        let inode = fs::metadata(&path).unwrap().ino();
        let system = VirtualTime::starting_now()
            .with_fault(|call, _| (call == "exchange").then_some(ErrorKind::Unsupported));
        let held = Lock::acquire(&system, &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(parse(&fs::read(&path).unwrap())["pid"], own_pid());
        assert_eq!(names_in(folder.path()), ["sessions.json.lock"]);
        held.verify().unwrap();
        assert_not_stolen(SystemTime::now(), &path, || held.release().unwrap());
        assert!(names_in(folder.path()).is_empty());
    }
}

#[test]
fn replaces_a_stale_lock_without_exchange_that_cannot_be_rewritten() {
    for (missing, kind) in [
        ("try_flock", ErrorKind::Unsupported),
        ("open_for_update", ErrorKind::Unsupported),
        ("open_for_update", ErrorKind::PermissionDenied),
        ("open_for_update", ErrorKind::ReadOnlyFilesystem),
    ] {
        let (folder, path) = folder();
        fs::write(&path, "x").unwrap();
        touch(&path, SystemTime::now() - Duration::from_secs(31));
        let inode = fs::metadata(&path).unwrap().ino();
        // Keeps the inode from being reused.
        let _stale = File::open(&path).unwrap();
        let system = VirtualTime::starting_now().with_fault(|call, _| {
            let unsupported = (call == "exchange").then_some(ErrorKind::Unsupported);
            (call == missing).then_some(kind).or(unsupported)
        });
        let held = Lock::acquire(&system, &path).unwrap();
        assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(parse(&fs::read(&path).unwrap())["pid"], own_pid());
        assert_eq!(names_in(folder.path()), ["sessions.json.lock"]);
        held.release().unwrap();
        assert!(names_in(folder.path()).is_empty());
    }
}

#[test]
fn a_lock_that_cannot_be_read_is_stale_after_five_minutes() {
    for (age, is_stale) in [(31, false), (280, false), (301, true)] {
        let (folder, path) = folder();
        let now = SystemTime::now();
        fs::write(&path, javascript(own_pid(), &date(now, 0), 1)).unwrap();
        touch(&path, now - Duration::from_secs(age));
        let before = fs::read(&path).unwrap();
        let system = VirtualTime::starting_at(now).with_fault(|call, _| {
            (call == "open_no_follow").then_some(ErrorKind::PermissionDenied)
        });
        assert_eq!(is_held_by_live_process(&system, &path), !is_stale);
        match Lock::acquire(&system, &path) {
            Ok(held) => {
                assert!(is_stale, "{age} s");
                held.release().unwrap();
                assert!(names_in(folder.path()).is_empty());
            }
            Err(error) => {
                assert!(!is_stale, "{age} s: {error}");
                assert_eq!(error.code(), "ERR_SESSION_STORE_LOCKED");
                assert_eq!(fs::read(&path).unwrap(), before);
            }
        }
    }
}

// ---- Files in use (Windows) ----------------------------------------------------------------------

#[test]
fn waits_for_a_lock_file_that_is_in_use() {
    for call in ["stat", "open_no_follow", "exchange"] {
        let (folder, path) = folder();
        let dead = javascript(UNUSED_PID, &date_from_now(-2), 1);
        fs::write(&path, dead).unwrap();
        touch(&path, SystemTime::now() - Duration::from_secs(2));
        let system = VirtualTime::starting_now().with_fault(|name, elapsed| {
            let fails = name == call && elapsed < Duration::from_secs(3);
            fails.then_some(ErrorKind::ResourceBusy)
        });
        Lock::acquire(&system, &path).unwrap().release().unwrap();
        assert!(system.monotonic() >= Duration::from_secs(3), "{call}");
        assert!(names_in(folder.path()).is_empty(), "{call}");
    }
}

#[test]
fn reports_a_lock_file_that_remains_in_use_for_10_s() {
    let (_folder, path) = folder();
    let system = VirtualTime::starting_now()
        .with_fault(|call, _| (call == "stat").then_some(ErrorKind::ResourceBusy));
    let error = Lock::acquire(&system, &path).err().unwrap();
    assert_eq!(error.code(), "EBUSY");
    assert!(system.monotonic() >= Duration::from_secs(10));
}

#[test]
fn releases_a_lock_file_that_is_in_use_for_a_moment() {
    let (folder, path) = folder();
    let system = VirtualTime::starting_now().with_fault(|call, elapsed| {
        let fails = call == "unlink" && elapsed < Duration::from_millis(300);
        fails.then_some(ErrorKind::ResourceBusy)
    });
    Lock::acquire(&system, &path).unwrap().release().unwrap();
    assert!(names_in(folder.path()).is_empty());
}

// ---- Live holders ------------------------------------------------------------------------------

#[test]
fn never_steals_the_lock_of_a_live_javascript_holder() {
    let sleeper = Sleeper::start();
    let other = (sleeper.pid(), starttime(sleeper.pid()));
    let own = own_pid();
    let now = SystemTime::now();
    let cases = [
        javascript(other.0, &date(now, 0), other.1),
        javascript(other.0, &date(now, -31), other.1),
        javascript(other.0, &date(now, -111), other.1),
        javascript(other.0, &date(now, -280), other.1),
        javascript(other.0, &date(now, 3_600), other.1),
        javascript(other.0, "9999-12-31T23:59:59.999Z", other.1),
        // JavaScript in this process.
        javascript(own, &date(now, 0), starttime(own)),
        format!(r#"{{"pid":{own},"createdAt":"{}"}}"#, date(now, 0)),
        // Incomplete.
        String::new(),
        r#"{"pid":"#.to_owned(),
    ];
    for payload in &cases {
        let (_folder, path) = folder();
        fs::write(&path, payload).unwrap();
        assert_not_stolen(now, &path, || fs::remove_file(&path).unwrap());
    }
    println!("{} live locks not stolen", cases.len());
}

#[test]
fn never_steals_the_lock_of_a_live_native_holder_with_any_contents() {
    let cases = [
        javascript(UNUSED_PID, &date_from_now(-86_400), 1),
        javascript(1, "1970-01-01T00:00:00.000Z", 0),
        javascript(1, "9999-12-31T23:59:59.999Z", 0),
        String::new(),
    ];
    for payload in &cases {
        let (_folder, path) = folder();
        let held = Lock::acquire(&Os, &path).unwrap();
        fs::write(&path, payload).unwrap();
        touch(&path, SystemTime::now() - Duration::from_secs(86_400));
        assert_not_stolen(SystemTime::now(), &path, || held.release().unwrap());
    }
    println!("{} live locks not stolen", cases.len());
}

#[test]
fn does_not_steal_from_a_live_native_holder_where_flock_requires_a_writable_file() {
    let (_folder, path) = folder();
    let held = Lock::acquire(&Os, &path).unwrap();
    let dead = javascript(UNUSED_PID, &date_from_now(-86_400), 1);
    fs::write(&path, dead).unwrap();
    touch(&path, SystemTime::now() - Duration::from_secs(86_400));
    let system = VirtualTime::starting_now().with_flock_of_writable_files();
    system.set_flock_holder(true);
    let error = Lock::acquire(&system, &path).err().unwrap();
    assert_eq!(error.code(), "ERR_SESSION_STORE_LOCKED");
    held.release().unwrap();
}

#[test]
fn does_not_steal_from_a_holder_in_another_pid_namespace() {
    let (_folder, path) = folder();
    let own = command("hold", &path);
    let mut unshared = Command::new("unshare");
    unshared.args(["--pid", "--fork", "--kill-child"]);
    assert_foreign_holder_is_safe(unshared.arg(own.get_program()), &own, &path);
}

#[test]
fn does_not_steal_from_a_holder_of_another_user() {
    let (folder, path) = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let own = command("hold", &path);
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--clear-groups"]);
    assert_foreign_holder_is_safe(other.arg(own.get_program()), &own, &path);
}

/// Starts the `hold` process through `wrapper`, which may not be permitted here.
fn assert_foreign_holder_is_safe(wrapper: &mut Command, hold: &Command, path: &Path) {
    let spawned = wrapper
        .args(hold.get_args())
        .envs(
            hold.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut holder) = spawned else {
        println!("skipped: cannot run {wrapper:?} here");
        return;
    };
    if !wait_until_held(&mut holder) {
        println!("skipped: {wrapper:?} is not permitted here");
        holder.wait().unwrap();
        return;
    }
    assert_not_stolen(SystemTime::now(), path, || {
        drop(holder.stdin.take());
        holder.wait().unwrap();
    });
}

// ---- Not a regular file --------------------------------------------------------------------------

/// Where a lock file cannot be linked, it is visible before it is complete.
#[test]
fn a_lock_that_is_moved_away_while_it_is_written_gets_a_date_in_1970() {
    let (folder, path) = folder();
    let aside = folder.path().join("aside");
    let system = VirtualTime::starting_now().with_fault(|call, _| {
        if call == "try_flock" && !aside.exists() {
            fs::rename(&path, &aside).unwrap();
            replace_by_live_lock(&path);
        }
        (call == "create_unnamed").then_some(ErrorKind::Unsupported)
    });
    let error = Lock::acquire(&system, &path).err().unwrap();
    assert_eq!(error.code(), "ERR_SESSION_STORE_LOCKED");
    assert_eq!(
        created_at(&fs::read(&aside).unwrap()),
        SystemTime::UNIX_EPOCH
    );
}

#[test]
fn removes_a_dead_lock_and_neither_a_live_one_nor_anything_else() {
    let (_folder, path) = folder();
    for (contents, dead) in [(Some("{}"), true), (None, false)] {
        match contents {
            Some(text) => {
                fs::write(&path, text).unwrap();
                touch(&path, SystemTime::now() - Duration::from_secs(31));
            }
            None => replace_by_live_lock(&path),
        }
        assert_eq!(is_dead(&Os, &path), dead, "{contents:?}");
        assert_eq!(remove_dead(&Os, &path).unwrap(), dead, "{contents:?}");
        assert_eq!(path.exists(), !dead, "{contents:?}");
    }
    fs::remove_file(&path).unwrap();
    assert!(!is_dead(&Os, &path));
    fs::create_dir(&path).unwrap();
    assert!(!is_dead(&Os, &path));
    assert!(!remove_dead(&Os, &path).unwrap());
}

#[test]
fn does_not_remove_a_dead_lock_that_another_process_took_over_meanwhile() {
    let (_folder, path) = folder();
    fs::write(&path, "{}").unwrap();
    touch(&path, SystemTime::now() - Duration::from_secs(31));
    let system = VirtualTime::starting_now().with_fault(|call, _| {
        if call == "create_unnamed" {
            replace_by_live_lock(&path);
        }
        None
    });
    assert!(!remove_dead(&system, &path).unwrap());
    assert!(path.exists());
}

/// The path is examined before it is opened, and another object may be there by then.
#[test]
fn refuses_a_directory_that_replaces_the_lock_just_before_it_is_opened() {
    let (_folder, path) = folder();
    fs::write(&path, "{}").unwrap();
    let system = VirtualTime::starting_now().with_fault(|call, _| {
        if call == "open_no_follow" && path.is_file() {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        None
    });
    let error = Lock::acquire(&system, &path).err().unwrap();
    assert_eq!(error.code(), "ERR_SESSION_STORE_NOT_A_FILE");
}

#[test]
fn reports_anything_but_a_regular_file_at_the_path_and_does_not_modify_it() {
    type Create = fn(&Path);
    let cases: [(&str, Create); 4] = [
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a symbolic link", |path| {
            symlink("elsewhere", path).unwrap();
        }),
        ("a symbolic link", |path| {
            fs::write(path.with_extension("target"), "kept").unwrap();
            symlink(path.with_extension("target"), path).unwrap();
        }),
        ("a special file", |path| {
            // rustix lacks this call on macOS.
            let made = Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success());
        }),
    ];
    for (found, create) in cases {
        let (folder, path) = folder();
        create(&path);
        let before = names_in(folder.path());
        let error = Lock::acquire(&Os, &path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot lock the session store: expected a regular file at {}, found {found}; move it away",
                path.display()
            )
        );
        assert_eq!(error.code(), "ERR_SESSION_STORE_NOT_A_FILE");
        assert_eq!(names_in(folder.path()), before);
        // As the lock of a transcript it is one without valid contents.
        let now = SystemTime::now();
        for (seconds, expected) in [(29, true), (31, false)] {
            let system = VirtualTime::starting_at(now + Duration::from_secs(seconds));
            let protects = is_held_by_live_process(&system, &path);
            assert_eq!(protects, expected, "{found}, {seconds} s");
        }
    }
    println!("{} other kinds of files refused", cases.len());
}

// ---- Transcripts' locks ----------------------------------------------------------------------------

/// A sweep and a dry run examine the same lock at the same time.
#[test]
fn a_dead_lock_that_another_process_examines_protects_no_transcript() {
    let (_folder, path) = folder();
    fs::write(&path, "{}").unwrap();
    touch(&path, SystemTime::now() - Duration::from_secs(31));
    for (examinations, expected) in [(2, false), (u32::MAX, true)] {
        let flocked = fs::File::open(&path).unwrap();
        assert!(Os.try_flock(&flocked).unwrap());
        let (flocked, tried) = (Mutex::new(Some(flocked)), AtomicU32::new(0));
        let system = Faulty::new(move |call, _| {
            if call == "try_flock" && tried.fetch_add(1, Ordering::Relaxed) == examinations {
                flocked.lock().unwrap().take();
            }
            None
        });
        assert_eq!(is_held_by_live_process(&system, &path), expected);
        assert!(!system.calls("sleep").is_empty());
    }
}

/// In doubt, a transcript is protected.
#[test]
fn a_folder_at_the_path_of_a_lock_that_cannot_be_examined_protects_the_transcript() {
    let (_folder, path) = folder();
    fs::create_dir(&path).unwrap();
    let an_hour_later = SystemTime::now() + Duration::from_secs(3600);
    let system = Faulty::new(|_, _| None).with_now(an_hour_later);
    assert!(!is_held_by_live_process(&system, &path));
    let examinations = u32::try_from(system.calls("stat").len()).unwrap();
    for failing in 0..examinations {
        let tried = AtomicU32::new(0);
        let system = Faulty::new(move |call, _| {
            let fails = call == "stat" && tried.fetch_add(1, Ordering::Relaxed) == failing;
            fails.then_some(ErrorKind::PermissionDenied)
        });
        let system = system.with_now(an_hour_later);
        assert!(is_held_by_live_process(&system, &path), "{failing}");
    }
    assert_ne!(examinations, 0);
}

/// A file name has at most 255 bytes, and that of a transcript may have all of them.
#[test]
fn a_transcript_whose_lock_would_have_too_long_a_name_is_not_locked() {
    let (folder, _) = folder();
    let lock_of = |length| folder.path().join("x".repeat(length) + ".lock");
    for (length, name) in [
        (250, lock_of(250)),
        (251, lock_of(251)),
        (255, lock_of(255)),
    ] {
        assert!(!is_held_by_live_process(&Os, &name), "{length}");
    }
    let unreadable = VirtualTime::starting_now()
        .with_fault(|call, _| (call == "stat").then_some(ErrorKind::PermissionDenied));
    assert!(is_held_by_live_process(&unreadable, &lock_of(1)));
}

/// Returns the payload of a gateway that writes no start time.
fn without_start(pid: u64, seconds_from_now: i64) -> String {
    let date = date_from_now(seconds_from_now);
    format!(r#"{{"pid":{pid},"createdAt":"{date}"}}"#)
}

#[test]
fn a_transcripts_lock_protects_it_while_its_holder_is_alive() {
    let sleeper = Sleeper::start();
    let (pid, started) = (sleeper.pid(), starttime(sleeper.pid()));
    for (payload, expected) in [
        (javascript(pid, &date_from_now(0), started), true),
        (javascript(pid, &date_from_now(-86_400), started), true),
        // Without a start time in the lock, the process must not be younger than the lock.
        (without_start(pid, 0), true),
        (without_start(pid, -86_400), started == 0),
        // This process, after a container was restarted.
        (without_start(own_pid(), -86_400), started == 0),
        // Without start times, a reused pid is not detected.
        (
            javascript(pid, &date_from_now(0), started + 1),
            started == 0,
        ),
        (javascript(UNUSED_PID, &date_from_now(0), 1), false),
        (String::new(), true),
    ] {
        let (folder, _) = folder();
        let path = folder.path().join("run.jsonl.lock");
        assert!(!is_held_by_live_process(&Os, &path), "there is no lock");
        fs::write(&path, &payload).unwrap();
        assert_eq!(is_held_by_live_process(&Os, &path), expected, "{payload}");
        assert_eq!(fs::read_to_string(&path).unwrap(), payload);
    }
}

// ---- The heartbeat -------------------------------------------------------------------------------

/// Records how heartbeats are started.
#[derive(Default)]
struct Started(Mutex<Vec<(File, Beat)>>);

impl Started {
    fn record(&self, file: &File, beat: Beat) -> Heartbeat {
        let file = file.try_clone().unwrap();
        self.0.lock().unwrap().push((file, beat));
        Heartbeat::none()
    }

    /// Returns the only heartbeat that was started.
    fn only(&self) -> (File, Beat) {
        let mut started = self.0.lock().unwrap();
        assert_eq!(started.len(), 1);
        started.remove(0)
    }
}

#[test]
fn the_heartbeat_writes_the_current_time_into_valid_json_every_5_s_for_5_minutes() {
    let (_folder, path) = folder();
    let started = Started::default();
    let system = VirtualTime::starting_at(SystemTime::UNIX_EPOCH)
        .with_heartbeat(|file, beat| started.record(file, beat));
    let mut held = Lock::acquire(&system, &path).unwrap();
    let acquired = fs::read(&path).unwrap();
    held.start_heartbeat();
    let (file, beat) = started.only();

    let mut beats = 0;
    let wait = |pause| {
        let payload = fs::read(&path).unwrap();
        assert_eq!(payload.len(), acquired.len());
        assert_eq!(created_at(&payload), system.now(), "after {beats} beats");
        assert_eq!(pause, Duration::from_secs(5), "after {beats} beats");
        beats += 1;
        system.advance(pause);
        Some(system.now())
    };
    beat.run(wait, |bytes, offset| {
        system.write_all_at(&file, bytes, offset).unwrap();
    });
    assert_eq!(beats, 60);
    let mut last = parse(&fs::read(&path).unwrap());
    assert_eq!(last["createdAt"], "1970-01-01T00:05:00.000Z");
    last["createdAt"] = parse(&acquired)["createdAt"].clone();
    assert_eq!(last, parse(&acquired));
    held.release().unwrap();
}

#[test]
fn only_start_heartbeat_starts_a_heartbeat_and_a_second_call_has_no_effect() {
    let (_folder, path) = folder();
    let started = Started::default();
    let system =
        VirtualTime::starting_now().with_heartbeat(|file, beat| started.record(file, beat));
    Lock::acquire(&system, &path).unwrap().release().unwrap();
    let mut held = Lock::acquire(&system, &path).unwrap();
    held.verify().unwrap();
    assert!(started.0.lock().unwrap().is_empty());
    held.start_heartbeat();
    held.start_heartbeat();
    started.only();
}

#[test]
fn the_first_beat_is_due_5_s_after_the_lock_was_acquired() {
    for (held_ms, first_after_ms) in [(0, 5_000), (1_500, 3_500), (5_000, 0), (20_000, 0)] {
        let (_folder, path) = folder();
        let started = Started::default();
        let system =
            VirtualTime::starting_now().with_heartbeat(|file, beat| started.record(file, beat));
        let mut held = Lock::acquire(&system, &path).unwrap();
        system.advance(Duration::from_millis(held_ms));
        held.start_heartbeat();
        let (_, beat) = started.only();
        assert_eq!(beat.first_after, Duration::from_millis(first_after_ms));
    }
}

/// Waits until a lock from 1970 has another date. Returns that date.
fn wait_for_beat(lock: &Path) -> SystemTime {
    loop {
        let created = created_at(&fs::read(lock).unwrap());
        if created != SystemTime::UNIX_EPOCH {
            return created;
        }
        thread::yield_now();
    }
}

#[test]
fn the_real_system_beats_on_another_thread() {
    let (_folder, path) = folder();
    let system = VirtualTime::starting_at(SystemTime::UNIX_EPOCH)
        .with_heartbeat(|file, beat| Os.start_heartbeat(file, beat));
    let mut held = Lock::acquire(&system, &path).unwrap();
    system.advance(Duration::from_secs(5));
    let before = SystemTime::now() - Duration::from_millis(1);
    held.start_heartbeat();
    let created = wait_for_beat(&path);
    assert!((before..=SystemTime::now()).contains(&created));
    held.release().unwrap();
}

#[test]
fn a_lost_lock_gets_a_date_in_1970_that_no_beat_overwrites() {
    let system = VirtualTime::starting_at(SystemTime::UNIX_EPOCH).with_heartbeat(|file, beat| {
        let file = file.try_clone().unwrap();
        let beat = Beat {
            first_after: Duration::ZERO,
            period: Duration::ZERO,
            count: u32::MAX,
            ..beat
        };
        Heartbeat::start(beat, move |bytes, offset| {
            Os.write_all_at(&file, bytes, offset).unwrap();
        })
    });
    // Several times: a wrong order is not visible in every schedule of the two threads.
    for _ in 0..20 {
        let (folder, path) = folder();
        let mut held = Lock::acquire(&system, &path).unwrap();
        held.start_heartbeat();
        wait_for_beat(&path);
        let stolen = folder.path().join("stolen");
        fs::rename(&path, &stolen).unwrap();
        held.release().unwrap_err();
        let payload = fs::read(&stolen).unwrap();
        assert_eq!(created_at(&payload), SystemTime::UNIX_EPOCH);
    }
}

// ---- Contention with kills ----------------------------------------------------------------------

/// Four processes that increment. At random moments one of them is killed and replaced.
struct Contention {
    journal: Vec<u64>,
    kills: u32,
}

impl Contention {
    /// Runs until `is_enough` returns true for the journal and the number of kills, or until there
    /// is no progress for a minute.
    fn run(role: &str, is_enough: impl Fn(&[u64], u32) -> bool) -> Self {
        let (_folder, path) = folder();
        let start = || {
            let mut command = command(role, &path);
            command.stdout(Stdio::null()).spawn().unwrap()
        };
        let mut children: Vec<Child> = (0..4).map(|_| start()).collect();
        let mut kills = 0;
        let mut random = u64::from(std::process::id()) | 1;
        let mut length = 0;
        while !is_enough(&read_journal(&path), kills) {
            length = wait_until_longer(&journal_of(&path), length);
            // xorshift
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Not for synchronisation: the time of the kill is random.
            thread::sleep(Duration::from_micros(10_000 + random % 30_000));
            let child = &mut children[usize::try_from(random >> 60).unwrap() % 4];
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "a process ended by itself");
            kill(child);
            kills += 1;
            *child = start();
        }
        children.iter_mut().for_each(kill);
        Lock::acquire(&Os, &path).unwrap().release().unwrap();
        let journal = read_journal(&path);
        Self { journal, kills }
    }

    fn print(&self) {
        let (increments, kills, lost) = (self.journal.len(), self.kills, lost(&self.journal));
        println!("{increments} increments, {kills} kills, {lost} lost");
    }
}

/// Returns how many increments were applied to a number that was not the last one.
fn lost(journal: &[u64]) -> usize {
    let last = journal.iter().max().copied().unwrap_or(0);
    journal.len() - usize::try_from(last).unwrap()
}

/// Waits until a file is longer than `length`. Returns its length.
fn wait_until_longer(path: &Path, length: u64) -> u64 {
    let started = Instant::now();
    loop {
        let now = fs::metadata(path).map_or(0, |file| file.len());
        if now > length {
            return now;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no increment for a minute"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn loses_no_increment_when_holders_are_killed() {
    let contention = Contention::run("increment", |journal, kills| {
        kills >= 40 && journal.len() >= 100
    });
    contention.print();
    assert_eq!(lost(&contention.journal), 0);
}

#[test]
#[ignore = "takes a minute: the long form, with the figures of RELIABILITY.md"]
fn loses_none_of_ten_thousand_increments_with_nine_hundred_kills() {
    let contention = Contention::run("increment", |journal, kills| {
        kills >= 950 && journal.len() >= 10_000
    });
    contention.print();
    assert_eq!(lost(&contention.journal), 0);
}

#[test]
fn detects_lost_increments_without_the_lock() {
    let contention = Contention::run("increment without the lock", |journal, kills| {
        lost(journal) > 0 || kills >= 200
    });
    contention.print();
    assert!(lost(&contention.journal) > 0);
}
