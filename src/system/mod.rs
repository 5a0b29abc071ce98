//! The operating-system interface: every system call of the lock and the commit.
//!
//! [`Os`] is the real system. The model checker and the tests use their own implementations, so they
//! run the production code. A call that a platform or file system lacks returns
//! [`io::ErrorKind::Unsupported`], and the caller chooses the fallback.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

mod errno;
mod heartbeat;
mod os;
mod path_text;
#[cfg(unix)]
mod pinned;
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod platform;
mod rights;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unsupported;

pub use errno::{describe, errno_name};
pub use heartbeat::{Beat, Heartbeat};
pub use os::Os;
pub use path_text::path_text;
pub(crate) use rights::is_unmapped;
pub use rights::{Refusal, Rights};

/// What opening a path does with a symbolic link at that path.
#[derive(Debug, Clone, Copy)]
enum Links {
    Follow,
    Refuse,
}

/// The attributes of a file. Those of an unchanged file are equal at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode (on Windows, the file index).
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last modification of the contents, in nanoseconds since 1970.
    pub mtime: i128,
    /// Last change of the inode, in nanoseconds since 1970. Equals `mtime` on platforms without it.
    pub ctime: i128,
    /// The type of file.
    pub kind: Kind,
    /// Owner (0 on platforms without it).
    pub uid: u32,
    /// Group (0 on platforms without it).
    pub gid: u32,
}

impl Stat {
    /// Returns whether it is the same file, with the same or other contents.
    #[must_use]
    pub fn same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// Returns whether it is the same file with the same contents, owner and group, as far as the
    /// attributes show. Unlike `==` this holds across a rename, which changes `ctime`.
    #[must_use]
    pub fn same_contents(&self, other: &Self) -> bool {
        Self {
            ctime: other.ctime,
            ..*self
        } == *other
    }
}

/// A type of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A FIFO, a socket or a device.
    Other,
}

impl Kind {
    /// Returns the type in words, for error messages: `a directory`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Folder => "a directory",
            Self::Link => "a symbolic link",
            Self::Other => "a special file",
        }
    }
}

/// A property of a file or a folder that prevents every user, also root, from replacing it or the files
/// in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// A file on which another one is mounted.
    #[error(
        "EBUSY: it is a mount point, which cannot be replaced; mount its folder instead of the file"
    )]
    MountPoint,
    /// The attribute `i` of Linux.
    #[error("EPERM: it is immutable; see lsattr, and remove the attribute with chattr -i")]
    Immutable,
    /// The attribute `a` of Linux.
    #[error("EPERM: it is append-only; see lsattr, and remove the attribute with chattr -a")]
    AppendOnly,
}

/// What is known about a process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The process runs, or may run.
    Alive {
        /// Its start time as in the gateway's lock file (`/proc/<pid>/stat`, field 22), if the
        /// platform reports it.
        starttime: Option<u64>,
        /// Its start time in milliseconds since 1970, if the platform reports it.
        started_ms: Option<i64>,
    },
    /// The system reported that there is no such process, or that it is a zombie.
    Gone,
}

/// The system calls of the lock and the commit.
pub trait System: Sync {
    /// An open file.
    type File: Send + Sync;

