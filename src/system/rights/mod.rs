//! The rights that a sweep uses: never more than the user has who controls the path to the store.
//!
//! Only root has more. The components of the path are examined from `/` on, before a link is
//! resolved. The owner of the first component that does not belong to root *rules* everything after
//! it: this user decides where the path leads.
//!
//! | the path | a sweep by root |
//! |---|---|
//! | belongs to root | unlimited |
//! | is ruled by another user | Linux: with the rights of that user; macOS: refused |
//! | the same, but the store is root's own file, with one hard link, behind no link of another user | unlimited: a gateway that runs as root in a container, with a folder of the host's user |
//! | contains a link whose owner is not mapped in the user namespace | refused |
//!
//! After the paths are resolved, an unlimited sweep walks along the path [once more](confirm) and
//! compares: the path could have changed in between. From then on only [pinned](super::pinned)
//! folders are changed.
//!
//! # Limitations
//! A user whose rights are used can do with them what he could do without the sweep, use the part of
//! the disk that is reserved for root, and let root wait for his lock. While the rights of another
//! user are used, the process cannot dump core.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod identity;
#[cfg(unix)]
mod walk;

#[cfg(unix)]
use walk::{Attributes, Kind, Ruler, Tree, Walk};

/// Why a sweep or an inspection is not done by this user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A new file cannot be given the store's owner.
    #[error("its owner, uid {uid}, cannot be preserved; run it as uid {uid}")]
    Owner {
        /// The owner.
        uid: u32,
    },

    /// The store's owner is not mapped in this user namespace.
    #[error(
        "its owner is not mapped in this user namespace (uid {uid} stands for any such user) and \
         cannot be preserved; run it as the owner, outside the namespace"
    )]
    UnmappedOwner {
        /// The id by which the namespace shows all users that it does not map.
        uid: u32,
    },

    /// The path leads over a link of a user who is not mapped in this user namespace.
    #[error(
        "the owner of the link {} is not mapped in this user namespace; name the store by a path \
         without this link", link.display()
    )]
    UnmappedLink {
        /// The link.
        link: PathBuf,
    },

    /// The rights of the user who controls the path cannot be adopted.
    #[error(
        "uid {uid} controls {}, and root cannot adopt the rights of that user ({reason}); run it \
         as uid {uid}", controlled.display()
    )]
    NotAdopted {
        /// The user.
        uid: u32,
        /// The component of the path that belongs to the user.
        controlled: PathBuf,
        /// What prevents it.
        reason: String,
    },

    /// The rights of the user who controls the path do not suffice.
    #[error(
        "permission denied with the rights of uid {uid}, who controls {}; run it as uid {uid}",
        controlled.display()
    )]
    NotPermitted {
        /// The user.
        uid: u32,
        /// The component of the path that belongs to the user.
        controlled: PathBuf,
    },

    /// The store belongs to root, but another user controls the path and could have placed there a
    /// hard link to any file of root.
    #[error(
        "it belongs to root and has {hard_links} hard links, but uid {uid} controls {}; remove the \
         other links, or give the store to uid {uid} and run it as uid {uid}", controlled.display()
    )]
    HardLinks {
        /// How many names the file has.
        hard_links: u64,
        /// The user.
        uid: u32,
        /// The component of the path that belongs to the user.
        controlled: PathBuf,
    },

    /// Another process changed where the path leads, while it was resolved.
    #[error(
        "another process changed the path while it was resolved; run it as the user who controls the path"
    )]
    Redirected,
}

/// Limits the rights of the thread until it is dropped.
#[must_use = "the rights are limited until this is dropped"]
#[derive(Debug)]
pub struct Rights {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    adopted: Option<(Ruler, identity::Guard)>,
    /// Rights are a property of the thread.
    _not_send: PhantomData<*const ()>,
}

impl Rights {
    /// Limits nothing.
    pub fn unlimited() -> Self {
        Self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            adopted: None,
            _not_send: PhantomData,
        }
    }

    /// Returns why a call failed that was not permitted, if other rights than the process's own are
    /// used.
    #[must_use]
    pub fn refusal(&self, error: &io::Error) -> Option<Refusal> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some((ruler, _)) = &self.adopted
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return Some(Refusal::NotPermitted {
                uid: ruler.uid,
                controlled: ruler.path.clone(),
            });
        }
        let _ = error;
        None
    }
}

/// Limits the thread's rights to those that a sweep of the store at `store`, an absolute path, may
/// use.
#[cfg(unix)]
pub(super) fn limit(store: &Path) -> Result<Rights, Refusal> {
    if !uses_rights_of_root() {
        return Ok(Rights::unlimited());
    }
    match decide(walk::walk(&Real, store))? {
        Decision::Unlimited => Ok(Rights::unlimited()),
        Decision::Adopt(ruler) => adopt(ruler),
    }
}

