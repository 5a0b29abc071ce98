//! Transcripts and archives, seen from outside: which files of a whole tree move or go, and that
//! no other does.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cron_session_reaper::error::{Error, Result};
use cron_session_reaper::system::{Os, System};
use cron_session_reaper::transcripts::Tally;
use cron_session_reaper::transcripts::archive::{self, Archive};
use cron_session_reaper::transcripts::listing::Listings;
use cron_session_reaper::transcripts::locate::{Folder, References, Transcript};
use support::{Faulty, Tree};

/// 2026-03-01T12:00:00.000Z
const NOON: i64 = 1_772_366_400_000;
const STAMP: &str = "2026-03-01T12-00-00.000Z";

/// The archives in a folder from before a cutoff.
fn expired(folder: &Path, cutoff_ms: f64) -> Result<Vec<PathBuf>> {
    let mut listings = Listings::new(cutoff_ms);
    let names = &listings.of(folder)?.old_archives;
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

fn remove_expired(system: &impl System, folder: &Path, cutoff_ms: f64) -> Result<Tally> {
    Ok(archive::remove(system, expired(folder, cutoff_ms)?))
}

/// A store's folder with everything odd in it that a path may lead to.
fn odd_tree() -> Tree {
    let tree = Tree::new();
    tree.file_of("store/sessions.json", b"{}");
    for file in [
        "store/a.jsonl",
        "store/b.jsonl",
        "store/A.jsonl",
        "store/x y.jsonl",
        "store/é.jsonl",
        "store/~/home.jsonl",
        "store/.hidden.jsonl",
        "store/..odd.jsonl",
        "store/-dash.jsonl",
        "store/notes.txt",
        "store/UPPER.JSONL",
        "store/sessions.json.jsonl",
        "store/a.jsonl.lock",
        "store/a.jsonl.bak",
        "store/a.jsonl\\",
        "store/sub/c.jsonl",
        "store/sub/..d.jsonl",
        "store/sub/deep/e.jsonl",
        "store/dir.jsonl/inner.jsonl",
        "store-2/evil.jsonl",
        "outside/o.jsonl",
        "outside/a.jsonl",
        "a.jsonl",
    ] {
        tree.file(file);
    }
    for (letter, length) in [("i", 128), ("j", 129), ("n", 249)] {
        tree.file(&format!("store/{}.jsonl", letter.repeat(length)));
    }
    for (link, target) in [
        ("store/in.jsonl", "a.jsonl"),
        ("store/chain.jsonl", "in.jsonl"),
        ("store/deep.jsonl", "sub/deep/e.jsonl"),
        ("store/out.jsonl", "../outside/o.jsonl"),
        ("store/loop.jsonl", "loop.jsonl"),
        ("store/ring.jsonl", "gnir.jsonl"),
        ("store/gnir.jsonl", "ring.jsonl"),
        ("store/dangling.jsonl", "nowhere.jsonl"),
        ("store/text.jsonl", "notes.txt"),
        ("store/plain", "b.jsonl"),
        ("store/odd.jsonl", "..odd.jsonl"),
        ("store/folder.jsonl", "sub"),
        ("store/self.jsonl", "sessions.json"),
        ("store/pipe.jsonl", "fifo.jsonl"),
        ("store/links", "sub"),
        ("store/away", "../outside"),
        ("store/home", "."),
        ("outside/back.jsonl", "../store/a.jsonl"),
        ("outside/store", "../store"),
    ] {
        tree.link(link, target);
    }
    fs::hard_link(tree.at("store/b.jsonl"), tree.at("store/hard.jsonl")).unwrap();
    tree.fifo("store/fifo.jsonl");
    tree
}

/// An entry's `sessionId` and `sessionFile` (with `{ROOT}` for the tree's path), and the files that
/// they lead to.
type Case<'c> = (Option<&'c str>, Option<&'c str>, &'c [&'c str]);

fn rooted(tree: &Tree, session_file: Option<&str>) -> Option<String> {
    session_file.map(|file| file.replace("{ROOT}", tree.root().to_str().unwrap()))
}

fn paths(transcripts: Vec<Transcript>) -> Vec<PathBuf> {
    transcripts.into_iter().map(|it| it.path).collect()
}

/// Lays out the tree anew for each case, archives, and compares everything in it.
fn assert_moves(cases: &[Case<'_>]) {
    for (session_id, session_file, moved) in cases {
        let tree = odd_tree();
        let mut expected = tree.all();
        let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
        let session_file = rooted(&tree, *session_file);
        let mut archive = Archive::new(&Os);
        for transcript in folder.transcripts(*session_id, session_file.as_deref()) {
            archive.add(&transcript.path, NOON);
        }
        for path in *moved {
            let file = expected.remove(*path).expect("it was there before");
            expected.insert(format!("{path}.deleted.{STAMP}"), file);
        }
        let what = format!("{session_id:?} {session_file:?}");
        assert!(
            tree.all() == expected,
            "{what:.200}\n{:#?}",
            tree.changes(&expected)
        );
    }
    println!("{} path tricks", cases.len());
}

#[test]
fn a_session_id_moves_its_own_transcript_and_nothing_else() {
    let longest = "i".repeat(128);
    let longest_file = format!("store/{longest}.jsonl");
    let too_long = "j".repeat(129);
    assert_moves(&[
        (None, None, &[]),
        (Some(""), Some(""), &[]),
        (Some("  "), Some("  "), &[]),
        (Some("a"), None, &["store/a.jsonl"]),
        (Some(" a\u{feff}\n"), None, &["store/a.jsonl"]),
        (Some("A"), None, &["store/A.jsonl"]),
        (Some("missing"), None, &[]),
        (Some("../a"), None, &[]),
        (Some("sub/c"), None, &[]),
        (Some("./a"), None, &[]),
        (Some(".hidden"), None, &[]),
        (Some("..odd"), None, &[]),
        (Some("-dash"), None, &[]),
        (Some("__proto__"), None, &[]),
        (Some("x y"), None, &[]),
        (Some("é"), None, &[]),
        (Some("a\0"), None, &[]),
        (Some("a.jsonl"), None, &[]),
        (Some("dir"), None, &[]),
        (Some("fifo"), None, &[]),
        (Some("pipe"), None, &[]),
        (Some("in"), None, &["store/a.jsonl"]),
        (Some("out"), None, &[]),
        (Some("loop"), None, &[]),
        (Some("ring"), None, &[]),
        (Some("dangling"), None, &[]),
        (Some("odd"), None, &[]),
        (Some("folder"), None, &[]),
        (Some("self"), None, &[]),
        (Some("text"), None, &[]),
        (Some("hard"), None, &["store/hard.jsonl"]),
        (Some("sessions.json"), None, &["store/sessions.json.jsonl"]),
        (Some("UPPER"), None, &[]),
        (Some(&longest), None, &[&longest_file]),
        (Some(&too_long), None, &[]),
    ]);
}

#[test]
fn a_relative_session_file_moves_what_lies_inside_the_folder_and_nothing_else() {
    let long = format!("{}.jsonl", "x".repeat(10_000));
    let detour = format!("{}a.jsonl", "sub/../".repeat(500));
    let no_room_for_a_stamp = format!("{}.jsonl", "n".repeat(249));
    assert_moves(&[
        (None, Some("a.jsonl"), &["store/a.jsonl"]),
        (None, Some("  a.jsonl \u{a0}"), &["store/a.jsonl"]),
        (None, Some("./a.jsonl"), &["store/a.jsonl"]),
        (None, Some("a.jsonl/"), &["store/a.jsonl"]),
        (None, Some("a.jsonl//."), &["store/a.jsonl"]),
        (None, Some(".//sub///c.jsonl"), &["store/sub/c.jsonl"]),
        (None, Some("sub/deep/e.jsonl"), &["store/sub/deep/e.jsonl"]),
        (None, Some("sub/../a.jsonl"), &["store/a.jsonl"]),
        (None, Some("nowhere/../a.jsonl"), &["store/a.jsonl"]),
        (None, Some("sub/../../store/a.jsonl"), &["store/a.jsonl"]),
        (None, Some(&detour), &["store/a.jsonl"]),
        (None, Some("x y.jsonl"), &["store/x y.jsonl"]),
        (None, Some("é.jsonl"), &["store/é.jsonl"]),
        (None, Some("e\u{301}.jsonl"), &[]),
        (None, Some(".hidden.jsonl"), &["store/.hidden.jsonl"]),
        (None, Some("-dash.jsonl"), &["store/-dash.jsonl"]),
        (None, Some("~/home.jsonl"), &["store/~/home.jsonl"]),
        (None, Some("sub/..d.jsonl"), &["store/sub/..d.jsonl"]),
        (
            None,
            Some("dir.jsonl/inner.jsonl"),
            &["store/dir.jsonl/inner.jsonl"],
        ),
        (None, Some("../a.jsonl"), &[]),
        (None, Some("../store/a.jsonl"), &[]),
        (None, Some("../outside/o.jsonl"), &[]),
        (None, Some("../store-2/evil.jsonl"), &[]),
        (None, Some("sub/../../outside/o.jsonl"), &[]),
        (None, Some("sub/../../store-2/evil.jsonl"), &[]),
        (None, Some("..odd.jsonl"), &[]),
        (None, Some("./..odd.jsonl"), &[]),
        (None, Some("."), &[]),
        (None, Some(".."), &[]),
        (None, Some("~"), &[]),
        (None, Some("sub"), &[]),
        (None, Some("a.jsonl\0"), &[]),
        (None, Some("\0"), &[]),
        (None, Some("a.jsonl/.."), &[]),
        (None, Some("a.jsonl/b.jsonl"), &[]),
        (None, Some(&long), &[]),
        (None, Some(&no_room_for_a_stamp), &[]),
        (None, Some("A.JSONL"), &[]),
        (None, Some("UPPER.JSONL"), &[]),
        (None, Some("notes.txt"), &[]),
        (None, Some("sessions.json"), &[]),
        (None, Some("a.jsonl.lock"), &[]),
        (None, Some("a.jsonl.bak"), &[]),
        (None, Some("a.jsonl\\"), &[]),
        (None, Some("sub\\c.jsonl"), &[]),
        (None, Some("dir.jsonl"), &[]),
        (None, Some("fifo.jsonl"), &[]),
        (None, Some("file://a.jsonl"), &[]),
        (None, Some("*.jsonl"), &[]),
    ]);
}

#[test]
fn of_a_link_the_file_moves_if_it_lies_inside_and_the_link_stays() {
    assert_moves(&[
        (None, Some("in.jsonl"), &["store/a.jsonl"]),
        (None, Some("chain.jsonl"), &["store/a.jsonl"]),
        (None, Some("deep.jsonl"), &["store/sub/deep/e.jsonl"]),
        (None, Some("plain"), &["store/b.jsonl"]),
        (None, Some("links/c.jsonl"), &["store/sub/c.jsonl"]),
        (None, Some("folder.jsonl/c.jsonl"), &["store/sub/c.jsonl"]),
        (None, Some("home/home/a.jsonl"), &["store/a.jsonl"]),
        (None, Some("links/../a.jsonl"), &["store/a.jsonl"]),
        (None, Some("away/back.jsonl"), &["store/a.jsonl"]),
        (None, Some("out.jsonl"), &[]),
        (None, Some("away/o.jsonl"), &[]),
        (None, Some("loop.jsonl"), &[]),
        (None, Some("gnir.jsonl"), &[]),
        (None, Some("dangling.jsonl"), &[]),
        (None, Some("text.jsonl"), &[]),
        (None, Some("odd.jsonl"), &[]),
        (None, Some("folder.jsonl"), &[]),
        (None, Some("self.jsonl"), &[]),
        (None, Some("pipe.jsonl"), &[]),
    ]);
}

#[test]
fn an_absolute_session_file_moves_what_lies_inside_the_folder_and_nothing_else() {
    assert_moves(&[
        (None, Some("{ROOT}/store/a.jsonl"), &["store/a.jsonl"]),
        (
            None,
            Some("{ROOT}/store/./sub/../a.jsonl/"),
            &["store/a.jsonl"],
        ),
        (
            None,
            Some("{ROOT}/outside/../store/a.jsonl"),
            &["store/a.jsonl"],
        ),
        (
            None,
            Some("{ROOT}/store/sub/c.jsonl"),
            &["store/sub/c.jsonl"],
        ),
        (None, Some("{ROOT}/store"), &[]),
        (None, Some("{ROOT}/store/sessions.json"), &[]),
        (None, Some("{ROOT}/store/..odd.jsonl"), &[]),
        (None, Some("{ROOT}/store/../a.jsonl"), &[]),
        (None, Some("{ROOT}/store-2/evil.jsonl"), &[]),
        (None, Some("{ROOT}/outside/o.jsonl"), &[]),
        (None, Some("{ROOT}/outside/back.jsonl"), &["store/a.jsonl"]),
        (
            None,
            Some("{ROOT}/outside/store/a.jsonl"),
            &["store/a.jsonl"],
        ),
        (None, Some("/"), &[]),
        (None, Some("/dev/null"), &[]),
        (None, Some("/proc/self/cwd"), &[]),
    ]);
}

#[test]
fn both_transcripts_of_a_session_move_and_each_only_once() {
    assert_moves(&[
        (Some("a"), Some("a.jsonl"), &["store/a.jsonl"]),
        (Some("a"), Some("chain.jsonl"), &["store/a.jsonl"]),
        (
            Some("a"),
            Some("b.jsonl"),
            &["store/a.jsonl", "store/b.jsonl"],
        ),
        (Some("a"), Some("../outside/a.jsonl"), &["store/a.jsonl"]),
        (Some("a"), Some("  "), &["store/a.jsonl"]),
        (Some("../a"), Some("b.jsonl"), &["store/b.jsonl"]),
        (
            Some("hard"),
            Some("b.jsonl"),
            &["store/b.jsonl", "store/hard.jsonl"],
        ),
    ]);
}

#[test]
fn the_session_file_comes_before_the_file_of_the_id() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    assert_eq!(
        paths(folder.transcripts(Some("a"), Some("b.jsonl"))),
        [tree.at("store/b.jsonl"), tree.at("store/a.jsonl")]
    );
}

#[test]
fn a_folder_that_is_a_link_is_known_by_both_its_names() {
    let tree = odd_tree();
    tree.link("alias", "store");
    let folder = Folder::of(&tree.at("alias/sub/../sessions.json")).unwrap();
    assert_eq!(folder.path(), tree.at("alias"));
    assert_eq!(folder.real(), tree.at("store"));
    let file = |path: &str| paths(folder.transcripts(None, tree.at(path).to_str()));
    assert_eq!(file("alias/a.jsonl"), [tree.at("store/a.jsonl")]);
    assert_eq!(file("store/a.jsonl"), [tree.at("store/a.jsonl")]);
    assert_eq!(file("outside/store/a.jsonl"), [tree.at("store/a.jsonl")]);
    assert!(file("alias/sessions.json").is_empty());
}

#[test]
fn a_store_is_no_transcript_even_if_it_is_called_one() {
    let tree = odd_tree();
    tree.link("store/store.jsonl", "a.jsonl");
    for store in ["store/a.jsonl", "store/store.jsonl"] {
        let folder = Folder::of(&tree.at(store)).unwrap();
        for file in ["a.jsonl", "store.jsonl", "in.jsonl", "chain.jsonl"] {
            let found = folder.transcripts(Some("a"), Some(file));
            assert!(found.is_empty(), "{store} {file}");
        }
    }
}

#[test]
fn a_missing_folder_is_an_error_that_names_it() {
    let tree = Tree::new();
    let gone = tree.at("gone");
    let error = Folder::of(&gone.join("sessions.json")).unwrap_err();
    let is_missing = |source: &std::io::Error| source.kind() == ErrorKind::NotFound;
    assert!(matches!(&error, Error::Io { source, .. } if is_missing(source)));
    let text = format!("cannot resolve {}: ", gone.display());
    assert!(error.to_string().starts_with(&text), "{error}");
    assert!(matches!(Folder::of(Path::new("")), Err(Error::NoStorePath)));
    assert!(matches!(
        Folder::of(Path::new("/")),
        Err(Error::NotAFile { .. })
    ));
}

#[test]
fn a_folder_that_cannot_be_entered_hides_its_files_from_the_sweep() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may enter every folder");
        return;
    }
    let tree = odd_tree();
    let sub = tree.at("store/sub");
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o000)).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    let found = folder.transcripts(Some("a"), Some("sub/c.jsonl"));
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(paths(found), [tree.at("store/a.jsonl")]);
}

