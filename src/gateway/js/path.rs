//! Node.js's path resolution.

use std::ffi::OsStr;
use std::path::{Component, MAIN_SEPARATOR_STR, Path, PathBuf};

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
            Component::Prefix(_) | Component::RootDir => resolved.push(component),
            Component::Normal(name) => push_name(&mut resolved, name),
        }
    }
    resolved
}

/// Appends a name to an absolute path. `PathBuf::push` would take the name `C:` for a drive.
fn push_name(path: &mut PathBuf, name: &OsStr) {
    let text = path.as_mut_os_string();
    if !text
        .as_encoded_bytes()
        .ends_with(MAIN_SEPARATOR_STR.as_bytes())
    {
        text.push(MAIN_SEPARATOR_STR);
    }
    text.push(name);
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

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn a_name_like_a_drive_inside_a_path_is_a_name() {
        let base = Path::new(r"C:\a");
        for (path, resolved) in [
            ("b/../c", r"C:\a\c"),
            ("file:///D:/b", r"C:\a\file:\D:\b"),
            (r"x\D:y", r"C:\a\x\D:y"),
            (r"D:\b", r"D:\b"),
            (r"\b", r"C:\b"),
        ] {
            assert_eq!(
                resolve(base, Path::new(path)),
                Path::new(resolved),
                "{path}"
            );
        }
    }
}