/// Makes sure that the resolved paths of a store, `real` and `folder`, are those for which
/// [`limit`] has found that no limits are needed.
#[cfg(unix)]
pub(super) fn confirm(store: &Path, real: &Path, folder: &Path) -> Result<(), Refusal> {
    if !uses_rights_of_root() {
        return Ok(());
    }
    let walk = walk::walk(&Real, store);
    let leads_there = match (&walk.store, &walk.folder) {
        (Some((walked, _)), Some(walked_folder)) => {
            is_same(walked, real) && is_same(walked_folder, folder)
        }
        _ => false,
    };
    match decide(walk)? {
        Decision::Unlimited if leads_there => Ok(()),
        _ => Err(Refusal::Redirected),
    }
}

/// Returns whether two resolved paths are the same. On a file system that folds case, the spelling
/// can differ.
#[cfg(unix)]
fn is_same(a: &Path, b: &Path) -> bool {
    let same_file = |a: &Path, b: &Path| {
        let (a, b) = (super::unix::stat(a), super::unix::stat(b));
        matches!((a, b), (Ok(a), Ok(b)) if a.same_file(&b))
    };
    let same_folder = || match (a.parent(), b.parent()) {
        (Some(a), Some(b)) => same_file(a, b),
        (a, b) => a == b,
    };
    a == b || same_file(a, b) && same_folder()
}

/// Returns whether the file system sees root: not if the rights of another user are adopted.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn uses_rights_of_root() -> bool {
    rustix::process::geteuid().is_root() && identity::file_system_uid() == 0
}

#[cfg(target_os = "macos")]
fn uses_rights_of_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Which rights a sweep by root uses.
#[cfg(unix)]
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Unlimited,
    Adopt(Ruler),
}

#[cfg(unix)]
fn decide(walk: Walk) -> Result<Decision, Refusal> {
    if let Some(link) = walk.unmapped_link {
        return Err(Refusal::UnmappedLink { link });
    }
    let Some(ruler) = walk.ruler else {
        return Ok(Decision::Unlimited);
    };
    match walk.store {
        Some((_, store)) if store.kind == Kind::File && store.uid == 0 => {
            if store.hard_links != 1 {
                return Err(Refusal::HardLinks {
                    hard_links: store.hard_links,
                    uid: ruler.uid,
                    controlled: ruler.path,
                });
            }
            Ok(Decision::Unlimited)
        }
        _ => Ok(Decision::Adopt(ruler)),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn adopt(ruler: Ruler) -> Result<Rights, Refusal> {
    match identity::Guard::enter(ruler.uid) {
        Ok(guard) => Ok(Rights {
            adopted: Some((ruler, guard)),
            _not_send: PhantomData,
        }),
        Err(error) => Err(Refusal::NotAdopted {
            uid: ruler.uid,
            controlled: ruler.path,
            reason: super::describe(&error),
        }),
    }
}

/// macOS can only change all ids of a thread, with a call that its manual advises against.
#[cfg(target_os = "macos")]
fn adopt(ruler: Ruler) -> Result<Rights, Refusal> {
    Err(Refusal::NotAdopted {
        uid: ruler.uid,
        controlled: ruler.path,
        reason: "not supported on macOS".to_owned(),
    })
}

/// The file system.
#[cfg(unix)]
struct Real;

#[cfg(unix)]
impl Tree for Real {
    fn attributes(&self, path: &Path) -> io::Result<Attributes> {
        use std::os::unix::fs::MetadataExt;

        let metadata = std::fs::symlink_metadata(path)?;
        let kind = metadata.file_type();
        Ok(Attributes {
            kind: if kind.is_symlink() {
                Kind::Link
            } else if kind.is_file() {
                Kind::File
            } else {
                Kind::Other
            },
            uid: metadata.uid(),
            mode: metadata.mode(),
            hard_links: metadata.nlink(),
        })
    }

    fn target(&self, link: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(link)
    }

    fn is_unmapped(&self, uid: u32) -> bool {
        is_unmapped(uid)
    }
}

/// Returns whether `uid` is the one that stands for all users that this user namespace does not map.
/// A file that shows it may belong to any of them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_unmapped(uid: u32) -> bool {
    uid == identity::overflow_id("uid") && !identity::maps_all_users()
}

/// Only Linux has user namespaces.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_unmapped(_: u32) -> bool {
    false
}

/// Calls `change`, which changes the group of a file that belongs to this thread's user, with the
/// right to change it to any group, if the process has that right.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn with_any_group<T>(change: impl FnOnce() -> T) -> T {
    identity::with_any_group(change)
}

/// Without adopted rights there is none to regain.
#[cfg(target_os = "macos")]
pub(super) fn with_any_group<T>(change: impl FnOnce() -> T) -> T {
    change()
}

#[cfg(test)]
mod tests;