#[test]
fn an_entry_that_stays_protects_its_transcripts_however_it_spells_them() {
    let tree = odd_tree();
    let cases: &[Case<'_>] = &[
        (None, None, &[]),
        (Some(""), Some(" "), &[]),
        (Some("a"), None, &["store/a.jsonl"]),
        (Some(" a "), None, &["store/a.jsonl"]),
        (Some("in"), None, &["store/a.jsonl"]),
        (Some("chain"), Some("chain.jsonl"), &["store/a.jsonl"]),
        (Some(" chain "), None, &["store/a.jsonl"]),
        (Some(".hidden"), None, &[]),
        (Some("sub/c"), None, &[]),
        (Some("out"), None, &["outside/o.jsonl"]),
        (Some("loop"), Some("ring.jsonl"), &[]),
        (Some("hard"), None, &["store/hard.jsonl"]),
        (
            Some(".hidden"),
            Some(".hidden.jsonl"),
            &["store/.hidden.jsonl"],
        ),
        (Some("a"), Some("a.jsonl"), &["store/a.jsonl"]),
        (
            Some("a"),
            Some("b.jsonl"),
            &["store/a.jsonl", "store/b.jsonl"],
        ),
        (Some("a"), Some("{ROOT}/store/a.jsonl"), &["store/a.jsonl"]),
        (None, Some("{ROOT}/store/a.jsonl"), &["store/a.jsonl"]),
        (None, Some("{ROOT}/store//a.jsonl/"), &["store/a.jsonl"]),
        (None, Some(" ./sub/../a.jsonl"), &["store/a.jsonl"]),
        (None, Some("../store/a.jsonl"), &["store/a.jsonl"]),
        (None, Some("..odd.jsonl"), &["store/..odd.jsonl"]),
        (None, Some("links/c.jsonl"), &["store/sub/c.jsonl"]),
        (
            None,
            Some("folder.jsonl/deep/e.jsonl"),
            &["store/sub/deep/e.jsonl"],
        ),
        (None, Some("deep.jsonl"), &["store/sub/deep/e.jsonl"]),
        (None, Some("home/home/chain.jsonl"), &["store/a.jsonl"]),
        (None, Some("away/back.jsonl"), &["store/a.jsonl"]),
        (None, Some("../outside/back.jsonl"), &["store/a.jsonl"]),
        (None, Some("{ROOT}/outside/back.jsonl"), &["store/a.jsonl"]),
        (
            None,
            Some("{ROOT}/outside/store/a.jsonl"),
            &["store/a.jsonl"],
        ),
        (
            None,
            Some("{ROOT}/outside/store/in.jsonl"),
            &["store/a.jsonl"],
        ),
        (None, Some("nowhere/a.jsonl"), &[]),
        (None, Some("a.jsonl/a.jsonl"), &[]),
        (None, Some("a.jsonl\0"), &[]),
        (None, Some("."), &[]),
        (None, Some("/"), &[]),
    ];
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    for (session_id, session_file, expected) in cases {
        let mut references = References::new(&folder);
        references.add(*session_id, rooted(&tree, *session_file).as_deref());
        let references = references.settle(&mut Listings::new(0.0)).unwrap();
        let mut protected = tree.real_files();
        protected.retain(|path| references.has_path(&tree.at(path)));
        assert_eq!(protected, *expected, "{session_id:?} {session_file:?}");
    }
}

