//! The lock on the real system: real processes that are really killed.
//!
//! Other processes are this very test binary, started again with a role in the environment.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use cron_session_reaper::error::Error;
use cron_session_reaper::lock::{Lock, is_held_by_live_process, lock_path};
use cron_session_reaper::system::{Os, Process, System};
use support::touch;

const ROLE: &str = "LOCK_TEST_ROLE";
const LOCK: &str = "LOCK_TEST_LOCK";

/// How long something may take, in milliseconds. On a busy machine ten times as much says no less
/// about the code; with `EXACT_TIMES=1`, on a quiet one, the figure itself is checked.
fn at_most(milliseconds: u64) -> Duration {
    let slack = if env::var_os("EXACT_TIMES").is_some() {
        1
    } else {
        10
    };
    Duration::from_millis(milliseconds * slack)
}

/// Long enough for every rule that is believed after a second to have struck.
const LONG_ENOUGH_TO_ROB: Duration = Duration::from_millis(1300);

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
        role => panic!("no such role: {role}"),
    }
}

fn increment(lock: &Path) {
    let held = Lock::acquire(&Os, lock).unwrap();
    append_next_number(lock, || held.verify().unwrap());
    held.release().unwrap();
}

/// Appends the number after the journal's last one. Two at once append the same number, which shows
/// in the journal whoever is killed when.
fn append_next_number(lock: &Path, verify: impl FnOnce()) {
    let mut journal = File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(lock.with_extension("journal"))
        .unwrap();
    let mut text = String::new();
    journal.read_to_string(&mut text).unwrap();
    let last: u64 = text.lines().last().map_or(0, |line| line.parse().unwrap());
    thread::sleep(Duration::from_micros(last * 7919 % 300));
    verify();
    let next = format!("{}\n", last + 1);
    journal.write_all(next.as_bytes()).unwrap();
}

fn command(role: &str, lock: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "another_process", "--nocapture"])
        .env(ROLE, role)
        .env(LOCK, lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Waits until a `hold` process says that it has the lock.
fn until_held(child: &mut Child) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = lines
        .map_while(Result::ok)
        .any(|line| line.ends_with("held"));
    assert!(held, "the other process never got the lock");
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A process that does nothing, for JavaScript's part.
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

fn dead_pid() -> u64 {
    Sleeper::start().pid()
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
    let lock = lock_path(&folder.path().join("sessions.json")).unwrap();
    (folder, lock)
}

/// `seconds` from now, as JavaScript writes it.
fn date(seconds: i64) -> String {
    let apart = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::now() - apart
    } else {
        SystemTime::now() + apart
    };
    humantime::format_rfc3339_millis(time).to_string()
}

