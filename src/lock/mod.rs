//! The gateway's lock on a session store, as a guard.
//!
//! # How it works
//!
//! To the gateway, and to anyone who looks into the folder, it is the gateway's own lock file:
//! `<store>.lock`, made with nothing in its place, holding the pid, the date and the start time of
//! its holder as JSON, and removed when done. Between native sweeps
//! it is also an exclusive `flock` on that same file, held from before the file is visible until
//! after it is gone. Who cannot get the flock knows that the holder lives, whatever the file says;
//! who can, and finds a native lock of this boot, knows that its holder is dead.
//!
//! - **Published complete.** The file gets its name once its text is in it. Nobody ever sees half
//!   a lock, which the gateway would take away.
//! - **Judged** by the kernel's knowledge of the holder first and by dates last: see `judge.rs`.
//! - **Taken over by exchange.** The path is never vacant, and if what comes out is not the lock
//!   that was judged, it goes back. Then the new holder settles: a JavaScript contender may have
//!   read the dead lock and be about to remove whatever stands there.
//! - **Verified.** [`Lock::verify`] tells before every step that cannot be undone whether the lock
//!   is still ours. What the gateway might take all the same, the commit's compare-and-swap
//!   survives.
//! - **Kept fresh.** A long hold rewrites its date every 5 s, for 5 minutes at most.
//!
//! # Fallbacks
//!
//! All of them are chosen here, where [`System`] answers `Unsupported`:
//!
//! | missing | instead | what that costs |
//! |---|---|---|
//! | unnamed files (macOS, Windows, NFS, FUSE) | the file is made at its path and filled by one write | a crash between the two leaves an empty lock, for 30 s |
//! | exchange (Windows, NFS, FUSE) | the dead lock is moved aside and a new one made | the path is vacant for an instant, and a JavaScript contender may win it |
//! | flock (Windows, NFS without locks) | no `flock` field; judged like a JavaScript lock | a crashed sweep is found dead after 1 s instead of at once; rests on pids |
//! | start times (macOS, Windows) | `"starttime":0` | a reused pid blocks until the lock is 5 minutes old |
//! | boot id (macOS, Windows) | no `flock` field | as without flock, though a live native holder is still known by its flock |
//!
//! # Limitations
//!
//! - JavaScript in another PID namespace does not see our pid, takes us for dead and steals. So it
//!   does with itself. [`Lock::verify`] notices.
//! - JavaScript that is stopped for longer than the settling time between reading a dead lock and
//!   removing it removes ours instead. [`Lock::verify`] notices.
//! - A crash in the midst of undoing a take-over that JavaScript crossed may leave a released lock
//!   of a live process behind, for 5 minutes at most. A crash during a take-over may leave a
//!   `<store>.lock.<pid>-<n>.tmp`.
//! - Where `flock` does not reach other machines (NFS mounted with `local_lock`), neither does
//!   this lock: their pids mean nothing here.
//! - An unreadable lock whose dates are all in the future (a clock set back) is waited for until
//!   they have come.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::abort::Abort;
use crate::error::{Context, Error, Result};
use crate::gateway::js;
use crate::system::{Beat, Heartbeat, Kind, Process, Stat, System};

mod payload;
mod staleness;

use payload::Payload;
use staleness::{Evidence, Flock, Judgement};

/// How long [`Lock::acquire`] waits for a holder: as long as the gateway.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How often it looks. JavaScript sleeps at least 50 ms between its tries, so this gets its turn.
const POLL: Duration = Duration::from_millis(5);

/// How long a JavaScript contender that has read a dead lock may take to remove what stands there:
/// measured, 7 ms at the 99th percentile and 20 ms at most.
const SETTLE: Duration = Duration::from_millis(35);

/// How often a held lock's date is rewritten: well within the 30 s after which the gateway steals.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// After this many beats (5 minutes) the holder hangs, and the gateway had better go on.
const HEARTBEATS: u32 = 60;

/// How often what was exchanged by mistake is put back before giving up.
const PUT_BACK_TRIES: u32 = 16;

/// How often a lock of our own is flocked while others try the same to judge it.
const FLOCK_TRIES: u32 = 200;

/// Where the gateway has the lock of a store: beside the store as it is named, its folder resolved,
/// the store's own link not. `store` is absolute. The folder is made if it is missing.
///
/// # Errors
/// [`Error::NoStorePath`] for a path that names no file; [`Error::Io`] if the folder can neither be
/// made nor resolved.
pub fn lock_path(store: &Path) -> Result<PathBuf> {
    let (Some(folder), Some(name)) = (store.parent(), store.file_name()) else {
        return Err(Error::NoStorePath);
    };
    let resolved = match fs::canonicalize(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder).context("make the folder", folder)?;
            fs::canonicalize(folder)
        }
        result => result,
    };
    let mut name = name.to_owned();
    name.push(".lock");
    Ok(resolved.context("resolve", folder)?.join(name))
}

