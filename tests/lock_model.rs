//! The lock under a model checker: the very code that runs in production, on a machine in memory
//! whose every system call is a point where another party may run, or this one may crash.
//!
//! Any party may be frozen at any call for any time: the model's clock moves when a sleeper is
//! chosen to run, whoever else stands still. What [`Patience::Bounded`] rules out, and only that,
//! is JavaScript frozen between its look at a lock and its `rm` for longer than the lock settles.
//!
//! `cargo test --release --test lock_model -- --include-ignored --nocapture` runs the long form.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cron_session_reaper::error::Error;
use cron_session_reaper::lock::Lock;
use cron_session_reaper::system::{Kind, Process, Stat, System};
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{Config, Runner};

const LOCK: &str = "/s/sessions.json.lock";
const BOOT_ID: &str = "this-boot";
const EPOCH_MS: u64 = 1_772_366_400_000;

// ---- The machine -------------------------------------------------------------------------------

/// What the machine of a scenario has and how it may misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scenario {
    natives: u64,
    javascripts: u64,
    patience: Patience,
    platform: Platform,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// JavaScript's look and `rm` lie no further apart than the lock settles.
    Bounded,
    /// They lie any time apart. Then a native lock can be removed: it must be noticed.
    Unbounded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    /// Everything is there.
    Linux,
    /// No unnamed files.
    Mac,
    /// No unnamed files and no exchange, but flock: NFS.
    Network,
    /// None of them. Natives, too, can then remove each other's locks: it must be noticed.
    Windows,
}

/// Deliberate faults, to see that the checker finds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The kernel grants every flock.
    FlockAlwaysGranted,
    /// The exchange takes three steps.
    ExchangeInSteps,
    /// The lock does not settle after a take-over.
    NoSettling,
    /// To who has made a lock file, the lock's path always shows that one.
    NoVerifying,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    made_ms: u64,
    /// The open file that holds the kernel's lock.
    flock: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    clock_ms: u64,
    names: HashMap<PathBuf, u64>,
    inodes: HashMap<u64, Inode>,
    open: HashMap<u64, u64>,
    /// The last file that a party gave a name to, while it is open.
    published: HashMap<u64, u64>,
    next: u64,
    /// Start times of the living, by pid.
    processes: HashMap<u64, u64>,
    /// How many calls a party still makes before it crashes.
    crash_in: HashMap<u64, u32>,
    crashed: HashSet<u64>,
    /// JavaScript between its look and its `rm`.
    looking: HashSet<u64>,
    /// Who believes to hold the lock, and with whom it was shared.
    natives_in: HashMap<u64, HashSet<u64>>,
    javascript_in: HashSet<u64>,
    /// Natives that left without noticing anything.
    content: HashSet<(u64, u64)>,
    store: u64,
    commits: u64,
}

impl State {
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn make(&mut self) -> u64 {
        let ino = self.fresh();
        let made_ms = self.clock_ms;
        self.inodes.insert(
            ino,
            Inode {
                made_ms,
                ..Inode::default()
            },
        );
        ino
    }

    fn named(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or(ErrorKind::NotFound.into())
    }

    fn stat(&self, ino: u64) -> Stat {
        let inode = &self.inodes[&ino];
        let made = i128::from(EPOCH_MS + inode.made_ms) * 1_000_000;
        Stat {
            dev: 1,
            ino,
            size: inode.bytes.len() as u64,
            mtime: made,
            ctime: made,
            kind: Kind::File,
            uid: 0,
            gid: 0,
        }
    }

    /// The kernel cleans up after a dead process: descriptors and flocks go, files stay.
    fn bury(&mut self, pid: u64) {
        self.crashed.insert(pid);
        self.processes.remove(&pid);
        self.natives_in.remove(&pid);
        self.javascript_in.remove(&pid);
        self.looking.remove(&pid);
        self.open.retain(|_, owner| *owner != pid);
        let open = &self.open;
        for inode in self.inodes.values_mut() {
            inode.flock = inode.flock.filter(|file| open.contains_key(file));
        }
        // Its pid may be given to another process at once.
        if shuttle::rand::thread_rng().gen_bool(0.5) {
            self.processes.insert(pid, 900_000 + self.clock_ms);
        }
    }
}