    /// Opens a file for reading. Follows links; never blocks on a FIFO.
    ///
    /// # Errors
    /// The operating system's.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file for reading. Does not follow a link at the path itself.
    ///
    /// # Errors
    /// The operating system's; `FilesystemLoop` for a link.
    fn open_no_follow(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file for reading and writing. Does not follow links in a path with all links resolved.
    ///
    /// # Errors
    /// The operating system's; `Unsupported` on platforms that do not need this.
    fn open_for_update(&self, _path: &Path) -> io::Result<Self::File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Creates a file of mode 0600 without a name, for reading and writing. It is
    /// [`link`](Self::link)ed once it is complete.
    ///
    /// # Errors
    /// `Unsupported` if the platform or the file system has no unnamed files.
    fn create_unnamed(&self, folder: &Path) -> io::Result<Self::File>;

    /// Creates a file of mode 0600 at `path`, for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` if anything exists there.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;

    /// Names an unnamed file.
    ///
    /// # Errors
    /// `AlreadyExists` if anything exists at `path`.
    fn link(&self, file: &Self::File, path: &Path) -> io::Result<()>;

    /// Exchanges the files at two paths, atomically.
    ///
    /// # Errors
    /// `Unsupported` if the platform or the file system cannot.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;

    /// Renames a file. Replaces a file at `to`.
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file. Replaces nothing.
    ///
    /// # Errors
    /// `AlreadyExists` if anything exists at `to`.
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// The operating system's.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Returns the path with all links resolved.
    ///
    /// # Errors
    /// The operating system's; `NotFound` for a link whose target does not exist.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// Returns the attributes of the file at a path. Does not follow a link at the path itself.
    ///
    /// # Errors
    /// The operating system's.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// Returns the attributes of the file at a path. Follows links.
    ///
    /// # Errors
    /// The operating system's.
    fn stat_following(&self, path: &Path) -> io::Result<Stat>;

    /// Returns the attributes of an open file.
    ///
    /// # Errors
    /// The operating system's.
    fn stat_open(&self, file: &Self::File) -> io::Result<Stat>;

    /// Acquires the kernel's exclusive lock on an open file. Returns `false` if another open file
    /// holds it. It ends when the file is closed, also by a crash.
    ///
    /// # Errors
    /// `Unsupported` if the platform or the file system has no such lock.
    fn try_flock(&self, file: &Self::File) -> io::Result<bool>;

    /// Reads at an offset and returns the number of bytes: 0 at the end of the file, possibly fewer than
    /// requested.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at an offset.
    ///
    /// # Errors
    /// The operating system's; a write that makes no progress is `WriteZero`.
    fn write_all_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Sets the size of an open file to 0.
    ///
    /// # Errors
    /// The operating system's.
    fn truncate(&self, file: &Self::File) -> io::Result<()>;

    /// Asks the kernel to start writing a range to the disk. Does not wait; this is only a hint.
    fn start_write_back(&self, file: &Self::File, offset: u64, length: u64);

    /// Waits until a file's contents and size are on the disk.
    ///
    /// # Errors
    /// The operating system's. What was written since the last success may be lost.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Waits until a folder's names are on the disk. Does nothing on platforms that cannot.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Returns whether this thread's user owns a file, or has the rights of its owner, also if their ids
    /// are not mapped in this user namespace: then all such ids look the same. Does not change the file.
    fn is_own(&self, _file: &Self::File) -> bool {
        true
    }

    /// Gives a file of this process the owner of another, and the group if this user may do that. The
    /// file is private, so its group has no access to it.
    ///
    /// # Errors
    /// `PermissionDenied` if the owner cannot be preserved.
    fn copy_owner(&self, from: &Stat, to: &Self::File) -> io::Result<()>;

    /// Returns whether a call failed only because another process has the file open, or has deleted
    /// it while a third one has it open, so that the call may succeed later. Always `false` on Unix.
    fn is_in_use(&self, error: &io::Error) -> bool {
        platform::is_in_use(error)
    }

    /// Gives a file the extended attributes of another, as far as the file system has any.
    ///
    /// # Errors
    /// The operating system's.
    fn copy_attributes(&self, _from: &Self::File, _to: &Self::File) -> io::Result<()> {
        Ok(())
    }

    /// Returns what prevents every user from replacing the file at a path, or from changing the names in
    /// the folder at a path, if the platform reports it. Does not follow a link at the path itself.
    fn obstacle(&self, _path: &Path) -> Option<Obstacle> {
        None
    }

    /// Limits this thread's rights, until the result is dropped, to those that a sweep or an
    /// inspection of the store at an absolute path may use. Systems without users limit nothing,
    /// which is what this does unless overridden.
    ///
    /// # Errors
    /// Why the store must not be accessed by this user.
    fn limit_rights(&self, _store: &Path) -> Result<Rights, Refusal> {
        Ok(Rights::unlimited())
    }

    /// Makes sure, once the links of a store's path are resolved to `real` and those of its folder
    /// to `folder`, that they lead to where [`limit_rights`](Self::limit_rights) found them to lead.
    ///
    /// # Errors
    /// Why the store must not be accessed by this user.
    fn confirm_rights(&self, _store: &Path, _real: &Path, _folder: &Path) -> Result<(), Refusal> {
        Ok(())
    }

    /// Returns what is known about a process.
    fn process(&self, pid: u64) -> Process;

    /// Returns this process's id.
    fn pid(&self) -> u64;

    /// Returns the id of the current boot, if the platform has one. Contains no quotes.
    fn boot_id(&self) -> Option<String>;

    /// Returns the time of the wall clock.
    fn now(&self) -> SystemTime;

    /// Returns the time of a monotonic clock, from an arbitrary start.
    fn monotonic(&self) -> Duration;

    /// Waits for a duration.
    fn sleep(&self, duration: Duration);

    /// Rewrites a few bytes of `file` at intervals, on another thread, until the returned value is
    /// dropped. By default, which is for the systems of tests, there are no beats.
    fn start_heartbeat(&self, _file: &Self::File, _beat: Beat) -> Heartbeat {
        Heartbeat::none()
    }
}

/// Renames a file like [`System::rename_no_replace`]. Where that is unsupported, checks first and then
/// renames, which replaces a file that is created in between.
///
/// # Errors
/// `AlreadyExists` if anything exists at `to`; otherwise the operating system's.
pub(crate) fn rename_to_vacant<S: System>(system: &S, from: &Path, to: &Path) -> io::Result<()> {
    match system.rename_no_replace(from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        result => return result,
    }
    match system.stat(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => system.rename(from, to),
        Err(error) => Err(error),
    }
}