#[test]
fn session_ids_are_compared_as_they_stand() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    let mut references = References::new(&folder);
    for id in ["a", " b ", "a/b", "", "a"] {
        references.add(Some(id), None);
    }
    let references = references.settle(&mut Listings::new(0.0)).unwrap();
    for id in ["a", " b ", "a/b"] {
        assert!(references.has_session(id), "{id:?}");
    }
    for id in ["", "A", " a", "b", "a/b/"] {
        assert!(!references.has_session(id), "{id:?}");
    }
}

#[test]
fn a_link_that_appears_after_the_survey_still_protects_its_target() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    let mut references = References::new(&folder);
    references.add(Some("late"), None);
    tree.link("store/late.jsonl", "b.jsonl");
    let references = references.settle(&mut Listings::new(0.0)).unwrap();
    assert!(references.has_path(&tree.at("store/b.jsonl")));
}

#[test]
fn a_link_in_a_folder_that_may_be_entered_but_not_listed_protects_its_target() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may list every folder");
        return;
    }
    let tree = odd_tree();
    let outside = tree.at("outside");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o100)).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    let mut references = References::new(&folder);
    references.add(None, Some("away/back.jsonl"));
    let references = references.settle(&mut Listings::new(0.0));
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(references.unwrap().has_path(&tree.at("store/a.jsonl")));
}

