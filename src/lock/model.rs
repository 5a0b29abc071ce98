//! The lock under a model checker: the production code on a machine in memory. At every system call
//! another party may run, or the calling party may crash.
//!
//! Any party may be suspended at any call for any time: the model's clock advances when a sleeping
//! party is chosen to run, even if others are suspended. [`Patience::Bounded`] excludes one case:
//! that JavaScript is suspended between reading a lock and its `rm` for longer than the settling
//! time.
//!
//! `cargo test --release --lib lock::model -- --include-ignored --nocapture` runs the long form.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::lock::Lock;
use crate::system::{Kind, Process, Stat, System};
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{Config, Runner};

const LOCK: &str = "/s/sessions.json.lock";
const BOOT_ID: &str = "this-boot";
const EPOCH_MS: u64 = 1_772_366_400_000;

// ---- The machine -------------------------------------------------------------------------------

/// The parties of a scenario and the machine on which they run.
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
    /// The time between JavaScript's reading of a lock and its `rm` is less than the settling time.
    Bounded,
    /// It is not limited. Then JavaScript may remove a native lock, and the holder must detect it.
    Unbounded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    /// Everything is available.
    Linux,
    /// No unnamed files.
    Mac,
    /// No unnamed files and no exchange, but flock of files that are open for writing (NFS).
    Network,
    /// Like `Network`, but an exchange is a rename that reports success. It may replace a JavaScript
    /// lock, and the holder must detect it.
    Fuse,
    /// None of them. Then natives, too, may remove each other's locks, and must detect it.
    Windows,
}

/// Deliberate faults, which the checker must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The kernel grants every flock.
    FlockAlwaysGranted,
    /// The exchange takes three steps.
    ExchangeInSteps,
    /// The settling time after a take-over is too short.
    NoSettling,
    /// A process that has created a lock file always sees that file at the lock's path.
    NoVerifying,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    modified_ms: u64,
    /// The open file that holds the flock.
    flock: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    clock_ms: u64,
    names: HashMap<PathBuf, u64>,
    inodes: HashMap<u64, Inode>,
    /// The inodes of the open files and the parties that opened them.
    open: HashMap<u64, (u64, u64)>,
    /// The inodes that were removed on Windows while they were open: their names remain unusable
    /// until they are closed.
    pending: HashSet<u64>,
    /// The last file to which a party gave a name, while it is open.
    published: HashMap<u64, u64>,
    next: u64,
    /// The start times of the live processes, by pid.
    processes: HashMap<u64, u64>,
    /// The number of calls after which a party crashes.
    crash_in: HashMap<u64, u32>,
    crashed: HashSet<u64>,
    /// The natives that have displaced a live JavaScript lock and not put it back yet.
    undoing: HashSet<u64>,
    /// Whether one of them crashed.
    crashed_undoing: bool,
    /// JavaScript between its reading of a lock and its `rm`.
    looking: HashSet<u64>,
    /// The natives that believe to hold the lock, each with those that believed so at the same time.
    natives_in: HashMap<u64, HashSet<u64>>,
    javascript_in: HashSet<u64>,
    /// Pairs of natives of which the first released the lock without detecting the second.
    content: HashSet<(u64, u64)>,
    store: u64,
    commits: u64,
}

impl State {
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn create(&mut self) -> u64 {
        let ino = self.fresh();
        let modified_ms = self.clock_ms;
        self.inodes.insert(
            ino,
            Inode {
                modified_ms,
                ..Inode::default()
            },
        );
        ino
    }