/// Whether a live process holds the lock at `lock_path`, which is not a store's but a transcript's.
///
/// Nothing there is touched, and in doubt the answer is yes: odd things that are no file, files
/// that cannot be read, young files that say nothing.
pub fn is_held_by_live_process<S: System>(system: &S, lock_path: &Path) -> bool {
    match Seen::at(system, lock_path) {
        Ok(Seen::Vacant) => false,
        Ok(Seen::Lock(found)) => staleness::protects(&found.evidence(system, Duration::ZERO)),
        Ok(Seen::Busy) | Err(_) => true,
    }
}

/// The lock, held. It is released when this is dropped, by a panic too.
///
/// ```
/// use cron_session_reaper::lock::{Lock, lock_path};
/// use cron_session_reaper::system::Os;
///
/// # let folder = tempfile::tempdir()?;
/// # let store = folder.path().join("sessions.json");
/// let lock = Lock::acquire(&Os, &lock_path(&store)?)?;
/// // … archive what goes …
/// lock.verify()?;
/// // … commit …
/// lock.release()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the lock is released when this is dropped"]
#[derive(Debug)]
pub struct Lock<'s, S: System> {
    system: &'s S,
    path: PathBuf,
    own: Box<Own<S::File>>,
    released: bool,
}

/// A complete lock file of our own. It changes hands in a box: it is large.
#[derive(Debug)]
struct Own<F> {
    /// Open for as long as the lock is held, for the flock ends with it.
    file: F,
    stat: Stat,
    date_offset: u64,
    /// Begun before the lock is seen: starting a thread is no work to keep others waiting for.
    heartbeat: Heartbeat,
}

impl<F: Send + Sync> Own<F> {
    fn new<S: System<File = F>>(system: &S, file: F, stat: Stat, date_offset: u64) -> Self {
        let beat = Beat {
            offset: date_offset,
            period: HEARTBEAT,
            count: HEARTBEATS,
            text: payload::stamp,
        };
        Self {
            heartbeat: system.start_heartbeat(&file, beat),
            file,
            stat,
            date_offset,
        }
    }
}

impl<'s, S: System> Lock<'s, S> {
    /// Takes the lock at `lock_path`, waiting for a live holder for up to 10 s and taking over from
    /// a dead one.
    ///
    /// # Errors
    /// - [`Error::Locked`] when the holder outlasts the 10 s.
    /// - [`Error::NotAFile`] when something other than a regular file stands there.
    /// - [`Error::Io`] when a system call fails.
    pub fn acquire(system: &'s S, lock_path: &Path) -> Result<Self> {
        Self::acquire_unless(system, lock_path, &Abort::default())
    }

    /// The same, until `abort` is requested.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`Error::Aborted`].
    pub fn acquire_unless(system: &'s S, lock_path: &Path, abort: &Abort) -> Result<Self> {
        let mut contender = Contender {
            system,
            path: lock_path,
            watch: None,
            saw_stale: false,
        };
        let began = system.monotonic();
        loop {
            abort.check()?;
            if let Some(own) = contender.attempt()? {
                return Ok(Self::holding(system, lock_path, own));
            }
            if system.monotonic().saturating_sub(began) >= TIMEOUT {
                return Err(contender.locked());
            }
            system.sleep(POLL);
        }
    }

    fn holding(system: &'s S, path: &Path, own: Box<Own<S::File>>) -> Self {
        Self {
            system,
            path: path.to_owned(),
            own,
            released: false,
        }
    }

    /// The lock file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the lock is still ours. To be asked before every step that cannot be undone.
    ///
    /// # Errors
    /// [`Error::LockLost`] when it was taken away; [`Error::Io`] when nobody can tell.
    pub fn verify(&self) -> Result<()> {
        if stands_at(self.system, &self.own.stat, &self.path).context("check", &self.path)? {
            return Ok(());
        }
        Err(self.lost())
    }

    /// Lets go of the lock, and says whether it was ours until now.
    ///
    /// # Errors
    /// [`Error::LockLost`] when it was taken away, in which case nothing is removed;
    /// [`Error::Io`] when it could not be removed: the next sweep finds it without an owner.
    pub fn release(mut self) -> Result<()> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<()> {
        self.released = true;
        // Whatever else stands there now is another holder's.
        let released = self
            .verify()
            .and_then(|()| match self.system.unlink(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Err(self.lost()),
                result => result.context("remove", &self.path),
            });
        if released.is_err() {
            disown(self.system, &mut self.own);
        }
        // The heartbeat's thread has to be waited for: that is left to dropping this, when nobody
        // waits for the lock any more.
        released
    }

