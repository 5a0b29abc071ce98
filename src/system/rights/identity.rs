//! The file-system identity of a thread.
//!
//! Linux has a user and a group id for each thread that only decide about files. `kill`, and the
//! other threads, are not affected. A thread that is started by this one inherits them.

use std::cell::Cell;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use rustix::fs::Gid;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, dumpable_behavior, getegid, geteuid, getgroups, set_dumpable_behavior,
};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_thread_groups};

/// Capabilities that override the permissions of files. The kernel drops them together with the
/// user id, but not if they are ambient or if the thread asks to keep them (`SECBIT_NO_SETUID_FIXUP`).
const OVER_FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::LINUX_IMMUTABLE)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::MAC_OVERRIDE);

/// The kernel's default of both overflow ids.
const DEFAULT_OVERFLOW_ID: u32 = 65534;

/// How many threads have adopted an identity. A change of the identity makes the whole process
/// undumpable. This is undone after the last one, not before: a core file would belong to the
/// adopted user and contain root's memory.
static CHANGES: Mutex<Changes> = Mutex::new(Changes {
    inside: 0,
    was_dumpable: false,
});

struct Changes {
    inside: u32,
    was_dumpable: bool,
}

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The thread has another file-system identity until this is dropped.
#[must_use = "the identity is restored when this is dropped"]
#[derive(Debug)]
pub(super) struct Guard {
    groups: Vec<Gid>,
    effective: CapabilitySet,
    _not_send: PhantomData<*const ()>,
}

impl Guard {
    /// Adopts the rights of a user: the user id, a group id that no group has, no supplementary
    /// groups, and no capability that overrides the permissions of files. A folder's group need not
    /// be one of the user's groups, so none is adopted.
    ///
    /// # Errors
    /// `EPERM` if the kernel refuses; `EBUSY` if the thread has adopted an identity already.
    pub(super) fn enter(uid: u32) -> io::Result<Self> {
        let gid = overflow_id("gid");
        let before = (getgroups()?, capabilities(None)?.effective);
        if IS_INSIDE.replace(true) {
            return Err(Errno::BUSY.into());
        }
        Changes::begin();
        // From here on, dropping this restores everything.
        let guard = Self {
            groups: before.0,
            effective: before.1,
            _not_send: PhantomData,
        };
        if !guard.groups.is_empty() {
            set_thread_groups(&[])?;
        }
        set_file_system_ids(uid, gid);
        // These calls report nothing.
        if (file_system_uid(), file_system_gid()) != (uid, gid) {
            return Err(Errno::PERM.into());
        }
        let mut now = capabilities(None)?;
        if now.effective.intersects(OVER_FILES) {
            now.effective -= OVER_FILES;
            set_capabilities(None, now)?;
        }
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The ids of now: `process.setuid()` in JavaScript reaches this thread as well, and must not
        // be undone.
        set_file_system_ids(geteuid().as_raw(), getegid().as_raw());
        if !self.groups.is_empty() && getgroups().is_ok_and(|now| now.is_empty()) {
            let _ = set_thread_groups(&self.groups);
        }
        if let Ok(mut now) = capabilities(None)
            && now.effective != self.effective
        {
            now.effective = self.effective & now.permitted;
            let _ = set_capabilities(None, now);
        }
        Changes::end();
        IS_INSIDE.set(false);
    }
}

impl Changes {
    fn begin() {
        let mut changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.inside == 0 {
            changes.was_dumpable = matches!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable));
        }
        changes.inside += 1;
    }

    fn end() {
        let mut changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        changes.inside -= 1;
        if changes.inside == 0 && changes.was_dumpable {
            let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
        }
    }
}

/// Calls `change` with the capability to change the group of a file of this thread's user to any
/// group, if the process has it.
pub(in crate::system) fn with_any_group<T>(change: impl FnOnce() -> T) -> T {
    let before = capabilities(None).ok().filter(|_| IS_INSIDE.get());
    let Some(before) = before.filter(|it| it.permitted.contains(CapabilitySet::CHOWN)) else {
        return change();
    };
    let mut raised = before;
    raised.effective |= CapabilitySet::CHOWN;
    let is_raised = set_capabilities(None, raised).is_ok();
    let result = change();
    if is_raised {
        let _ = set_capabilities(None, before);
    }
    result
}

#[expect(unsafe_code, reason = "rustix has no wrapper")]
fn set_file_system_ids(uid: u32, gid: u32) {
    // SAFETY: both take a number only.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
}

/// Returns the user id that decides about files.
#[expect(unsafe_code, reason = "rustix has no wrapper")]
pub(in crate::system) fn file_system_uid() -> u32 {
    // SAFETY: takes a number only; one that is no id changes nothing.
    unsafe { libc::setfsuid(u32::MAX) }.cast_unsigned()
}

#[expect(unsafe_code, reason = "rustix has no wrapper")]
fn file_system_gid() -> u32 {
    // SAFETY: takes a number only; one that is no id changes nothing.
    unsafe { libc::setfsgid(u32::MAX) }.cast_unsigned()
}

/// Returns the id that stands for all users (`"uid"`) or groups (`"gid"`) that are not mapped in a
/// user namespace.
pub(super) fn overflow_id(kind: &str) -> u32 {
    let id = fs::read_to_string(format!("/proc/sys/kernel/overflow{kind}"));
    id.ok()
        .and_then(|id| id.trim().parse().ok())
        .unwrap_or(DEFAULT_OVERFLOW_ID)
}

/// Returns whether this is the initial user namespace, or one that maps all users as it does.
pub(super) fn maps_all_users() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}