fn javascript(pid: u64, created_at: &str, starttime: u64) -> String {
    format!(r#"{{"pid":{pid},"createdAt":"{created_at}","starttime":{starttime}}}"#)
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Sees to it that a contender does not get the lock while it stands there, and does once it is
/// gone.
fn assert_not_robbed(lock: &Path, release: impl FnOnce()) {
    let before = fs::symlink_metadata(lock).unwrap().ino();
    let got_it = AtomicBool::new(false);
    thread::scope(|scope| {
        let contender = scope.spawn(|| {
            let held = Lock::acquire(&Os, lock).unwrap();
            got_it.store(true, Ordering::SeqCst);
            held.release().unwrap();
        });
        thread::sleep(LONG_ENOUGH_TO_ROB);
        let robbed = got_it.load(Ordering::SeqCst)
            || fs::symlink_metadata(lock).map(|file| file.ino()).ok() != Some(before);
        release();
        contender.join().unwrap();
        assert!(
            !robbed,
            "the living holder of {} was robbed",
            lock.display()
        );
    });
}

// ---- Taking and releasing ----------------------------------------------------------------------

#[test]
fn a_held_lock_is_the_gateways_to_the_letter() {
    let (folder, path) = folder();
    let held = Lock::acquire(&Os, &path).unwrap();

    assert_eq!(names_in(folder.path()), ["sessions.json.lock"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let payload: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let pid = u64::from(std::process::id());
    assert_eq!(payload["pid"], pid);
    assert_eq!(payload["starttime"], starttime(pid));
    let created = humantime::parse_rfc3339(payload["createdAt"].as_str().unwrap()).unwrap();
    assert!(created.elapsed().unwrap_or_default() < Duration::from_secs(5));

    held.verify().unwrap();
    held.release().unwrap();
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_lock_is_released_when_it_is_dropped_and_by_a_panic() {
    let (folder, path) = folder();
    drop(Lock::acquire(&Os, &path).unwrap());
    assert!(names_in(folder.path()).is_empty());

    let panicked = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _held = Lock::acquire(&Os, &path).unwrap();
            std::panic::resume_unwind(Box::new("on the way out"));
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
    assert_eq!(journal(&path), (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_lock_that_was_taken_away_is_reported_and_the_new_one_left_alone() {
    let (_folder, path) = folder();
    let held = Lock::acquire(&Os, &path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another's").unwrap();

    assert!(matches!(held.verify(), Err(Error::LockLost { lock }) if lock == path));
    assert!(matches!(held.release(), Err(Error::LockLost { lock }) if lock == path));
    assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
}

// ---- The dead ----------------------------------------------------------------------------------

#[test]
fn a_native_crash_is_recovered_within_50_ms() {
    let (folder, path) = folder();
    let fastest = (0..5)
        .map(|_| {
            let mut holder = command("hold", &path).spawn().unwrap();
            until_held(&mut holder);
            kill(&mut holder);
            let began = Instant::now();
            Lock::acquire(&Os, &path).unwrap().release().unwrap();
            began.elapsed()
        })
        .min()
        .unwrap();
    assert!(fastest < at_most(50), "{fastest:?}");
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_waiting_sweep_takes_over_as_soon_as_its_holder_crashes() {
    let (_folder, path) = folder();
    let mut holder = command("hold", &path).spawn().unwrap();
    until_held(&mut holder);
    assert_not_robbed(&path, || kill(&mut holder));
}

#[test]
fn a_dead_javascript_holder_is_recovered_within_1500_ms() {
    let sleeper = Sleeper::start();
    let own = u64::from(std::process::id());
    let now = date(0);
    let cases = [
        ("pid gone", javascript(dead_pid(), &now, 1)),
        (
            "pid gone, from the future",
            javascript(dead_pid(), &date(86_400), 1),
        ),
        (
            "pid reused",
            javascript(sleeper.pid(), &now, starttime(sleeper.pid()) + 1),
        ),
        (
            "our own pid reused",
            javascript(own, &now, starttime(own) + 1),
        ),
        (
            "begun after it",
            format!(r#"{{"pid":{own},"createdAt":"{}"}}"#, date(-250)),
        ),
        (
            "another boot's",
            format!(
                r#"{{"pid":{},"createdAt":"{now}","starttime":1,"flock":"another boot"}}"#,
                dead_pid()
            ),
        ),
    ];
    thread::scope(|scope| {
        for (name, payload) in &cases {
            scope.spawn(move || {
                let (folder, path) = folder();
                fs::write(&path, payload).unwrap();
                let began = Instant::now();
                Lock::acquire(&Os, &path).unwrap().release().unwrap();
                let took = began.elapsed();
                assert!(took < at_most(1500), "{name}: {took:?}");
                assert!(
                    took > Duration::from_millis(500),
                    "{name}: believed too soon: {took:?}"
                );
                assert!(names_in(folder.path()).is_empty(), "{name}");
            });
        }
    });
}

#[test]
fn old_locks_that_nobody_will_release_are_taken_over_at_once() {
    let sleeper = Sleeper::start();
    let live = starttime(sleeper.pid());
    let long = "x".repeat(3 << 20);
    let cases = [
        ("let go", javascript(sleeper.pid(), &date(-301), live)),
        (
            "from long ago",
            javascript(sleeper.pid(), "1970-01-01T00:00:00.000Z", live),
        ),
        ("empty", String::new()),
        ("half", r#"{"pid":1,"creat"#.to_owned()),
        ("pid 0", javascript(0, &date(0), 1)),
        ("pid too large", javascript(u64::MAX, &date(0), 1)),
        ("no date", format!(r#"{{"pid":{}}}"#, sleeper.pid())),
        (
            "negative pid",
            r#"{"pid":-1,"createdAt":"2026-03-01T12:00:00.000Z"}"#.to_owned(),
        ),
        ("three megabytes", long),
    ];
    for (name, payload) in cases {
        let (folder, path) = folder();
        fs::write(&path, payload).unwrap();
        touch(&path, SystemTime::now() - Duration::from_secs(31));
        let began = Instant::now();
        Lock::acquire(&Os, &path).unwrap().release().unwrap();
        let took = began.elapsed();
        assert!(took < at_most(500), "{name}: {took:?}");
        assert!(names_in(folder.path()).is_empty(), "{name}");
    }
}

// ---- The living --------------------------------------------------------------------------------

#[test]
fn a_live_javascript_holder_is_never_robbed() {
    let sleeper = Sleeper::start();
    let other = (sleeper.pid(), starttime(sleeper.pid()));
    let own = u64::from(std::process::id());
    let cases = [
        javascript(other.0, &date(0), other.1),
        javascript(other.0, &date(-31), other.1),
        javascript(other.0, &date(-111), other.1),
        javascript(other.0, &date(-280), other.1),
        javascript(other.0, &date(3_600), other.1),
        javascript(other.0, "9999-12-31T23:59:59.999Z", other.1),
        // JavaScript in this very process.
        javascript(own, &date(0), starttime(own)),
        format!(r#"{{"pid":{own},"createdAt":"{}"}}"#, date(0)),
        // Half written.
        String::new(),
        r#"{"pid":"#.to_owned(),
    ];
    thread::scope(|scope| {
        for payload in &cases {
            scope.spawn(move || {
                let (_folder, path) = folder();
                fs::write(&path, payload).unwrap();
                assert_not_robbed(&path, || fs::remove_file(&path).unwrap());
            });
        }
    });
    println!("{} live locks not robbed", cases.len());
}

#[test]
fn a_live_native_holder_is_never_robbed_whatever_its_file_says() {
    let cases = [
        javascript(dead_pid(), &date(-86_400), 1),
        javascript(1, "1970-01-01T00:00:00.000Z", 0),
        javascript(1, "9999-12-31T23:59:59.999Z", 0),
        String::new(),
    ];
    thread::scope(|scope| {
        for payload in &cases {
            scope.spawn(move || {
                let (_folder, path) = folder();
                let held = Lock::acquire(&Os, &path).unwrap();
                fs::write(&path, payload).unwrap();
                touch(&path, SystemTime::now() - Duration::from_secs(86_400));
                assert_not_robbed(&path, || held.release().unwrap());
            });
        }
    });
    println!("{} live locks not robbed", cases.len());
}

#[test]
fn a_holder_in_another_pid_namespace_is_not_robbed() {
    let (_folder, path) = folder();
    let own = command("hold", &path);
    let mut unshared = Command::new("unshare");
    unshared.args(["--pid", "--fork", "--kill-child"]);
    assert_foreign_holder_is_safe(unshared.arg(own.get_program()), &own, &path);
}

#[test]
fn a_holder_of_another_user_is_not_robbed() {
    let (folder, path) = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let own = command("hold", &path);
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--clear-groups"]);
    assert_foreign_holder_is_safe(other.arg(own.get_program()), &own, &path);
}

/// Starts the `hold` process by way of `wrapper`, which may not be allowed here.
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
        println!("skipped: {wrapper:?} cannot be run here");
        return;
    };
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    if !lines
        .map_while(Result::ok)
        .any(|line| line.ends_with("held"))
    {
        println!("skipped: {wrapper:?} is not allowed here");
        holder.wait().unwrap();
        return;
    }
    assert_not_robbed(path, || {
        drop(holder.stdin.take());
        holder.wait().unwrap();
    });
}

// ---- Odd things ----------------------------------------------------------------------------------

#[test]
fn odd_things_at_the_path_give_a_clear_error_and_stay() {
    type Make = fn(&Path);
    let cases: [(&str, Make); 4] = [
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a symbolic link", |path| {
            symlink("elsewhere", path).unwrap();
        }),
        ("a symbolic link", |path| {
            fs::write(path.with_extension("target"), "kept").unwrap();
            symlink(path.with_extension("target"), path).unwrap();
        }),
        ("a special file", |path| {
            // The command, since not every system has the call in rustix.
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success());
        }),
    ];
    for (found, make) in cases {
        let (folder, path) = folder();
        make(&path);
        let before = names_in(folder.path());
        let error = Lock::acquire(&Os, &path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "expected a regular file at {}, found {found}",
                path.display()
            )
        );
        assert_eq!(error.code(), "ERR_SESSION_STORE_NOT_A_FILE");
        assert_eq!(names_in(folder.path()), before);
        assert!(
            is_held_by_live_process(&Os, &path),
            "{found} must not be touched"
        );
    }
    println!("{} odd things refused", cases.len());
}

#[test]
fn a_folder_that_is_missing_is_made_and_one_that_cannot_be_is_an_error() {
    let (folder, _) = folder();
    let nested = folder.path().join("a/b/sessions.json");
    let path = lock_path(&nested).unwrap();
    Lock::acquire(&Os, &path).unwrap().release().unwrap();

    fs::write(folder.path().join("file"), "").unwrap();
    let path = lock_path(&folder.path().join("file/sessions.json")).unwrap();
    let error = Lock::acquire(&Os, &path).unwrap_err();
    assert_eq!(error.code(), "ENOTDIR");
}

#[test]
fn the_folder_is_resolved_and_the_stores_own_link_is_not() {
    let (folder, _) = folder();
    let real = folder.path().canonicalize().unwrap().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, folder.path().join("linked")).unwrap();
    symlink("elsewhere.json", real.join("sessions.json")).unwrap();
    assert_eq!(
        lock_path(&folder.path().join("linked/sessions.json")).unwrap(),
        real.join("sessions.json.lock")
    );
}

// ---- Transcripts' locks ----------------------------------------------------------------------------

#[test]
fn a_transcripts_lock_protects_it_while_its_holder_lives() {
    let sleeper = Sleeper::start();
    let (pid, started) = (sleeper.pid(), starttime(sleeper.pid()));
    for (payload, expected) in [
        (javascript(pid, &date(0), started), true),
        (javascript(pid, &date(-86_400), started), true),
        (
            format!(r#"{{"pid":{pid},"createdAt":"{}"}}"#, date(-86_400)),
            true,
        ),
        (javascript(pid, &date(0), started + 1), false),
        (javascript(dead_pid(), &date(0), 1), false),
        (String::new(), true),
    ] {
        let (folder, _) = folder();
        let path = folder.path().join("run.jsonl.lock");
        assert!(!is_held_by_live_process(&Os, &path), "nothing stands there");
        fs::write(&path, &payload).unwrap();
        assert_eq!(is_held_by_live_process(&Os, &path), expected, "{payload}");
        assert_eq!(fs::read_to_string(&path).unwrap(), payload);
    }
}

// ---- Contention with kills ----------------------------------------------------------------------

fn journal(lock: &Path) -> Vec<u64> {
    let text = fs::read_to_string(lock.with_extension("journal")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Four processes increment; one of them after the other is killed at some moment.
struct Contention {
    journal: Vec<u64>,
    kills: u32,
}

impl Contention {
    fn run(role: &str, enough: impl Fn(u32, Duration) -> bool) -> Self {
        let (_folder, path) = folder();
        let start = || {
            let mut command = command(role, &path);
            command.stdout(Stdio::null()).spawn().unwrap()
        };
        let mut children: Vec<Child> = (0..4).map(|_| start()).collect();
        let began = Instant::now();
        let mut kills = 0;
        let mut random = u64::from(std::process::id()) | 1;
        while !enough(kills, began.elapsed()) {
            // xorshift
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            thread::sleep(Duration::from_micros(15_000 + random % 40_000));
            let child = &mut children[usize::try_from(random >> 60).unwrap() % 4];
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "a process gave up by itself");
            kill(child);
            kills += 1;
            *child = start();
        }
        children.iter_mut().for_each(kill);
        Lock::acquire(&Os, &path).unwrap().release().unwrap();
        let journal = journal(&path);
        Self { journal, kills }
    }

    /// How many increments were made on top of a number that was no longer the last.
    fn lost(&self) -> usize {
        let last = self.journal.iter().max().copied().unwrap_or(0);
        self.journal.len() - usize::try_from(last).unwrap()
    }

    fn print(&self) {
        let (increments, kills, lost) = (self.journal.len(), self.kills, self.lost());
        println!("{increments} increments, {kills} kills, {lost} lost");
    }
}

#[test]
fn no_increment_is_lost_under_kills() {
    let contention = Contention::run("increment", |_, elapsed| elapsed > Duration::from_secs(2));
    contention.print();
    assert_eq!(contention.lost(), 0);
    assert!(!contention.journal.is_empty() && contention.kills > 0);
}

#[test]
#[ignore = "takes a minute: the long form, with the figures of RELIABILITY.md"]
fn no_increment_of_ten_thousand_is_lost_under_nine_hundred_kills() {
    let enough = |kills, elapsed| kills >= 950 && elapsed > Duration::from_secs(60);
    let contention = Contention::run("increment", enough);
    contention.print();
    assert_eq!(contention.lost(), 0);
    assert!(contention.journal.len() >= 10_000 && contention.kills >= 900);
}

#[test]
fn increments_without_the_lock_are_seen_to_be_lost() {
    let role = "increment without the lock";
    let contention = Contention::run(role, |_, elapsed| elapsed > Duration::from_millis(500));
    contention.print();
    assert!(contention.lost() > 0);
}

#[test]
#[ignore = "takes 6 s: waits for a heartbeat"]
fn a_long_hold_keeps_its_date_fresh() {
    let (_folder, path) = folder();
    let held = Lock::acquire(&Os, &path).unwrap();
    let before = fs::read(&path).unwrap();
    thread::sleep(Duration::from_millis(5_500));
    let after = fs::read(&path).unwrap();
    assert_eq!(before.len(), after.len());
    assert_ne!(before, after);
    let payload: serde_json::Value = serde_json::from_slice(&after).unwrap();
    let created = humantime::parse_rfc3339(payload["createdAt"].as_str().unwrap()).unwrap();
    assert!(created.elapsed().unwrap() < Duration::from_secs(3));
    held.release().unwrap();
}