    fn lost(&self) -> Error {
        Error::LockLost {
            lock: self.path.clone(),
        }
    }
}

impl<S: System> Drop for Lock<'_, S> {
    fn drop(&mut self) {
        if !self.released {
            // Nobody is left to tell. A lock that stays behind is found dead by the next contender.
            let _ = self.let_go();
        }
    }
}

/// What stands at a lock's path.
enum Seen<F> {
    /// Nothing.
    Vacant,
    /// A live native holder's lock, or one that was changing under our eyes.
    Busy,
    /// A lock that no native sweep holds.
    Lock(Box<Found<F>>),
}

/// A lock that can be judged: as long as it is open its inode is no other file's, and as long as
/// its flock is in our hands no other native sweep judges it.
struct Found<F> {
    stat: Stat,
    flock: Flock,
    payload: Payload,
    boot_id: Option<String>,
    process: Option<Process>,
    /// Keeps the flock.
    _file: F,
}

impl<F: Send + Sync> Seen<F> {
    fn at<S: System<File = F>>(system: &S, path: &Path) -> Result<Self> {
        let kind = match system.stat(path) {
            Ok(stat) => stat.kind,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Vacant),
            Err(error) => return Err(error).context("look at", path),
        };
        // Asked by path first: opening a device may have effects of its own.
        regular(kind, path)?;
        let file = match system.open_no_follow(path) {
            Ok(file) => file,
            // Another user's lock of mode 0600. Its holder is unknown and must be waited for.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(Self::Busy),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Vacant),
            Err(error) => return Err(error).context("open", path),
        };
        let stat = system.stat_open(&file).context("look at", path)?;
        regular(stat.kind, path)?;
        let flock = match system.try_flock(&file) {
            Ok(true) => Flock::InHand,
            Ok(false) => return Ok(Self::Busy),
            Err(error) if error.kind() == ErrorKind::Unsupported => Flock::Unsupported,
            Err(error) => return Err(error).context("lock", path),
        };
        // Between our open and our flock its holder may have removed it: then it says nothing about
        // what stands there now.
        if !stands_at(system, &stat, path).context("look at", path)? {
            return Ok(Self::Busy);
        }
        let payload = read_payload(system, &file).context("read", path)?;
        Ok(Self::Lock(Box::new(Found {
            stat,
            flock,
            process: payload.pid.map(|pid| system.process(pid)),
            payload,
            boot_id: system.boot_id(),
            _file: file,
        })))
    }
}

impl<F> Found<F> {
    fn evidence<S: System>(&self, system: &S, watched: Duration) -> Evidence<'_> {
        Evidence {
            payload: &self.payload,
            process: self.process,
            flock: self.flock,
            boot_id: self.boot_id.as_deref(),
            now_ms: js::epoch_ms(system.now()),
            made_ms: staleness::made_ms(&self.stat),
            watched,
        }
    }
}

/// One attempt after the other to get a lock.
struct Contender<'a, S: System> {
    system: &'a S,
    path: &'a Path,
    /// The file that stood there when we last looked, and since when, on the steady clock.
    watch: Option<(Stat, Duration)>,
    /// A dead lock stood there, so JavaScript may be about to remove it, or what came after it.
    saw_stale: bool,
}

