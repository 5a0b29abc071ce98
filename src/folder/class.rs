//! The classes of the files in a store's folder, by their names.

use std::ffi::OsStr;

use serde::Serialize;

use crate::gateway::js;
use crate::store::leftovers::TempName;
use crate::transcripts::archive_name;

/// A class of files in a store's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Class {
    /// `*.jsonl` of the sessions of the store; all `*.jsonl` if the store cannot be read.
    Transcripts,
    /// `*.jsonl` that no entry of the store names.
    Orphans,
    /// `*.deleted.<stamp>`.
    Archives,
    /// `*.jsonl.reset.<stamp>`.
    Resets,
    /// `<store>.bak.*`.
    Backups,
    /// `*.checkpoint.<uuid>.jsonl`.
    Checkpoints,
    /// `*.trajectory.jsonl` and `*.trajectory-path.json`.
    Trajectories,
    /// `*.jsonl.deleted.<stamp>.<hash>.zst`: archives that belong to rows of a database.
    Exports,
    /// Temp files of the store and of its lock.
    Temps,
    /// Lock files of transcripts and of the store that no process will release.
    Locks,
    /// `<store>.kept.<stamp>`: temp files that a sweep kept.
    Kept,
    /// Caches of the gateway.
    Caches,
    /// All others.
    Others,
}

/// Returns the class of the file `name` in the folder of the store whose own name is `store`, and the
/// time in its name, in milliseconds since 1970. A lock file is [`Class::Locks`], whether it is dead or
/// not; a transcript is [`Class::Transcripts`].
pub(super) fn classify(store: &str, name: &OsStr) -> (Class, Option<i64>) {
    let text = &*name.to_string_lossy();
    if let Some(stamp) = archive_name::stamp_of(name) {
        return (Class::Archives, Some(stamp));
    }
    if let Some(stamp) = stamp_after(".jsonl.reset.", text) {
        return (Class::Resets, Some(stamp));
    }
    let own = text.strip_prefix(store).unwrap_or_default();
    if let Some(suffix) = own.strip_prefix(".bak.").filter(|it| !it.is_empty()) {
        return (Class::Backups, milliseconds(suffix));
    }
    (class_without_stamp(store, own, text), None)
}

fn class_without_stamp(store: &str, own: &str, name: &str) -> Class {
    let lock = format!("{store}.lock");
    if TempName::of_store(store, name).is_some() || TempName::of_lock(&lock, name).is_some() {
        Class::Temps
    } else if name == lock || name.ends_with(".jsonl.lock") {
        Class::Locks
    } else if stamp_after(".kept.", own).is_some() {
        Class::Kept
    } else if name.ends_with(".trajectory.jsonl") || name.ends_with(".trajectory-path.json") {
        Class::Trajectories
    } else if is_checkpoint(name) {
        Class::Checkpoints
    } else if name.as_bytes().ends_with(b".jsonl") {
        Class::Transcripts
    } else if is_export(name) {
        Class::Exports
    } else if name.starts_with(".usage-cost-cache.") {
        Class::Caches
    } else {
        Class::Others
    }
}

/// Returns the stamp that follows the last `infix`, if it is everything that follows it.
fn stamp_after(infix: &str, name: &str) -> Option<i64> {
    let (_, stamp) = name.rsplit_once(infix)?;
    js::parse_archive_stamp(stamp)
}

/// Parses the time in the name of a backup: milliseconds since 1970, from 2001 to 2286.
fn milliseconds(suffix: &str) -> Option<i64> {
    let is_plain = suffix.len() == 13 && suffix.bytes().all(|byte| byte.is_ascii_digit());
    suffix.parse().ok().filter(|_| is_plain)
}

fn is_checkpoint(name: &str) -> bool {
    let stem = name.strip_suffix(".jsonl");
    let id = stem.and_then(|stem| stem.rsplit_once(".checkpoint."));
    id.is_some_and(|(session, id)| {
        !session.is_empty()
            && id.len() == 36
            && id
                .bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
    })
}

fn is_export(name: &str) -> bool {
    let stem = name.strip_suffix(".zst").unwrap_or_default();
    let archive = stem.rsplit_once('.').map(|(archive, _)| archive);
    archive.is_some_and(|archive| stamp_after(".jsonl.deleted.", archive).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_class_of_its_exact_pattern() {
        let uuid = "3ab3ddeb-5fc7-4d35-adf6-d83c0627287f";
        let stamp = "2026-03-01T12-00-00.000Z";
        let noon = Some(1_772_366_400_000);
        for (name, expected) in [
            ("a.jsonl", (Class::Transcripts, None)),
            (
                &*format!("a.jsonl.deleted.{stamp}"),
                (Class::Archives, noon),
            ),
            (&format!("a.jsonl.reset.{stamp}"), (Class::Resets, noon)),
            (&format!("a.reset.{stamp}"), (Class::Others, None)),
            (&format!("a.jsonl.reset.{stamp}.x"), (Class::Others, None)),
            ("sessions.json.bak.1772366400000", (Class::Backups, noon)),
            ("sessions.json.bak.mine", (Class::Backups, None)),
            ("sessions.json.bak", (Class::Others, None)),
            ("other.json.bak.1772366400000", (Class::Others, None)),
            (
                &format!("a.checkpoint.{uuid}.jsonl"),
                (Class::Checkpoints, None),
            ),
            ("a.checkpoint.1.jsonl", (Class::Transcripts, None)),
            ("a.trajectory.jsonl", (Class::Trajectories, None)),
            (
                &format!("a.jsonl.deleted.{stamp}.0a1b.zst"),
                (Class::Exports, None),
            ),
            ("a.zst", (Class::Others, None)),
            (&format!("sessions.json.{uuid}.tmp"), (Class::Temps, None)),
            (&format!("other.json.{uuid}.tmp"), (Class::Others, None)),
            ("sessions.json.lock", (Class::Locks, None)),
            ("a.jsonl.lock", (Class::Locks, None)),
            ("a.lock", (Class::Others, None)),
            (&format!("sessions.json.kept.{stamp}"), (Class::Kept, None)),
            (".usage-cost-cache.json", (Class::Caches, None)),
        ] {
            assert_eq!(classify("sessions.json", name.as_ref()), expected, "{name}");
        }
    }
}