/// One process's view of the machine.
#[derive(Debug, Clone)]
struct Machine {
    pid: u64,
    scenario: Scenario,
    state: Arc<Mutex<State>>,
    /// Touched at every call: where the model checker may let another party run.
    crossing: Arc<AtomicU64>,
}

/// What unwinds a crashed party's stack.
struct Crash;

#[derive(Debug)]
struct OpenFile {
    ino: u64,
    id: u64,
    state: Arc<Mutex<State>>,
    crossing: Arc<AtomicU64>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.crossing.fetch_add(1, Ordering::SeqCst);
        }
        let mut state = enter(&self.state);
        state.open.remove(&self.id);
        let (id, ino) = (self.id, self.ino);
        state.published.retain(|_, published| *published != ino);
        if let Some(inode) = state.inodes.get_mut(&ino)
            && inode.flock == Some(id)
        {
            inode.flock = None;
        }
    }
}

fn enter(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// The way into every system call: another party may run first, or this one may crash.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        if enter(&self.state).crashed.contains(&self.pid) {
            return Err(io::Error::other("the dead make no calls"));
        }
        self.crossing.fetch_add(1, Ordering::SeqCst);
        let mut state = enter(&self.state);
        if let Some(left) = state.crash_in.get_mut(&self.pid) {
            if *left == 0 {
                state.bury(self.pid);
                drop(state);
                resume_unwind(Box::new(Crash));
            }
            *left -= 1;
        }
        Ok(state)
    }

    fn opened(&self, state: &mut State, ino: u64) -> OpenFile {
        let id = state.fresh();
        state.open.insert(id, self.pid);
        OpenFile {
            ino,
            id,
            state: Arc::clone(&self.state),
            crossing: Arc::clone(&self.crossing),
        }
    }

    fn as_process(&self, pid: u64) -> Self {
        Self {
            pid,
            ..self.clone()
        }
    }
}

impl System for Machine {
    type File = OpenFile;

    fn open(&self, path: &Path) -> io::Result<OpenFile> {
        self.open_no_follow(path)
    }

    fn open_no_follow(&self, path: &Path) -> io::Result<OpenFile> {
        let mut state = self.call()?;
        let ino = state.named(path)?;
        Ok(self.opened(&mut state, ino))
    }

    fn create_unnamed(&self, _: &Path) -> io::Result<OpenFile> {
        let mut state = self.call()?;
        if self.scenario.platform != Platform::Linux {
            return Err(ErrorKind::Unsupported.into());
        }
        let ino = state.make();
        Ok(self.opened(&mut state, ino))
    }

    fn create_new(&self, path: &Path) -> io::Result<OpenFile> {
        let mut state = self.call()?;
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let ino = state.make();
        state.names.insert(path.to_owned(), ino);
        state.published.insert(self.pid, ino);
        Ok(self.opened(&mut state, ino))
    }

