//! Which files of a tree a removed session moves, and that it moves no other file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{Case, NO_PATHS, NOON, STAMP, odd_tree, rooted};
use crate::abort::Abort;
use crate::system::Os;
use crate::testing::{Faulty, Tree};
use crate::transcripts::archive::Archive;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{Folder, Transcript};
use crate::transcripts::outside::OutsideLookups;
use crate::transcripts::references::References;

fn paths(transcripts: &[Transcript]) -> Vec<PathBuf> {
    transcripts.iter().map(|it| it.path.clone()).collect()
}

/// Archives the transcripts of each case in a new tree and compares the whole tree.
fn assert_moves(cases: &[Case<'_>]) {
    for (session_id, session_file, moved) in cases {
        let tree = odd_tree();
        let mut expected = tree.all();
        let folder = Folder::of(&tree.at("store/sessions.json"));
        let session_file = rooted(&tree, *session_file);
        let mut archive = Archive::new(&Os);
        for transcript in folder.transcripts(
            &Os,
            &OutsideLookups::new(),
            *session_id,
            session_file.as_deref(),
        ) {
            archive.add(&transcript.path, NOON);
        }
        for path in *moved {
            let file = expected.remove(*path).unwrap();
            expected.insert(format!("{path}.deleted.{STAMP}"), file);
        }
        let case = format!("{session_id:?} {session_file:?}");
        assert!(
            tree.all() == expected,
            "{case:.200}\n{:#?}",
            tree.changes(&expected)
        );
    }
    println!("{} path tricks", cases.len());
}

#[test]
fn a_transcript_has_the_links_at_which_its_session_names_it() {
    let tree = Tree::new();
    tree.file("store/sub/y.jsonl");
    tree.link("store/a.jsonl", "sub/y.jsonl");
    tree.link("store/sub/b.jsonl", "y.jsonl");
    tree.link("store/linked", "sub");
    let folder = Folder::of(&tree.at("store/sessions.json"));
    for (session_id, session_file, links) in [
        ("none", "sub/y.jsonl", &[][..]),
        ("none", "linked/y.jsonl", &[]),
        ("a", "sub/y.jsonl", &["store/a.jsonl"]),
        ("none", "a.jsonl", &["store/a.jsonl"]),
        ("none", "linked/b.jsonl", &["store/sub/b.jsonl"]),
        ("a", "sub/b.jsonl", &["store/sub/b.jsonl", "store/a.jsonl"]),
    ] {
        let lookups = OutsideLookups::new();
        let found = folder.transcripts(&Os, &lookups, Some(session_id), Some(session_file));
        assert_eq!(paths(&found), [tree.at("store/sub/y.jsonl")]);
        let links: Vec<_> = links.iter().map(|link| tree.at(link)).collect();
        assert_eq!(found[0].links, links, "{session_file}");
    }
}

#[test]
fn a_session_id_moves_only_its_own_transcript() {
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
fn a_relative_session_file_moves_only_a_file_inside_the_folder() {
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
fn a_session_file_that_is_a_link_moves_its_target_if_that_is_inside_the_folder() {
    assert_moves(&[
        (None, Some("in.jsonl"), &["store/a.jsonl"]),
        (None, Some("chain.jsonl"), &["store/a.jsonl"]),
        (None, Some("deep.jsonl"), &["store/sub/deep/e.jsonl"]),
        (None, Some("plain"), &["store/b.jsonl"]),
        (None, Some("links/c.jsonl"), &["store/sub/c.jsonl"]),
        (None, Some("folder.jsonl/c.jsonl"), &["store/sub/c.jsonl"]),
        (None, Some("home/home/a.jsonl"), &["store/a.jsonl"]),
        (None, Some("links/../a.jsonl"), &["store/a.jsonl"]),
        // The first link leads outside, where nothing is accessed unless the folder has its name.
        (None, Some("away/back.jsonl"), &[]),
        (None, Some("away/store/a.jsonl"), &["store/a.jsonl"]),
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
fn an_absolute_session_file_moves_only_a_file_inside_the_folder() {
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
        (None, Some("{ROOT}/outside/back.jsonl"), &[]),
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
fn both_transcripts_of_a_session_move_once() {
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
fn the_session_file_is_returned_before_the_file_of_the_id() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    assert_eq!(
        paths(&folder.transcripts(&Os, &OutsideLookups::new(), Some("a"), Some("b.jsonl"))),
        [tree.at("store/b.jsonl"), tree.at("store/a.jsonl")]
    );
}

#[test]
fn a_folder_that_is_a_link_is_recognised_by_both_paths() {
    let tree = odd_tree();
    tree.link("alias", "store");
    let folder = Folder::of(&tree.at("alias/sub/../sessions.json"));
    assert_eq!(folder.named, tree.at("alias"));
    assert_eq!(folder.real(), tree.at("store"));
    let file = |path: &str| {
        paths(&folder.transcripts(&Os, &OutsideLookups::new(), None, tree.at(path).to_str()))
    };
    assert_eq!(file("alias/a.jsonl"), [tree.at("store/a.jsonl")]);
    assert_eq!(file("store/a.jsonl"), [tree.at("store/a.jsonl")]);
    assert_eq!(file("outside/store/a.jsonl"), [tree.at("store/a.jsonl")]);
    assert_eq!(file("alias/sessions.json"), NO_PATHS);
}

#[test]
fn a_store_named_like_a_transcript_is_not_moved() {
    let tree = odd_tree();
    tree.link("store/store.jsonl", "a.jsonl");
    for store in ["store/a.jsonl", "store/store.jsonl"] {
        let folder = Folder::of(&tree.at(store));
        for file in ["a.jsonl", "store.jsonl", "in.jsonl", "chain.jsonl"] {
            let found = folder.transcripts(&Os, &OutsideLookups::new(), Some("a"), Some(file));
            assert_eq!(found, [], "{store} {file}");
        }
    }
}

#[test]
fn a_file_in_a_subfolder_without_permissions_is_not_found() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root can enter every folder");
        return;
    }
    let tree = odd_tree();
    let sub = tree.at("store/sub");
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o000)).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let found = folder.transcripts(&Os, &OutsideLookups::new(), Some("a"), Some("sub/c.jsonl"));
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(paths(&found), [tree.at("store/a.jsonl")]);
}

#[test]
fn an_outside_session_file_is_accessed_only_if_its_name_is_in_the_folder() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let system = Faulty::new(|_, _| None);
    let lookups = OutsideLookups::new();
    let find = |file: &str| {
        let file = rooted(&tree, Some(file));
        paths(&folder.transcripts(&system, &lookups, None, file.as_deref()))
    };
    for file in [
        "/net/unreachable/o.jsonl",
        "{ROOT}/outside/o.jsonl",
        "{ROOT}/outside/back.jsonl",
        "sub/../../outside/o.jsonl",
    ] {
        assert_eq!(find(file), NO_PATHS, "{file}");
    }
    assert_eq!(system.calls_outside(folder.real()), NO_PATHS);

    let alias = "{ROOT}/outside/store/a.jsonl";
    assert_eq!(find(alias), [tree.at("store/a.jsonl")]);
    lookups.end();
    assert_eq!(find(alias), NO_PATHS);
}

#[test]
fn a_session_file_that_is_too_deep_is_not_resolved() {
    let tree = Tree::new();
    let folder = Folder::of(&tree.file("store/sessions.json"));
    let system = Faulty::new(|_, _| None);
    let lookups = OutsideLookups::new();
    for (folders, found) in [(31, 1), (32, 0), (500, 0)] {
        let file = tree.file(&format!("store/{}a.jsonl", "d/".repeat(folders)));
        system.forget_calls();
        let transcripts = folder.transcripts(&system, &lookups, None, file.to_str());
        assert_eq!(transcripts.len(), found, "{folders}");
        assert_eq!(system.calls("stat").is_empty(), found == 0, "{folders}");
    }
}

/// A link can lead to a file system that no longer responds.
#[test]
fn a_link_that_leads_outside_is_not_followed() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let system = Faulty::new(|_, _| None);
    for (id, file) in [
        ("out", "out.jsonl"),
        ("a", "away/o.jsonl"),
        ("a", "away/back.jsonl"),
    ] {
        let lookups = OutsideLookups::new();
        folder.transcripts(&system, &lookups, Some(id), Some(file));
        let mut references = References::new(&system, &folder);
        references.add(Some(id), Some(file));
        let transcripts = folder.transcripts(&system, &lookups, Some("b"), None);
        let mut listings = Listings::new(0.0, &Abort::default());
        references
            .unreferenced(transcripts, &mut listings, &lookups)
            .unwrap();
    }
    assert_eq!(system.calls_outside(folder.real()), NO_PATHS);
}

#[test]
fn an_absolute_link_that_names_the_folder_as_the_store_does_leads_inside() {
    let tree = Tree::new();
    tree.file("real/sub/a.jsonl");
    tree.link("named", "real");
    tree.link(
        "real/l.jsonl",
        tree.at("named/sub/../sub/a.jsonl").to_str().unwrap(),
    );
    let folder = Folder::of(&tree.at("named/sessions.json"));
    // It needs no look-up outside the folder.
    let lookups = OutsideLookups::new();
    lookups.end();
    let found = folder.transcripts(&Os, &lookups, Some("l"), None);
    assert_eq!(paths(&found), [tree.at("real/sub/a.jsonl")]);
    assert_eq!(found[0].links, [tree.at("real/l.jsonl")]);
}