#[test]
fn archiving_never_overwrites_an_archive() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    tree.file(&format!("a.jsonl.deleted.{STAMP}"));
    tree.folder("a.jsonl.deleted.2026-03-01T12-00-00.001Z");
    tree.link("a.jsonl.deleted.2026-03-01T12-00-00.002Z", "nowhere");
    let mut expected = tree.all();
    let moved = expected.remove("a.jsonl").unwrap();
    expected.insert("a.jsonl.deleted.2026-03-01T12-00-00.003Z".to_owned(), moved);

    let mut archive = Archive::new(&Os);
    assert!(archive.add(&transcript, NOON));
    assert_eq!(archive.len(), 1);
    assert_eq!(tree.all(), expected);
}

#[test]
fn a_transcript_whose_archive_names_are_all_taken_stays_and_is_reported() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    let taken = Faulty::new(|call, _| match call {
        "rename_no_replace" => Some(ErrorKind::AlreadyExists),
        _ => None,
    });
    let mut archive = Archive::new(&taken);
    assert!(!archive.add(&transcript, NOON));
    let path = transcript.display();
    assert_eq!(
        archive.warnings(),
        [format!(
            "cannot archive {path}: all its archive names are taken"
        )]
    );
    assert!(archive.is_empty() && transcript.exists());
}