    fn named(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path) {
            Some(ino) if self.pending.contains(ino) => Err(ErrorKind::ResourceBusy.into()),
            Some(ino) => Ok(*ino),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn require_vacant(&self, path: &Path) -> io::Result<()> {
        match self.named(path) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Closes files. This ends their flocks and completes pending removals.
    fn close(&mut self, is_closed: impl Fn(u64, u64) -> bool) {
        self.open.retain(|id, (_, pid)| !is_closed(*id, *pid));
        let open = &self.open;
        for inode in self.inodes.values_mut() {
            inode.flock = inode.flock.filter(|file| open.contains_key(file));
        }
        let is_open = |ino: &u64| open.values().any(|(open, _)| open == ino);
        self.names
            .retain(|_, ino| !self.pending.contains(ino) || is_open(ino));
    }

    fn stat(&self, ino: u64) -> Stat {
        let inode = &self.inodes[&ino];
        let modified = i128::from(EPOCH_MS + inode.modified_ms) * 1_000_000;
        Stat {
            dev: 1,
            ino,
            size: inode.bytes.len() as u64,
            mtime: modified,
            ctime: modified,
            kind: Kind::File,
            uid: 0,
            gid: 0,
        }
    }

    /// What the kernel does when a process ends: closes its descriptors, which ends its flocks.
    fn end_process(&mut self, pid: u64) {
        self.crashed.insert(pid);
        self.crashed_undoing |= self.undoing.contains(&pid);
        self.processes.remove(&pid);
        self.natives_in.remove(&pid);
        self.javascript_in.remove(&pid);
        self.looking.remove(&pid);
        self.close(|_, owner| owner == pid);
        // Its pid may be reused immediately.
        if flip() {
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
    /// Modified at every call: the model checker may let another party run there.
    crossing: Arc<AtomicU64>,
}

/// The panic that unwinds a crashed party's stack.
struct Crash;

#[derive(Debug)]
struct OpenFile {
    ino: u64,
    id: u64,
    is_writable: bool,
    state: Arc<Mutex<State>>,
    crossing: Arc<AtomicU64>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.crossing.fetch_add(1, Ordering::SeqCst);
        }
        let mut state = enter(&self.state);
        let (id, ino) = (self.id, self.ino);
        state.close(|closed, _| closed == id);
        state.published.retain(|_, published| *published != ino);
    }
}

fn flip() -> bool {
    shuttle::rand::thread_rng().gen_bool(0.5)
}

fn enter(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// Begins every system call. Another party may run first, or this one may crash.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        if enter(&self.state).crashed.contains(&self.pid) {
            return Err(io::Error::other("a crashed party makes no calls"));
        }
        self.crossing.fetch_add(1, Ordering::SeqCst);
        let mut state = enter(&self.state);
        if let Some(left) = state.crash_in.get_mut(&self.pid) {
            if *left == 0 {
                state.end_process(self.pid);
                drop(state);
                resume_unwind(Box::new(Crash));
            }
            *left -= 1;
        }
        Ok(state)
    }

    fn opened(&self, state: &mut State, ino: u64) -> OpenFile {
        let id = state.fresh();
        state.open.insert(id, (ino, self.pid));
        OpenFile {
            ino,
            id,
            is_writable: true,
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
        let mut file = self.opened(&mut state, ino);
        file.is_writable = false;
        Ok(file)
    }

    fn open_for_update(&self, path: &Path) -> io::Result<OpenFile> {
        if self.scenario.platform == Platform::Windows {
            return Err(ErrorKind::Unsupported.into());
        }
        let mut state = self.call()?;
        let ino = state.named(path)?;
        Ok(self.opened(&mut state, ino))
    }

    fn is_in_use(&self, error: &io::Error) -> bool {
        error.kind() == ErrorKind::ResourceBusy
    }

    fn create_unnamed(&self, _: &Path) -> io::Result<OpenFile> {
        let mut state = self.call()?;
        if self.scenario.platform != Platform::Linux {
            return Err(ErrorKind::Unsupported.into());
        }
        let ino = state.create();
        Ok(self.opened(&mut state, ino))
    }

    fn create_new(&self, path: &Path) -> io::Result<OpenFile> {
        let mut state = self.call()?;
        state.require_vacant(path)?;
        let ino = state.create();
        state.names.insert(path.to_owned(), ino);
        state.published.insert(self.pid, ino);
        Ok(self.opened(&mut state, ino))
    }

    fn link(&self, file: &OpenFile, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        state.require_vacant(path)?;
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
        match self.scenario.platform {
            Platform::Linux | Platform::Mac => {}
            Platform::Network | Platform::Windows => return Err(ErrorKind::Unsupported.into()),
            Platform::Fuse => return self.rename(a, b),
        }
        let mut state = self.call()?;
        let (at_a, at_b) = (state.named(a)?, state.named(b)?);
        let natives = self.scenario.natives;
        let mut published = state.published.iter();
        if published.any(|(pid, ino)| *pid > natives && *ino == at_b) {
            state.undoing.insert(self.pid);
        } else {
            state.undoing.remove(&self.pid);
        }
        state.names.insert(a.to_owned(), at_b);
        state.names.insert(b.to_owned(), at_a);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let ino = state.named(from)?;
        if let Err(error) = state.named(to)
            && error.kind() == ErrorKind::ResourceBusy
        {
            return Err(error);
        }
        state.names.remove(from);
        state.names.insert(to.to_owned(), ino);
        Ok(())
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if matches!(self.scenario.platform, Platform::Network | Platform::Fuse) {
            return Err(ErrorKind::Unsupported.into());
        }
        state.require_vacant(to)?;
        let ino = state.named(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), ino);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let ino = state.named(path)?;
        let is_open = state.open.values().any(|(open, _)| *open == ino);
        if self.scenario.platform == Platform::Windows && is_open && flip() {
            state.pending.insert(ino);
        } else {
            state.names.remove(path);
        }
        Ok(())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn truncate(&self, file: &OpenFile) -> io::Result<()> {
        let mut state = self.call()?;
        let modified_ms = state.clock_ms;
        let inode = state.inodes.get_mut(&file.ino).unwrap();
        inode.bytes.clear();
        inode.modified_ms = modified_ms;
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
        match self.scenario.platform {
            Platform::Windows => return Err(ErrorKind::Unsupported.into()),
            Platform::Network if !file.is_writable => return Err(ErrorKind::Unsupported.into()),
            _ => {}
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
        let modified_ms = state.clock_ms;
        let inode = state.inodes.get_mut(&file.ino).unwrap();
        inode.modified_ms = modified_ms;
        let content = &mut inode.bytes;
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
        // A real sleep may take longer. Here, this also shortens the rules that wait for seconds.
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

/// A native sweep: increments the store under the lock.
fn native(machine: &Machine) -> Result<(), Error> {
    let lock = Lock::acquire(machine, Path::new(LOCK))?;
    begin_native_hold(machine);
    let read = machine.call().unwrap().store;
    let ours = lock.verify();
    if ours.is_ok() {
        let mut state = machine.call().unwrap();
        // With JavaScript of any speed, the commit's compare-and-swap is needed as well.
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
        !strict || state.crashed_undoing || state.javascript_in.is_empty(),
        "a native took a lock that JavaScript holds"
    );
    for met in state.natives_in.values_mut() {
        met.insert(machine.pid);
    }
    state.natives_in.insert(machine.pid, others);
}

/// Ends the hold just before the release: nothing is done under the lock after that.
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
                "two natives held the lock and neither detected it"
            );
            state.content.insert((machine.pid, other));
        }
    }
    released
}