impl<S: System> Contender<'_, S> {
    fn attempt(&mut self) -> Result<Option<Box<Own<S::File>>>> {
        let found = match Seen::at(self.system, self.path)? {
            Seen::Vacant => return self.claim(),
            Seen::Busy => return Ok(None),
            Seen::Lock(found) => found,
        };
        let watched = self.watched(&found.stat);
        match staleness::judge(&found.evidence(self.system, watched)) {
            Judgement::Wait(staleness::Wait::TooYoung) => self.saw_stale = true,
            Judgement::Wait(_) => {}
            Judgement::Stale(_) => {
                self.saw_stale = true;
                return self.take_over(&found);
            }
        }
        Ok(None)
    }

    /// How long this very file, unchanged, has been standing there before our eyes.
    fn watched(&mut self, stat: &Stat) -> Duration {
        let now = self.system.monotonic();
        match self.watch {
            Some((seen, since)) if seen == *stat => now.saturating_sub(since),
            _ => {
                self.watch = Some((*stat, now));
                Duration::ZERO
            }
        }
    }

    /// Makes the lock where nothing stands.
    fn claim(&mut self) -> Result<Option<Box<Own<S::File>>>> {
        let own = publish(self.system, self.path).context("make", self.path)?;
        match own {
            Some(own) if self.saw_stale => self.settle(own),
            own => Ok(own),
        }
    }

    /// Puts a lock of ours in a dead one's place.
    fn take_over(&mut self, dead: &Found<S::File>) -> Result<Option<Box<Own<S::File>>>> {
        let beside = self.name_beside();
        let Some(mut own) = publish(self.system, &beside).context("make", &beside)? else {
            return Ok(None);
        };
        match self.system.exchange(&beside, self.path) {
            Ok(()) => {}
            Err(error) => {
                let _ = self.system.unlink(&beside);
                return match error.kind() {
                    ErrorKind::Unsupported => self.replace(dead, &beside),
                    // JavaScript was faster.
                    ErrorKind::NotFound => Ok(None),
                    _ => Err(error).context("take over", self.path),
                };
            }
        }
        // Between the judgement and the exchange JavaScript may have put a live lock there.
        if !matches!(stands_at(self.system, &dead.stat, &beside), Ok(true)) {
            self.put_back(&beside, own.stat);
            disown(self.system, &mut own);
            return Ok(None);
        }
        let _ = self.system.unlink(&beside);
        self.settle(own)
    }

    /// Gives a lock that was exchanged by mistake its place back. `ours` stands there instead.
    ///
    /// Whoever removes ours meanwhile meant what stood there before it: the displaced lock's holder
    /// letting go, or a contender that would have removed it just so without us. Either way the
    /// displaced lock is over, and putting it back would block everyone for minutes.
    fn put_back(&self, beside: &Path, ours: Stat) {
        let discard = || drop(self.system.unlink(beside));
        let mut expected = ours;
        for _ in 0..PUT_BACK_TRIES {
            let Ok(displaced) = self.system.stat(beside) else {
                return;
            };
            // Looked at first, so that a crash can leave what is over at the path only if it falls
            // between two calls that another's two calls fall between.
            if matches!(stands_at(self.system, &expected, self.path), Ok(false)) {
                return discard();
            }
            match self.system.exchange(beside, self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return,
                Ok(()) if !matches!(stands_at(self.system, &expected, beside), Ok(true)) => {}
                _ => return discard(),
            }
            // Another was made in the place of ours, and that one has the right to it: once more,
            // and what must come out is what we just put in.
            expected = displaced;
        }
    }

    /// Takes over where two names cannot be exchanged: moves the dead lock aside, then makes ours.
    fn replace(
        &mut self,
        dead: &Found<S::File>,
        beside: &Path,
    ) -> Result<Option<Box<Own<S::File>>>> {
        match self.system.rename(self.path, beside) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Windows does not rename what others have open.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(error).context("take over", self.path),
        }
        if !matches!(stands_at(self.system, &dead.stat, beside), Ok(true)) {
            let put_back = self.system.rename_no_replace(beside, self.path);
            let _ = match put_back.map_err(|error| error.kind()) {
                Ok(()) => Ok(()),
                Err(ErrorKind::Unsupported) => self.system.rename(beside, self.path),
                // Another was made in its place already, and its holder will notice.
                Err(_) => self.system.unlink(beside),
            };
            return Ok(None);
        }
        let _ = self.system.unlink(beside);
        self.claim()
    }

    /// Waits until no JavaScript contender can still be about to remove what it took for the dead
    /// lock, and looks whether ours was that.
    fn settle(&self, mut own: Box<Own<S::File>>) -> Result<Option<Box<Own<S::File>>>> {
        self.system.sleep(SETTLE);
        let ours = stands_at(self.system, &own.stat, self.path).context("check", self.path);
        if matches!(ours, Ok(true)) {
            return Ok(Some(own));
        }
        disown(self.system, &mut own);
        ours.map(|_| None)
    }

    /// A name of our own beside the lock. It is `<store>.*.tmp`, so that the one that a crash leaves
    /// behind is cleaned up with the store's own.
    fn name_beside(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{}-{count}.tmp", self.system.pid()));
        name.into()
    }

    /// The gateway's timeout, with as much about the holder as can be read.
    fn locked(&self) -> Error {
        let payload = self
            .system
            .open_no_follow(self.path)
            .and_then(|file| read_payload(self.system, &file));
        Error::Locked {
            timeout_ms: u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            pid: payload.ok().and_then(|payload| payload.pid),
            lock: self.path.to_owned(),
        }
    }
}