#[test]
fn what_is_missing_is_skipped_and_what_fails_stops_no_other() {
    let tree = Tree::new();
    let paths = ["a.jsonl", "stuck.jsonl", "b.jsonl"].map(|name| tree.file(name));
    let mut expected = tree.all();
    for name in ["a.jsonl", "b.jsonl"] {
        let file = expected.remove(name).unwrap();
        expected.insert(format!("{name}.deleted.{STAMP}"), file);
    }
    let stuck = Faulty::new(|call, path| {
        let is_stuck = call == "rename_no_replace" && path.ends_with("stuck.jsonl");
        is_stuck.then_some(ErrorKind::PermissionDenied)
    });
    let mut archive = Archive::new(&stuck);
    assert!(!archive.add(&tree.at("missing.jsonl"), NOON));
    assert!(!archive.add(&tree.at("a.jsonl/missing.jsonl"), NOON));
    let archived = paths.each_ref().map(|path| archive.add(path, NOON));
    assert_eq!(archived, [true, false, true]);
    assert!(!archive.add(&paths[0], NOON), "it is gone already");

    assert_eq!(tree.all(), expected);
    let path = paths[1].display();
    assert_eq!(
        archive.warnings(),
        [format!("cannot archive {path}: EACCES: permission denied")]
    );
}

