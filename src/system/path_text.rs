//! Paths as text, for messages and for JavaScript.

use std::borrow::Cow;
use std::path::Path;

/// Returns a path as text. U+FFFD replaces what is not Unicode.
///
/// On Windows, resolved paths begin with `\\?\`, which neither users nor JavaScript expect. Only the text
/// is without it: the prefix also changes what a path means, so paths keep it.
#[must_use]
pub fn path_text(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    if !cfg!(windows) {
        return text;
    }
    without_prefix(&text).map_or(text, Cow::Owned)
}

/// Returns the text of a path on a drive or of a network path without `\\?\`.
fn without_prefix(text: &str) -> Option<String> {
    let rest = text.strip_prefix(r"\\?\")?;
    if let Some(share) = rest.strip_prefix(r"UNC\") {
        return Some(format!(r"\\{share}"));
    }
    (rest.as_bytes().get(1) == Some(&b':')).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_resolved_paths_is_removed() {
        for (path, text) in [
            (r"\\?\C:\a\sessions.json", Some(r"C:\a\sessions.json")),
            (r"\\?\UNC\server\share\a", Some(r"\\server\share\a")),
            (r"\\?\Volume{0-0}\a", None),
            (r"\\server\share\a", None),
            (r"C:\a", None),
            ("/a/b", None),
        ] {
            assert_eq!(without_prefix(path).as_deref(), text, "{path}");
        }
    }

    #[test]
    fn a_path_of_this_system_is_not_changed() {
        let path = std::env::temp_dir();
        assert_eq!(path_text(&path), path.to_str().unwrap());
    }
}
