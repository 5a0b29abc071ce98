//! Node.js's path resolution.

use std::path::{Component, Path, PathBuf};

/// Makes a path absolute and removes `.`, `..` and repeated or trailing slashes, without access to the
/// file system: `path.resolve(base, path)`. `base` must be absolute.
#[must_use]
pub(crate) fn resolve(base: &Path, path: &Path) -> PathBuf {
    let joined = base.join(path);
    if is_resolved(&joined) {
        return joined;
    }
    let mut resolved = PathBuf::with_capacity(joined.as_os_str().len());
    for component in joined.components() {
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

/// Returns whether resolving an absolute path changes nothing. Collecting its components would take
/// several times as long, and a store can contain very many deep paths.
fn is_resolved(path: &Path) -> bool {
    let mut names = path.as_os_str().as_encoded_bytes().split(|it| *it == b'/');
    // Nothing is before the root.
    cfg!(unix)
        && names.next().is_some_and(<[u8]>::is_empty)
        && names.all(|name| !matches!(name, b"" | b"." | b".."))
}