#[test]
fn the_folders_are_those_in_which_something_was_archived() {
    let tree = odd_tree();
    let mut archive = Archive::new(&Os);
    for path in [
        "store/a.jsonl",
        "store/sub/c.jsonl",
        "store/b.jsonl",
        "store-2/no.jsonl",
    ] {
        archive.add(&tree.at(path), NOON);
    }
    let folders: Vec<_> = archive.folders().collect();
    assert_eq!(folders, [tree.at("store"), tree.at("store/sub")]);
    assert_eq!(archive.len(), 3);
}

#[test]
fn a_folder_that_cannot_be_synced_is_an_error_and_the_others_are_synced() {
    let tree = odd_tree();
    let system = Faulty::new(|call, path| {
        let fails = call == "sync_folder" && path.ends_with("store");
        fails.then_some(ErrorKind::StorageFull)
    });
    let mut archive = Archive::new(&system);
    archive.add(&tree.at("store/a.jsonl"), NOON);
    archive.add(&tree.at("store/sub/c.jsonl"), NOON);
    let elsewhere = tree.at("elsewhere");
    let error = archive.sync_outside(&elsewhere).unwrap_err().to_string();
    let store = tree.at("store");
    assert!(
        error.starts_with(&format!("cannot sync {}: ", store.display())),
        "{error}"
    );
    let sub = tree.at("store/sub");
    assert_eq!(system.calls("sync_folder"), [&*store, &*sub]);

    archive.sync_outside(&store).unwrap();
    assert_eq!(system.calls("sync_folder"), [&*store, &*sub, &*sub]);
}

#[test]
fn undoing_puts_every_transcript_back_where_it_was() {
    let tree = odd_tree();
    let before = tree.all();
    let mut archive = Archive::new(&Os);
    for path in [
        "store/a.jsonl",
        "store/b.jsonl",
        "store/hard.jsonl",
        "store/sub/c.jsonl",
    ] {
        assert!(archive.add(&tree.at(path), NOON));
    }
    assert_ne!(tree.all(), before);
    assert!(archive.undo().is_empty());
    assert_eq!(tree.all(), before);
}

