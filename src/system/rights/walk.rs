//! Who controls the path of a store: its components from the root on, before a link is resolved.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// How many links are followed in one path: as many as the kernel follows.
const MAX_LINKS: u32 = 40;

/// The attributes of a component of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) kind: Kind,
    pub(super) uid: u32,
    /// The permission bits.
    pub(super) mode: u32,
    pub(super) hard_links: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    /// A folder, or a special file.
    Other,
}

/// What a walk needs from the system. Tests walk through trees that exist only in memory.
pub(super) trait Tree {
    /// Returns the attributes of what is at this very path: a link is not followed.
    fn attributes(&self, path: &Path) -> io::Result<Attributes>;

    /// Returns the target of a link.
    fn target(&self, link: &Path) -> io::Result<PathBuf>;

    /// Returns whether a file of this owner may belong to any user outside the user namespace.
    fn is_unmapped(&self, uid: u32) -> bool;
}

/// What a walk along a path found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// The first component that does not belong to root. Its owner controls everything after it.
    pub(super) ruler: Option<Ruler>,
    /// A link that belongs neither to root nor to a user who is known here. It is not followed.
    pub(super) unmapped_link: Option<PathBuf>,
    /// The store, if the walk reached it: not if it is missing, cannot be examined, or is behind a
    /// link of another user than root, which is not followed.
    pub(super) store: Option<(PathBuf, Attributes)>,
    /// The folder in which the path names the store, with all links resolved.
    pub(super) folder: Option<PathBuf>,
}

/// A user who controls a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruler {
    pub(super) uid: u32,
    /// The component that belongs to the user.
    pub(super) path: PathBuf,
}

/// Walks along an absolute path. Errors end the walk: the sweep that follows meets them as well.
pub(super) fn walk(tree: &impl Tree, path: &Path) -> Walk {
    let mut walk = Walk::default();
    let _ = follow(tree, path, &mut walk);
    walk
}

fn follow(tree: &impl Tree, path: &Path, walk: &mut Walk) -> io::Result<()> {
    let mut at = PathBuf::from("/");
    let mut folder = tree.attributes(&at)?;
    walk.passes(tree, &at, &folder);
    let mut ahead = Vec::new();
    push(&mut ahead, path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if ahead.is_empty() && walk.folder.is_none() {
            walk.folder = Some(at.clone());
        }
        if name == ".." {
            at.pop();
            folder = tree.attributes(&at)?;
            continue;
        }
        let next = at.join(&name);
        let found = tree.attributes(&next)?;
        if found.kind == Kind::Link {
            if found.uid != 0 {
                walk.ends_at_link(tree, next, found.uid);
                return Ok(());
            }
            links += 1;
            if links > MAX_LINKS {
                return Ok(());
            }
            let target = tree.target(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
                folder = tree.attributes(&at)?;
            }
            push(&mut ahead, &target);
            continue;
        }
        if ahead.is_empty() {
            // In a folder that only root can write to, root has put it there.
            if found.kind != Kind::File || folder.uid != 0 || folder.mode & 0o022 != 0 {
                walk.passes(tree, &next, &found);
            }
            walk.store = Some((next, found));
            return Ok(());
        }
        walk.passes(tree, &next, &found);
        (at, folder) = (next, found);
    }
    Ok(())
}

/// Puts the components of a path on the stack, the first on top.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        _ => None,
    });
    let at = ahead.len();
    ahead.extend(names);
    ahead[at..].reverse();
}

impl Walk {
    /// Notes the owner of a component that is not a link. Unmapped owners are passed over: in a
    /// container that an ordinary user runs, `/` itself has one.
    fn passes(&mut self, tree: &impl Tree, path: &Path, found: &Attributes) {
        if found.uid != 0 && !tree.is_unmapped(found.uid) && self.ruler.is_none() {
            self.ruler = Some(Ruler {
                uid: found.uid,
                path: path.to_owned(),
            });
        }
    }

    /// Notes a link of another user than root, which can lead anywhere.
    fn ends_at_link(&mut self, tree: &impl Tree, link: PathBuf, uid: u32) {
        if self.ruler.is_some() {
            return;
        }
        if tree.is_unmapped(uid) {
            self.unmapped_link = Some(link);
        } else {
            self.ruler = Some(Ruler { uid, path: link });
        }
    }
}
