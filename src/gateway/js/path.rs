//! Node.js's path resolution.

use std::path::{Component, Path, PathBuf};

/// Makes a path absolute and removes `.`, `..` and repeated or trailing slashes, without access to the
/// file system: `path.resolve(base, path)`. `base` must be absolute.
#[must_use]
pub(crate) fn resolve(base: &Path, path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            // `pop` does nothing at the root.
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                resolved.push(component);
            }
        }
    }
    resolved
}