#[test]
fn undoing_goes_backwards_and_never_overwrites() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    let system = Faulty::new(|_, _| None);
    let mut archive = Archive::new(&system);
    archive.add(&transcript, NOON);
    // A second transcript under the same name, as when the session wrote on meanwhile.
    tree.file_of("a.jsonl", b"second");
    archive.add(&transcript, NOON);
    system.forget_calls();

    let warnings = archive.undo();
    let second = tree.at("a.jsonl.deleted.2026-03-01T12-00-00.001Z");
    let first = tree.at(&format!("a.jsonl.deleted.{STAMP}"));
    assert_eq!(system.calls("rename_no_replace"), [second, first.clone()]);
    assert_eq!(fs::read(&transcript).unwrap(), b"second");
    assert_eq!(fs::read(&first).unwrap(), b"a.jsonl");
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    let start = format!("cannot undo the archiving of {}: ", transcript.display());
    assert!(warning.starts_with(&start), "{warning}");
    let end = format!("its contents are in {}", first.display());
    assert!(warning.ends_with(&end), "{warning}");
}

#[test]
fn where_renaming_cannot_refuse_to_replace_it_looks_first() {
    let tree = Tree::new();
    let transcript = tree.file("a.jsonl");
    tree.file(&format!("a.jsonl.deleted.{STAMP}"));
    let before = tree.all();
    let old = Faulty::new(|call, _| match call {
        "rename_no_replace" => Some(ErrorKind::Unsupported),
        _ => None,
    });
    let mut archive = Archive::new(&old);
    assert!(archive.add(&transcript, NOON));
    assert!(tree.at("a.jsonl.deleted.2026-03-01T12-00-00.001Z").exists());
    assert!(archive.undo().is_empty());
    assert_eq!(tree.all(), before);
}

#[test]
fn archives_are_deleted_once_their_stamp_is_before_the_cutoff() {
    let tree = Tree::new();
    let expired = [
        "a.jsonl.deleted.2026-03-01T11-59-59.999Z",
        "x.deleted.2026-03-01T11-59-59Z",
        ".deleted.2026-03-01T11-59-59Z",
        "a.deleted.b.deleted.2026-01-20T12-00-00.000Z",
        "a.deleted.2027-01-20T12-00-00.000Z.deleted.2026-01-20T12-00-00.000Z",
        "notes.txt.deleted.2026-01-20T12-00-00.000Z",
        "v.deleted.2025-01-01T24-00-00.000Z",
        "w.deleted.1969-12-31T23-59-59.999Z",
    ];
    let staying = [
        "a.jsonl",
        "a.jsonl.deleted.2026-03-01T12-00-00.000Z",
        "x.deleted.2026-03-01T12-00-00Z",
        "a.deleted.2026-01-20T12-00-00.000Z.deleted.2027-01-20T12-00-00.000Z",
        "w.deleted.2026-01-20T12-00-00.000Z.jsonl",
        "z.deleted.notatime",
        "z.deleted.",
        "u.deleted.2025-01-01T23-59-60Z",
        "u.deleted.2026-13-01T10-00-00.000Z",
        "u.deleted.2026-01-20T12:00:00.000Z",
        "u.deleted.2026-01-20T12-00-00.00Z",
        "u.deleted.2026-01-20T12-00-00.000z",
        "u.deleted.2026-01-20T12-00-00.000",
        "u.deleted.2026-01-20",
        "u.deleted. 2026-01-20T12-00-00.000Z",
        "u.DELETED.2026-01-20T12-00-00.000Z",
        "u.reset.2026-01-20T12-00-00.000Z",
        "u.jsonl.bak.2026-01-20T12-00-00.000Z",
        "deleted.2026-01-20T12-00-00.000Z",
        "sub/a.deleted.2026-01-20T12-00-00.000Z",
    ];
    for name in expired.into_iter().chain(staying) {
        tree.file(name);
    }
    tree.folder("dir.deleted.2026-01-20T12-00-00.000Z");
    tree.fifo("fifo.deleted.2026-01-20T12-00-00.000Z");
    tree.link("link.deleted.2026-01-20T12-00-00.000Z", "a.jsonl");
    let mut expected = tree.all();
    for name in expired {
        expected.remove(name);
    }

    let removed = remove_expired(&Os, tree.root(), 1_772_366_400_000.0).unwrap();
    assert_eq!(tree.all(), expected);
    // Each holds its own name.
    let bytes = expired.iter().map(|name| name.len()).sum::<usize>();
    assert_eq!(
        removed,
        Tally {
            files: expired.len() as u64,
            bytes: bytes as u64
        }
    );
}