    fn link(&self, file: &OpenFile, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.names.insert(path.to_owned(), file.ino);
        state.published.insert(self.pid, file.ino);
        Ok(())
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        if self.scenario.fault == Fault::ExchangeInSteps {
            let aside = a.with_extension("aside");
            self.rename(b, &aside)?;
            self.rename(a, b)?;
            return self.rename(&aside, a);
        }
        let mut state = self.call()?;
        if matches!(
            self.scenario.platform,
            Platform::Network | Platform::Windows
        ) {
            return Err(ErrorKind::Unsupported.into());
        }
        let (at_a, at_b) = (state.named(a)?, state.named(b)?);
        state.names.insert(a.to_owned(), at_b);
        state.names.insert(b.to_owned(), at_a);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let ino = state.named(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), ino);
        Ok(())
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if self.scenario.platform == Platform::Network {
            return Err(ErrorKind::Unsupported.into());
        }
        if state.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let ino = state.named(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), ino);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        state
            .names
            .remove(path)
            .map(drop)
            .ok_or(ErrorKind::NotFound.into())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn truncate(&self, file: &OpenFile) -> io::Result<()> {
        let mut state = self.call()?;
        state.inodes.get_mut(&file.ino).unwrap().bytes.clear();
        Ok(())
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let state = self.call()?;
        if self.scenario.fault == Fault::NoVerifying
            && path == Path::new(LOCK)
            && let Some(&own) = state.published.get(&self.pid)
        {
            return Ok(state.stat(own));
        }
        state.named(path).map(|ino| state.stat(ino))
    }

    fn stat_following(&self, path: &Path) -> io::Result<Stat> {
        self.stat(path)
    }

    fn stat_open(&self, file: &OpenFile) -> io::Result<Stat> {
        Ok(self.call()?.stat(file.ino))
    }

    fn try_flock(&self, file: &OpenFile) -> io::Result<bool> {
        let mut state = self.call()?;
        if self.scenario.platform == Platform::Windows {
            return Err(ErrorKind::Unsupported.into());
        }
        let inode = state.inodes.get_mut(&file.ino).unwrap();
        if self.scenario.fault == Fault::FlockAlwaysGranted || inode.flock.is_none() {
            inode.flock = Some(file.id);
        }
        Ok(inode.flock == Some(file.id))
    }

    fn read_at(&self, file: &OpenFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.call()?;
        let bytes = &state.inodes[&file.ino].bytes;
        let rest = bytes
            .get(usize::try_from(offset).unwrap()..)
            .unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_all_at(&self, file: &OpenFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.call()?;
        let content = &mut state.inodes.get_mut(&file.ino).unwrap().bytes;
        let from = usize::try_from(offset).unwrap();
        content.resize(content.len().max(from + bytes.len()), 0);
        content[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn start_write_back(&self, _: &OpenFile, _: u64, _: u64) {}

    fn sync(&self, _: &OpenFile) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn copy_owner(&self, _: &Stat, _: &OpenFile) -> io::Result<()> {
        Ok(())
    }

    fn process(&self, pid: u64) -> Process {
        let starttime = self
            .call()
            .ok()
            .and_then(|state| state.processes.get(&pid).copied());
        starttime.map_or(Process::Gone, |starttime| Process::Alive {
            starttime: Some(starttime),
            started_ms: None,
        })
    }

    fn pid(&self) -> u64 {
        self.pid
    }

    fn boot_id(&self) -> Option<String> {
        (self.scenario.platform != Platform::Windows).then(|| BOOT_ID.to_owned())
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(EPOCH_MS) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(enter(&self.state).clock_ms)
    }

    fn sleep(&self, duration: Duration) {
        let Ok(state) = self.call() else { return };
        let asked = u64::try_from(duration.as_millis()).unwrap();
        // Machines oversleep; here it also keeps the seconds that some rules wait for short.
        let overslept = shuttle::rand::thread_rng().gen_range(0..300);
        let wake = state.clock_ms + asked + overslept;
        let settles = asked >= 30 && self.scenario.patience == Patience::Bounded;
        let outwaited = if settles && self.scenario.fault != Fault::NoSettling {
            state.looking.clone()
        } else {
            HashSet::new()
        };
        drop(state);
        loop {
            shuttle::thread::yield_now();
            let mut state = enter(&self.state);
            if outwaited.is_disjoint(&state.looking) {
                state.clock_ms = state.clock_ms.max(wake);
                return;
            }
        }
    }
}

// ---- The parties ---------------------------------------------------------------------------------

/// A native sweeper: reads the store, and writes it back plus one, under the lock.
fn native(machine: &Machine) -> Result<(), Error> {
    let lock = Lock::acquire(machine, Path::new(LOCK))?;
    begin_native_hold(machine);
    let read = machine.call().unwrap().store;
    let ours = lock.verify();
    if ours.is_ok() {
        let mut state = machine.call().unwrap();
        // With JavaScript of any slowness about it takes the commit's compare-and-swap.
        if machine.scenario.patience == Patience::Bounded || state.store == read {
            state.store = read + 1;
            state.commits += 1;
        }
    }
    end_native_hold(machine, || lock.release())
}

fn begin_native_hold(machine: &Machine) {
    let mut state = enter(&machine.state);
    let others: HashSet<u64> = state.natives_in.keys().copied().collect();
    let strict = machine.scenario.patience == Patience::Bounded;
    assert!(!strict || others.is_empty(), "two natives hold the lock");
    assert!(
        !strict || state.javascript_in.is_empty(),
        "a native took a lock that JavaScript holds"
    );
    for met in state.natives_in.values_mut() {
        met.insert(machine.pid);
    }
    state.natives_in.insert(machine.pid, others);
}

/// Leaves the hold just before the release begins, as nothing is done under the lock any more.
fn end_native_hold(
    machine: &Machine,
    release: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let met = enter(&machine.state)
        .natives_in
        .remove(&machine.pid)
        .unwrap();
    let released = release();
    let mut state = enter(&machine.state);
    if released.is_ok() {
        for other in met {
            assert!(
                !state.content.contains(&(other, machine.pid)),
                "two natives held the lock and neither noticed"
            );
            state.content.insert((machine.pid, other));
        }
    }
    released
}

/// The gateway, from the contract: make the lock file or judge the one that stands there.
fn javascript(machine: &Machine) {
    let path = Path::new(LOCK);
    for attempt in 1..=20 {
        if let Ok(file) = machine.create_new(path) {
            let starttime = machine.call().unwrap().processes[&machine.pid];
            let text = payload(machine, machine.pid, starttime);
            machine.write_all_at(&file, text.as_bytes(), 0).unwrap();
            javascript_hold(machine);
            let _ = machine.unlink(path);
            return;
        }
        enter(&machine.state).looking.insert(machine.pid);
        let stale = machine.open_no_follow(path).is_ok_and(|file| {
            let mut buffer = [0; 256];
            let length = machine.read_at(&file, &mut buffer, 0).unwrap();
            javascript_judges_stale(machine, &file, &buffer[..length])
        });
        if stale {
            let _ = machine.unlink(path);
        }
        enter(&machine.state).looking.remove(&machine.pid);
        if !stale {
            machine.sleep(Duration::from_millis(29.min(attempt * 5)));
        }
    }
}

fn javascript_hold(machine: &Machine) {
    {
        let mut state = enter(&machine.state);
        assert!(
            machine.scenario.patience == Patience::Unbounded || state.natives_in.is_empty(),
            "JavaScript took a lock that a native holds"
        );
        state.javascript_in.insert(machine.pid);
    }
    drop(machine.call());
    enter(&machine.state).javascript_in.remove(&machine.pid);
}

fn javascript_judges_stale(machine: &Machine, file: &OpenFile, bytes: &[u8]) -> bool {
    let state = machine.call().unwrap();
    let inode = &state.inodes[&file.ino];
    let Ok(payload) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return state.clock_ms - inode.made_ms > 30_000;
    };
    match state.processes.get(&payload["pid"].as_u64().unwrap()) {
        None => true,
        Some(starttime) if payload["starttime"].as_u64() != Some(*starttime) => true,
        // A live native holder's date is kept fresh by its heartbeat.
        Some(_) if inode.flock.is_some() => false,
        Some(_) => state.clock_ms - inode.made_ms > 30_000,
    }
}

fn payload(machine: &Machine, pid: u64, starttime: u64) -> String {
    let now = humantime::format_rfc3339_millis(machine.now());
    format!(r#"{{"pid":{pid},"createdAt":"{now}","starttime":{starttime}}}"#)
}

/// What an earlier run left behind.
fn leave_something_behind(machine: &Machine) {
    let choice = shuttle::rand::thread_rng().gen_range(0..5);
    let dead_native = r#","flock":"this-boot"}"#;
    let text = match choice {
        0 => return,
        1 => payload(machine, 999, 1),
        2 => payload(machine, 999, 1).replace('}', dead_native),
        // Its pid is a living sweeper's now: reused, or the same in a restarted container.
        3 => payload(machine, 1, 1),
        _ => payload(machine, 1, 1).replace('}', dead_native),
    };
    let mut state = enter(&machine.state);
    let ino = state.make();
    state.inodes.get_mut(&ino).unwrap().bytes = text.into_bytes();
    state.names.insert(LOCK.into(), ino);
}

fn boot(scenario: Scenario) -> Machine {
    Machine {
        pid: 0,
        scenario,
        state: Arc::default(),
        crossing: Arc::new(AtomicU64::new(0)),
    }
}

/// One schedule of a scenario.
fn play(scenario: Scenario) {
    let machine = boot(scenario);
    leave_something_behind(&machine);
    let parties = 1..=scenario.natives + scenario.javascripts;
    for pid in parties.clone() {
        let mut state = enter(&machine.state);
        state.processes.insert(pid, 100 + pid);
        if shuttle::rand::thread_rng().gen_bool(0.4) {
            let calls = shuttle::rand::thread_rng().gen_range(0..45);
            state.crash_in.insert(pid, calls);
        }
    }
    let threads: Vec<_> = parties
        .map(|pid| {
            let machine = machine.as_process(pid);
            shuttle::thread::spawn(move || live(&machine))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_progress(&machine.as_process(500));
    let state = enter(&machine.state);
    assert_eq!(state.store, state.commits, "an update was lost");
}

/// A party's life, to its end or its crash.
fn live(machine: &Machine) {
    let life = catch_unwind(AssertUnwindSafe(|| {
        if machine.pid > machine.scenario.natives {
            return javascript(machine);
        }
        match native(machine) {
            Ok(()) | Err(Error::Locked { .. }) => {}
            Err(Error::LockLost { .. }) => assert!(
                machine.scenario.javascripts > 0 || machine.scenario.platform == Platform::Windows,
                "a lock was lost although nobody steals"
            ),
            Err(error) => panic!("{error}"),
        }
    }));
    if let Err(panic) = life
        && !panic.is::<Crash>()
    {
        resume_unwind(panic);
    }
}

/// Whatever was left behind, the next sweep gets its turn, and soon.
fn assert_progress(machine: &Machine) {
    let mut state = enter(&machine.state);
    state.processes.insert(machine.pid, 7);
    let javascript = machine.scenario.javascripts > 0;
    state.clock_ms += if javascript && !state.crashed.is_empty() {
        // Who crashes while undoing a take-over, in the very instant in which the displaced lock's
        // holder lets go and another makes a new one, may leave what is over at the path.
        301_000
    } else if javascript || machine.scenario.platform != Platform::Linux {
        // Without unnamed files a crash may leave an empty lock, and so may JavaScript's own.
        31_000
    } else {
        0
    };
    drop(state);
    if let Err(error) = native(machine) {
        panic!("no progress after the crashes: {error}");
    }
}

// ---- The checks ------------------------------------------------------------------------------------

/// Runs as many schedules, half of them at random and half with few but well-placed switches
/// (PCT), the same ones every time.
fn check(scenario: Scenario, schedules: usize) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    let run = move || play(scenario);
    let random = RandomScheduler::new_from_seed(1, schedules / 2);
    let played = Runner::new(random, config.clone()).run(run);
    let pct = PctScheduler::new_from_seed(2, 4, schedules / 2);
    let played = played + Runner::new(pct, config).run(run);
    println!("{played} schedules: {scenario:?}");
}

const LINUX: Scenario = Scenario {
    natives: 3,
    javascripts: 0,
    patience: Patience::Bounded,
    platform: Platform::Linux,
    fault: Fault::None,
};

/// All that must hold.
const SCENARIOS: [Scenario; 6] = [
    LINUX,
    Scenario {
        natives: 2,
        javascripts: 1,
        ..LINUX
    },
    Scenario {
        natives: 2,
        javascripts: 2,
        patience: Patience::Unbounded,
        ..LINUX
    },
    Scenario {
        platform: Platform::Mac,
        ..LINUX
    },
    Scenario {
        platform: Platform::Network,
        ..LINUX
    },
    Scenario {
        platform: Platform::Windows,
        patience: Patience::Unbounded,
        ..LINUX
    },
];

fn check_all(schedules_each: usize) {
    for scenario in SCENARIOS {
        check(scenario, schedules_each);
    }
}

#[test]
fn no_schedule_of_a_few_thousand_breaks_the_lock() {
    check_all(400);
}

#[test]
#[ignore = "takes minutes: the long form, with the figures of RELIABILITY.md"]
fn no_schedule_of_a_hundred_thousand_breaks_the_lock() {
    check_all(20_000);
}

#[test]
fn a_holder_that_outlasts_the_wait_is_reported_in_the_gateways_words() {
    shuttle::check_random(
        || {
            let machine = boot(LINUX).as_process(1);
            let began = machine.monotonic();
            for pid in [1, 7] {
                enter(&machine.state).processes.insert(pid, pid);
            }
            let file = machine.create_new(Path::new(LOCK)).unwrap();
            let text = payload(&machine, 7, 7);
            machine.write_all_at(&file, text.as_bytes(), 0).unwrap();

            let error = Lock::acquire(&machine, Path::new(LOCK)).unwrap_err();
            assert_eq!(
                error.to_string(),
                "session file locked (timeout 10000ms): pid=7 /s/sessions.json.lock"
            );
            assert_eq!(error.code(), "ERR_SESSION_STORE_LOCKED");
            let waited = machine.monotonic().checked_sub(began).unwrap();
            assert!((10_000..10_400).contains(&waited.as_millis()), "{waited:?}");

            // Half a payload tells no pid; its file is younger than 30 s all the while.
            machine.write_all_at(&file, b"}", 0).unwrap();
            let error = Lock::acquire(&machine, Path::new(LOCK)).unwrap_err();
            assert_eq!(
                error.to_string(),
                "session file locked (timeout 10000ms): unknown /s/sessions.json.lock"
            );
        },
        1,
    );
}

/// What the checker says about a machine with a deliberate fault.
fn violation(scenario: Scenario) -> String {
    let found = catch_unwind(|| check(scenario, 40_000)).expect_err("the fault was not found");
    let text = found.downcast_ref::<String>().cloned();
    text.or_else(|| found.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

#[test]
fn a_kernel_that_grants_every_flock_is_found_out() {
    let text = violation(Scenario {
        fault: Fault::FlockAlwaysGranted,
        ..LINUX
    });
    println!("{text}");
}

#[test]
fn an_exchange_in_steps_is_found_out() {
    let text = violation(Scenario {
        fault: Fault::ExchangeInSteps,
        ..LINUX
    });
    println!("{text}");
}

#[test]
fn a_lock_that_does_not_settle_is_found_out() {
    let fault = Fault::NoSettling;
    let text = violation(Scenario {
        fault,
        natives: 2,
        javascripts: 1,
        ..LINUX
    });
    println!("{text}");
}

#[test]
fn a_lock_that_does_not_verify_is_found_out() {
    let fault = Fault::NoVerifying;
    let text = violation(Scenario {
        fault,
        natives: 2,
        javascripts: 1,
        ..LINUX
    });
    println!("{text}");
}
