//! The one seam: every system call that the lock and the commit are made of.
//!
//! The real thing is [`Os`]. A model checker and the tests put their own in its place and so drive
//! the very code that runs in production. What a platform lacks is answered here with
//! [`io::ErrorKind::Unsupported`], so that each fallback stands in the code that chooses it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

mod errno;
mod heartbeat;
mod os;
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
pub(crate) use rights::is_unmapped;
pub use rights::{Refusal, Rights};

/// Whether a link at the path itself is followed.
#[derive(Debug, Clone, Copy)]
enum Links {
    Follow,
    Refuse,
}

/// What a file is and which one it is. Two stats of an unchanged file are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode (on Windows, the file index).
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the contents, nanoseconds since 1970.
    pub mtime: i128,
    /// Last change of the inode, nanoseconds since 1970; equals `mtime` where there is none.
    pub ctime: i128,
    /// What it is.
    pub kind: Kind,
    /// Owner (0 where there is none).
    pub uid: u32,
    /// Group (0 where there is none).
    pub gid: u32,
}

impl Stat {
    /// Is it the same file, whatever its contents?
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

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A FIFO, a socket, a device.
    Other,
}

impl Kind {
    /// In words, for error messages: `a directory`.
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

/// What is known of a process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// It runs, or may run: only a clear "no such process" is `Gone`.
    Alive {
        /// Its start time as the gateway's lock file has it (`/proc/<pid>/stat`, field 22), where
        /// the platform tells.
        starttime: Option<u64>,
        /// The same as a time of day, in milliseconds since 1970, where the platform tells.
        started_ms: Option<i64>,
    },
    /// There is no such process, or it is a zombie.
    Gone,
}

/// The system calls that locking and committing are made of.
pub trait System: Sync {
    /// An open file.
    type File: Send + Sync;

    /// Opens for reading. Follows links; never blocks on a FIFO.
    ///
    /// # Errors
    /// The operating system's.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens for reading what stands at this very path: a link is an error, never followed.
    ///
    /// # Errors
    /// The operating system's; `FilesystemLoop` for a link.
    fn open_no_follow(&self, path: &Path) -> io::Result<Self::File>;

    /// A new file of mode 0600 without a name, for reading and writing, to be [`link`](Self::link)ed
    /// once it is complete.
    ///
    /// # Errors
    /// `Unsupported` where the platform or the file system has none.
    fn create_unnamed(&self, folder: &Path) -> io::Result<Self::File>;

    /// A new file of mode 0600 at `path`, for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` if anything stands there.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives an unnamed file its name.
    ///
    /// # Errors
    /// `AlreadyExists` if anything stands there.
    fn link(&self, file: &Self::File, path: &Path) -> io::Result<()>;

    /// Exchanges what stands at two paths, in one step.
    ///
    /// # Errors
    /// `Unsupported` where the platform or the file system cannot.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;

    /// Renames; what stands at `to` is replaced.
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames; nothing may stand at `to`.
    ///
    /// # Errors
    /// `AlreadyExists` if anything stands there.
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// The operating system's.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// The path with every link resolved.
    ///
    /// # Errors
    /// The operating system's; `NotFound` for a link to nowhere.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// What stands at this very path (a link is not followed).
    ///
    /// # Errors
    /// The operating system's.
    fn stat(&self, path: &Path) -> io::Result<Stat>;

    /// What a path leads to, links followed.
    ///
    /// # Errors
    /// The operating system's.
    fn stat_following(&self, path: &Path) -> io::Result<Stat>;

    /// What an open file is.
    ///
    /// # Errors
    /// The operating system's.
    fn stat_open(&self, file: &Self::File) -> io::Result<Stat>;

    /// Takes the kernel's exclusive lock on an open file, or says that another has it (`false`).
    /// It ends when the file is closed, a crash included.
    ///
    /// # Errors
    /// `Unsupported` where the platform or the file system has none.
    fn try_flock(&self, file: &Self::File) -> io::Result<bool>;

    /// Reads at an offset; 0 is the end of the file. May read less than asked for.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at an offset.
    ///
    /// # Errors
    /// The operating system's; a write that makes no progress is `WriteZero`.
    fn write_all_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes an open file empty.
    ///
    /// # Errors
    /// The operating system's.
    fn truncate(&self, file: &Self::File) -> io::Result<()>;

    /// Asks the kernel to begin writing a range to the disk, without waiting. Only a hint.
    fn start_write_back(&self, file: &Self::File, offset: u64, length: u64);

    /// Waits until the file's contents and size are on the disk.
    ///
    /// # Errors
    /// The operating system's. What was written since the last success may be lost.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Waits until a folder's names are on the disk. Does nothing where the platform cannot.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file of this process the owner of another, and the group if possible.
    ///
    /// # Errors
    /// `PermissionDenied` if the owner cannot be preserved.
    fn copy_owner(&self, from: &Stat, to: &Self::File) -> io::Result<()>;

    /// Gives a file the extended attributes of another, as far as the file system has any.
    ///
    /// # Errors
    /// The operating system's.
    fn copy_attributes(&self, _from: &Self::File, _to: &Self::File) -> io::Result<()> {
        Ok(())
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

    /// What is known of a process.
    fn process(&self, pid: u64) -> Process;

    /// This process's id.
    fn pid(&self) -> u64;

    /// What names this run of the machine, where the platform tells. Holds no quotes.
    fn boot_id(&self) -> Option<String>;

    /// The wall clock.
    fn now(&self) -> SystemTime;

    /// A clock that never steps, from an arbitrary start.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration);

    /// Rewrites a few bytes of `file` at intervals until the answer is dropped. Systems without
    /// threads of their own (a model's) have none, which is what this does unless overridden.
    fn start_heartbeat(&self, _file: &Self::File, _beat: Beat) -> Heartbeat {
        Heartbeat::none()
    }
}

/// Is a file that another program has open in the way? Only Windows knows such a thing.
pub(crate) fn is_in_use(error: &io::Error) -> bool {
    platform::is_in_use(error)
}

/// [`System::rename_no_replace`], and the nearest to it where there is none: look, then rename.
/// A file that appears between the two is overwritten there.
///
/// # Errors
/// `AlreadyExists` if anything stands at `to`; otherwise the operating system's.
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