#[test]
fn an_archive_exactly_as_old_as_the_retention_stays() {
    let tree = Tree::new();
    tree.file(&format!("a.jsonl.deleted.{STAMP}"));
    for (cutoff, removed) in [
        (f64::NAN, 0),
        (f64::NEG_INFINITY, 0),
        (1_772_366_399_999.75, 0),
        (1_772_366_400_000.0, 0),
        (1_772_366_400_000.25, 1),
    ] {
        let told = archive::count(expired(tree.root(), cutoff).unwrap());
        let count = remove_expired(&Os, tree.root(), cutoff).unwrap();
        assert_eq!(count.files, removed, "{cutoff}");
        assert_eq!(told, count, "{cutoff}");
    }
}

#[test]
fn an_archive_that_cannot_be_deleted_stops_no_other() {
    let tree = Tree::new();
    for name in ["a", "stuck", "b"] {
        tree.file(&format!("{name}.deleted.2026-01-20T12-00-00.000Z"));
    }
    let stuck = Faulty::new(|call, path| {
        let is_stuck = call == "unlink" && path.to_str().unwrap().contains("stuck");
        is_stuck.then_some(ErrorKind::PermissionDenied)
    });
    assert_eq!(
        remove_expired(&stuck, tree.root(), f64::INFINITY)
            .unwrap()
            .files,
        2
    );
    assert_eq!(tree.all().len(), 1);
}

#[test]
fn a_folder_that_cannot_be_listed_is_an_error_and_a_missing_one_is_empty() {
    let tree = Tree::new();
    let none = remove_expired(&Os, &tree.at("gone"), 0.0).unwrap();
    assert_eq!(none, Tally::default());
    let too_long = tree.at(&"x".repeat(300));
    let error = remove_expired(&Os, &too_long, 0.0).unwrap_err().to_string();
    let start = format!("cannot list {}: ", too_long.display());
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn a_folder_is_listed_only_once() {
    let tree = Tree::new();
    tree.file("a.deleted.2026-01-20T12-00-00.000Z");
    let mut listings = Listings::new(f64::INFINITY);
    assert_eq!(listings.of(tree.root()).unwrap().old_archives.len(), 1);
    tree.file("b.deleted.2026-01-20T12-00-00.000Z");
    assert_eq!(listings.of(tree.root()).unwrap().old_archives.len(), 1);
}

#[test]
#[ignore = "a measurement: cargo test --test transcripts -- --ignored --nocapture"]
fn what_a_file_costs() {
    const FILES: u32 = 10_000;
    const ARCHIVES: u32 = 100_000;
    let per_file = |what: &str, files: u32, started: Instant| {
        let micros = started.elapsed().as_secs_f64() * 1e6 / f64::from(files);
        eprintln!("{what}: {micros:.2} µs a file");
        assert!(micros <= 40.0, "{what}");
    };
    let tree = Tree::new();
    let id = |n: u32| format!("00000000-0000-4000-8000-{n:012}");
    for n in 0..FILES {
        tree.file_of(&format!("{}.jsonl", id(n)), b"");
    }
    let folder = Folder::of(&tree.at("sessions.json")).unwrap();

    let started = Instant::now();
    let mut references = References::new(&folder);
    for n in FILES..2 * FILES {
        let file = tree.at(&format!("{}.jsonl", id(n)));
        references.add(Some(&id(n)), file.to_str());
    }
    per_file("references, add", FILES, started);
    let started = Instant::now();
    let references = references.settle(&mut Listings::new(0.0)).unwrap();
    per_file("references, settle", FILES, started);

    let started = Instant::now();
    let mut found = Vec::new();
    for n in 0..FILES {
        found.extend(folder.transcripts(Some(&id(n)), Some(&format!("{}.jsonl", id(n)))));
    }
    per_file("locate", FILES, started);
    let started = Instant::now();
    let mut archive = Archive::new(&Os);
    for Transcript { path, .. } in &found {
        assert!(!references.has_path(path) && archive.add(path, NOON));
    }
    per_file("archive", FILES, started);
    let started = Instant::now();
    assert!(archive.undo().is_empty());
    per_file("undo", FILES, started);

    for n in 0..ARCHIVES {
        let name = format!("{}.jsonl.deleted.2026-01-20T12-00-00.000Z", id(n));
        tree.file_of(&name, b"");
    }
    let started = Instant::now();
    let removed = remove_expired(&Os, tree.root(), f64::INFINITY).unwrap();
    per_file("remove expired", ARCHIVES, started);
    assert_eq!(removed.files, u64::from(ARCHIVES));
}