/// Makes a complete lock file of our own at `path`, or `None` if anything stands there.
fn publish<S: System>(system: &S, path: &Path) -> io::Result<Option<Box<Own<S::File>>>> {
    let folder = path.parent().unwrap_or(path);
    match publish_unnamed(system, folder, path) {
        Err(error) if error.kind() == ErrorKind::Unsupported => publish_named(system, path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        result => result.map(Some),
    }
}

/// Fills a file without a name, then names it: others see all of it or nothing.
fn publish_unnamed<S: System>(
    system: &S,
    folder: &Path,
    path: &Path,
) -> io::Result<Box<Own<S::File>>> {
    let file = system.create_unnamed(folder)?;
    let date_offset = complete(system, &file)?;
    let stat = system.stat_open(&file)?;
    let own = Box::new(Own::new(system, file, stat, date_offset));
    // Last, for what fails after it would leave a lock behind.
    system.link(&own.file, path)?;
    Ok(own)
}

/// Makes the file at its path and fills it with one write, as the gateway does.
fn publish_named<S: System>(system: &S, path: &Path) -> io::Result<Option<Box<Own<S::File>>>> {
    let file = match system.create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        result => result?,
    };
    let completed = complete(system, &file)
        .and_then(|date_offset| Ok((date_offset, system.stat_open(&file)?)))
        .inspect_err(|_| {
            // A full disk must not leave an empty lock behind, which would block everyone for 30 s.
            let _ = system.unlink(path);
        });
    let (date_offset, stat) = completed?;
    let mut own = Box::new(Own::new(system, file, stat, date_offset));
    // While it was empty it may have been moved away, by a contender that is frozen since it judged
    // a dead lock, or by anyone if we were frozen for 30 s.
    let ours = stands_at(system, &own.stat, path);
    if matches!(ours, Ok(true)) {
        return Ok(Some(own));
    }
    disown(system, &mut own);
    ours.map(|_| None)
}

/// Flocks a new lock file and writes its text; the answer is where in it the date stands.
fn complete<S: System>(system: &S, file: &S::File) -> io::Result<u64> {
    let boot_id = match flock_own(system, file) {
        Ok(()) => system.boot_id(),
        Err(error) if error.kind() == ErrorKind::Unsupported => None,
        Err(error) => return Err(error),
    };
    let pid = system.pid();
    let starttime = match system.process(pid) {
        Process::Alive { starttime, .. } => starttime,
        Process::Gone => None,
    };
    // Without one the gateway takes a lock of its own pid for an orphan and steals it at once; any
    // number will do where it cannot look it up itself.
    let starttime = starttime.unwrap_or(0);
    let text = payload::compose(pid, starttime, boot_id.as_deref(), system.now());
    system.write_all_at(file, &text.bytes, 0)?;
    Ok(text.date_offset)
}

/// Dates a lock of ours that is no longer at its place into the past. A contender that had moved it
/// aside may put it back when we are gone, and without flock it would pass for a live holder's.
fn disown<S: System>(system: &S, own: &mut Own<S::File>) {
    own.heartbeat = Heartbeat::none();
    let long_ago = payload::stamp(SystemTime::UNIX_EPOCH);
    let _ = system.write_all_at(&own.file, long_ago.as_bytes(), own.date_offset);
}

/// Flocks a file of our own making. Where it is visible already, a contender may have the flock for
/// the microseconds that it takes to judge it.
fn flock_own<S: System>(system: &S, file: &S::File) -> io::Result<()> {
    for _ in 0..FLOCK_TRIES {
        if system.try_flock(file)? {
            return Ok(());
        }
        system.sleep(Duration::from_millis(1));
    }
    Err(ErrorKind::WouldBlock.into())
}

fn read_payload<S: System>(system: &S, file: &S::File) -> io::Result<Payload> {
    // One byte more than a lock may have, so that what is longer shows, and no more is ever read.
    let mut buffer = [0; payload::LONGEST + 1];
    let mut length = 0;
    while length < buffer.len() {
        match system.read_at(file, &mut buffer[length..], length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(Payload::parse(&buffer[..length]))
}

/// Whether this very file stands at `path`.
fn stands_at<S: System>(system: &S, file: &Stat, path: &Path) -> io::Result<bool> {
    match system.stat(path) {
        Ok(stat) => Ok(stat.same_file(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn regular(kind: Kind, path: &Path) -> Result<()> {
    if kind == Kind::File {
        return Ok(());
    }
    Err(Error::NotAFile {
        path: path.to_owned(),
        found: kind.name(),
    })
}