/// The gateway, as in the contract: creates the lock file, or decides whether an existing one is
/// stale.
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
            is_stale_to_javascript(machine, &file, &buffer[..length])
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
            machine.scenario.patience == Patience::Unbounded
                || state.crashed_undoing
                || state.natives_in.is_empty(),
            "JavaScript took a lock that a native holds"
        );
        state.javascript_in.insert(machine.pid);
    }
    for _ in 0..shuttle::rand::thread_rng().gen_range(1..8) {
        drop(machine.call());
    }
    enter(&machine.state).javascript_in.remove(&machine.pid);
}

fn is_stale_to_javascript(machine: &Machine, file: &OpenFile, bytes: &[u8]) -> bool {
    let state = machine.call().unwrap();
    let inode = &state.inodes[&file.ino];
    let Ok(payload) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return state.clock_ms - inode.modified_ms > 30_000;
    };
    match state.processes.get(&payload["pid"].as_u64().unwrap()) {
        None => true,
        Some(starttime) if payload["starttime"].as_u64() != Some(*starttime) => true,
        // A live native holder's heartbeat keeps the date fresh.
        Some(_) if inode.flock.is_some() => false,
        Some(_) => state.clock_ms - inode.modified_ms > 30_000,
    }
}

fn payload(machine: &Machine, pid: u64, starttime: u64) -> String {
    let now = humantime::format_rfc3339_millis(machine.now());
    format!(r#"{{"pid":{pid},"createdAt":"{now}","starttime":{starttime}}}"#)
}

/// Creates what a crashed process may have left at the path.
fn create_leftover(machine: &Machine) {
    let choice = shuttle::rand::thread_rng().gen_range(0..5);
    let dead_native = r#","flock":"this-boot"}"#;
    let text = match choice {
        0 => return,
        1 => payload(machine, 999, 1),
        2 => payload(machine, 999, 1).replace('}', dead_native),
        // Its pid is a live sweep's: reused, or the same in a restarted container.
        3 => payload(machine, 1, 1),
        _ => payload(machine, 1, 1).replace('}', dead_native),
    };
    let mut state = enter(&machine.state);
    let ino = state.create();
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

/// Runs one schedule of a scenario.
fn play(scenario: Scenario) {
    let machine = boot(scenario);
    create_leftover(&machine);
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
    assert_nothing_reappeared(&machine);
    assert_progress(&machine.as_process(500));
    let state = enter(&machine.state);
    assert_eq!(state.store, state.commits, "an update was lost");
}

/// Runs a party until it ends or crashes.
fn live(machine: &Machine) {
    let life = catch_unwind(AssertUnwindSafe(|| {
        if machine.pid > machine.scenario.natives {
            return javascript(machine);
        }
        match native(machine) {
            Ok(()) | Err(Error::Locked { .. }) => {}
            Err(Error::Io { source, .. }) if machine.is_in_use(&source) => {}
            Err(Error::LockLost { .. }) => assert!(
                machine.scenario.javascripts > 0 || machine.scenario.platform == Platform::Windows,
                "a lock was lost although no party steals"
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

/// Asserts that no lock of a party that has ended is at the path, unless a party crashed.
fn assert_nothing_reappeared(machine: &Machine) {
    let state = enter(&machine.state);
    if !state.crashed.is_empty() {
        return;
    }
    let Some(ino) = state.names.get(Path::new(LOCK)) else {
        return;
    };
    let text = String::from_utf8_lossy(&state.inodes[ino].bytes);
    assert!(*ino == 1, "a released lock is at the path: {text}");
}

/// Asserts that the next sweep gets the lock within a bounded time.
fn assert_progress(machine: &Machine) {
    let mut state = enter(&machine.state);
    state.processes.insert(machine.pid, 7);
    let javascript = machine.scenario.javascripts > 0;
    state.clock_ms += if javascript && !state.crashed.is_empty() {
        // A native that crashes while it undoes a take-over, at the moment when the displaced lock is
        // released and another is created, may leave a released lock at the path.
        301_000
    } else if javascript || machine.scenario.platform != Platform::Linux {
        // Without unnamed files a crash may leave an empty lock. JavaScript always may.
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

/// Runs a number of schedules: one half at random, the other with few switches at chosen points
/// (PCT). They are the same in every run.
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

const NATIVES: Scenario = Scenario {
    natives: 3,
    javascripts: 0,
    patience: Patience::Bounded,
    platform: Platform::Linux,
    fault: Fault::None,
};

const WITH_JAVASCRIPT: Scenario = Scenario {
    natives: 2,
    javascripts: 1,
    ..NATIVES
};

const WITH_SLOW_JAVASCRIPT: Scenario = Scenario {
    natives: 2,
    javascripts: 2,
    patience: Patience::Unbounded,
    ..NATIVES
};

/// Returns the scenarios in which the lock must hold: where a native may replace another party's
/// lock, that must be detected.
fn scenarios() -> Vec<Scenario> {
    use Platform::{Fuse, Linux, Mac, Network, Windows};

    let mut scenarios = Vec::new();
    for platform in [Linux, Mac, Network, Fuse, Windows] {
        for scenario in [NATIVES, WITH_JAVASCRIPT, WITH_SLOW_JAVASCRIPT] {
            let only_detects = platform == Windows || platform == Fuse && scenario.javascripts > 0;
            scenarios.push(Scenario {
                platform,
                patience: if only_detects {
                    Patience::Unbounded
                } else {
                    scenario.patience
                },
                ..scenario
            });
        }
    }
    scenarios
}

fn check_all(schedules_each: usize) {
    for scenario in scenarios() {
        check(scenario, schedules_each);
    }
}

#[test]
fn holds_in_a_few_hundred_schedules_of_each_scenario() {
    check_all(400);
}

#[test]
#[ignore = "takes minutes: the long form, with the figures of RELIABILITY.md"]
fn holds_in_a_hundred_thousand_schedules_of_each_scenario() {
    check_all(100_000);
}

#[test]
fn reports_a_holder_that_does_not_release_the_lock_in_the_gateways_words() {
    shuttle::check_random(
        || {
            let machine = boot(NATIVES).as_process(1);
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

            // An incomplete payload has no pid. Its file remains younger than 30 s.
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

/// Returns the violation that the checker finds on a machine with a deliberate fault.
fn violation(scenario: Scenario) -> String {
    let found = catch_unwind(|| check(scenario, 40_000)).expect_err("the fault was not detected");
    let text = found.downcast_ref::<String>().cloned();
    text.or_else(|| found.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

#[test]
fn detects_a_kernel_that_grants_every_flock() {
    let text = violation(Scenario {
        fault: Fault::FlockAlwaysGranted,
        ..NATIVES
    });
    println!("{text}");
}

#[test]
fn detects_an_exchange_in_three_steps() {
    let text = violation(Scenario {
        fault: Fault::ExchangeInSteps,
        ..NATIVES
    });
    println!("{text}");
}

#[test]
fn detects_a_lock_that_does_not_settle() {
    let fault = Fault::NoSettling;
    let text = violation(Scenario {
        fault,
        ..WITH_JAVASCRIPT
    });
    println!("{text}");
}

#[test]
fn detects_a_lock_that_does_not_verify() {
    let fault = Fault::NoVerifying;
    let text = violation(Scenario {
        fault,
        ..WITH_JAVASCRIPT
    });
    println!("{text}");
}
