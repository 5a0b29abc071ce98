//! Which files of a tree a kept entry protects.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use super::{Case, NO_PATHS, odd_tree, rooted};
use crate::abort::Abort;
use crate::system::{Os, System};
use crate::testing::{Faulty, Tree};
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{Folder, Transcript, file_id};
use crate::transcripts::outside::OutsideLookups;
use crate::transcripts::references::References;

fn transcript(tree: &Tree, file: &str) -> Transcript {
    let path = tree.at(file);
    let stat = Os.stat(&path).unwrap();
    Transcript {
        links: Vec::new(),
        bytes: stat.size,
        id: file_id(&stat).unwrap(),
        path,
    }
}

/// Returns those of the tree's files that the references protect.
fn protected(tree: &Tree, references: References<'_, Os>) -> Vec<String> {
    let mut files = tree.real_files();
    let transcripts = files.iter().map(|file| transcript(tree, file)).collect();
    let unreferenced = references
        .unreferenced(
            transcripts,
            &mut Listings::new(0.0, &Abort::default()),
            &OutsideLookups::new(),
        )
        .unwrap();
    files.retain(|file| !unreferenced.iter().any(|it| it.path == tree.at(file)));
    files
}

#[test]
fn a_kept_entry_protects_its_transcripts_in_every_spelling() {
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
        (
            Some(".hidden"),
            Some(".hidden.jsonl"),
            &["store/.hidden.jsonl"],
        ),
        (Some("a"), Some("a.jsonl"), &["store/a.jsonl"]),
        (
            Some("a"),
            Some("x y.jsonl"),
            &["store/a.jsonl", "store/x y.jsonl"],
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
        // The first link leads outside, where only a file of a transcript's name is accessed.
        (None, Some("away/back.jsonl"), &[]),
        (None, Some("away/store/a.jsonl"), &["store/a.jsonl"]),
        (None, Some("../outside/back.jsonl"), &[]),
        (None, Some("{ROOT}/outside/back.jsonl"), &[]),
        (
            None,
            Some("{ROOT}/outside/store/a.jsonl"),
            &["store/a.jsonl"],
        ),
        (None, Some("{ROOT}/outside/store/in.jsonl"), &[]),
        (None, Some("nowhere/a.jsonl"), &[]),
        (None, Some("a.jsonl/a.jsonl"), &[]),
        (None, Some("a.jsonl\0"), &[]),
        (None, Some("."), &[]),
        (None, Some("/"), &[]),
    ];
    let folder = Folder::of(&tree.at("store/sessions.json"));
    for (session_id, session_file, expected) in cases {
        let mut references = References::new(&Os, &folder);
        references.add(*session_id, rooted(&tree, *session_file).as_deref());
        let protected = protected(&tree, references);
        assert_eq!(protected, *expected, "{session_id:?} {session_file:?}");
    }
}

#[test]
fn session_ids_are_compared_without_trimming() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let mut references = References::new(&Os, &folder);
    for id in ["a", " b ", "a/b", "", "a"] {
        references.add(Some(id), None);
    }
    for id in ["a", " b ", "a/b"] {
        assert!(references.has_id(references.hash_id(id)), "{id:?}");
    }
    for id in ["", "A", " a", "b", "a/b/"] {
        assert!(!references.has_id(references.hash_id(id)), "{id:?}");
    }
}

#[test]
fn a_link_created_after_its_entry_was_added_protects_its_target() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let mut references = References::new(&Os, &folder);
    references.add(Some("late"), None);
    tree.link("store/late.jsonl", "x y.jsonl");
    assert_eq!(protected(&tree, references), ["store/x y.jsonl"]);
}

#[test]
fn a_link_in_a_folder_that_cannot_be_listed_protects_its_target() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root can list every folder");
        return;
    }
    let tree = odd_tree();
    tree.link("store/sub/late.jsonl", "../a.jsonl");
    let sub = tree.at("store/sub");
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o100)).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let mut references = References::new(&Os, &folder);
    references.add(None, Some("links/late.jsonl"));
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(protected(&tree, references), ["store/a.jsonl"]);
}

#[test]
fn a_file_is_protected_through_every_path_that_leads_to_it() {
    let tree = odd_tree();
    // Hard links have the same device and inode, as the two paths of a bind mount do.
    fs::hard_link(tree.at("store/a.jsonl"), tree.at("store/sub/alias.jsonl")).unwrap();
    fs::hard_link(tree.at("store/x y.jsonl"), tree.at("store/sub/x y.jsonl")).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json"));

    let mut references = References::new(&Os, &folder);
    references.add(None, Some("sub/alias.jsonl"));
    let expected = ["store/a.jsonl", "store/sub/alias.jsonl"];
    assert_eq!(protected(&tree, references), expected);

    let mut references = References::new(&Os, &folder);
    references.add(None, Some("x y.jsonl"));
    let expected = ["store/sub/x y.jsonl", "store/x y.jsonl"];
    assert_eq!(protected(&tree, references), expected);
}

#[test]
fn a_session_file_outside_the_folder_is_not_accessed() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let system = Faulty::new(|_, _| None);
    let mut references = References::new(&system, &folder);
    for file in [
        "/net/unreachable/o.jsonl",
        "../outside/o.jsonl",
        "sub/../../outside/back.jsonl",
        "{ROOT}/outside/store/in.jsonl",
        "{ROOT}/outside/store/sub/deep/e.jsonl",
    ] {
        references.add(Some(file), rooted(&tree, Some(file)).as_deref());
    }
    let mut listings = Listings::new(0.0, &Abort::default());
    let transcripts = ["store/a.jsonl", "store/b.jsonl"].map(|it| transcript(&tree, it));
    let unreferenced = references
        .unreferenced(transcripts.to_vec(), &mut listings, &OutsideLookups::new())
        .unwrap();
    assert_eq!(unreferenced, transcripts);
    assert_eq!(system.calls_outside(folder.real()), NO_PATHS);
    let listed: Vec<_> = listings.listed.keys().collect();
    assert_eq!(listed, [folder.real()]);
}

#[test]
fn an_outside_file_named_like_a_transcript_protects_it_if_it_is_the_same_file() {
    let tree = odd_tree();
    // Like the second path of a bind mount.
    fs::hard_link(tree.at("store/x y.jsonl"), tree.at("outside/x y.jsonl")).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json"));
    let unreferenced = |system: &Faulty, name: &str, session_file: &str| {
        let mut references = References::new(system, &folder);
        references.add(None, tree.at(session_file).to_str());
        let transcripts = vec![transcript(&tree, name)];
        let lookups = OutsideLookups::new();
        let unreferenced = references
            .unreferenced(
                transcripts,
                &mut Listings::new(0.0, &Abort::default()),
                &lookups,
            )
            .unwrap();
        unreferenced.len()
    };
    let real = Faulty::new(|_, _| None);
    for (name, session_file, expected) in [
        ("store/x y.jsonl", "outside/x y.jsonl", 0),
        ("store/a.jsonl", "outside/store/a.jsonl", 0),
        ("store/a.jsonl", "outside/a.jsonl", 1),
        ("store/a.jsonl", "nowhere/a.jsonl", 1),
        ("store/a.jsonl", "outside/A.jsonl", 1),
    ] {
        let unreferenced = unreferenced(&real, name, session_file);
        assert_eq!(unreferenced, expected, "{session_file}");
    }
    let unreadable = Faulty::new(|call, path| {
        let fails = call == "stat_following" && path.ends_with("outside/a.jsonl");
        fails.then_some(ErrorKind::PermissionDenied)
    });
    let unreferenced = unreferenced(&unreadable, "store/a.jsonl", "outside/a.jsonl");
    assert_eq!(unreferenced, 0, "it can be the same file");
}

/// Returns how many of 100 transcripts, each named like another file outside the folder that is
/// referenced, are unreferenced, and how many paths outside the folder were accessed.
fn aliases(lookups: &OutsideLookups) -> (usize, usize) {
    let tree = Tree::new();
    let folder = Folder::of(&tree.file("store/sessions.json"));
    let system = Faulty::new(|_, _| None);
    let mut references = References::new(&system, &folder);
    let mut transcripts = Vec::new();
    for n in 0..100 {
        let file = format!("store/{n}.jsonl");
        tree.file(&file);
        transcripts.push(transcript(&tree, &file));
        let other = tree.file(&format!("other/{n}.jsonl"));
        references.add(None, other.to_str());
    }
    let unreferenced = references
        .unreferenced(
            transcripts,
            &mut Listings::new(0.0, &Abort::default()),
            lookups,
        )
        .unwrap();
    let accessed = system.calls_outside(folder.real());
    (unreferenced.len(), accessed.len())
}

#[test]
fn a_bounded_number_of_outside_files_is_accessed_and_the_others_count_as_references() {
    assert_eq!(aliases(&OutsideLookups::new()), (64, 64));
}

#[test]
fn no_outside_file_is_accessed_once_look_ups_have_ended() {
    let lookups = OutsideLookups::new();
    lookups.end();
    assert_eq!(aliases(&lookups), (0, 0));
}

#[test]
fn the_folders_on_the_way_to_a_session_file_are_examined_once() {
    let tree = Tree::new();
    let folder = Folder::of(&tree.file("store/sessions.json"));
    let deep = format!("store/{}", "d/".repeat(30));
    tree.file(&format!("{deep}a.jsonl"));
    let system = Faulty::new(|_, _| None);
    let mut references = References::new(&system, &folder);
    for (name, calls) in [
        ("a.jsonl", 31),
        ("a.jsonl", 0),
        ("missing.jsonl", 1),
        ("missing/a.jsonl", 1),
        ("../b.jsonl", 1),
    ] {
        system.forget_calls();
        references.add(None, tree.at(&format!("{deep}{name}")).to_str());
        assert_eq!(system.calls("stat").len(), calls, "{name}");
    }
}

#[test]
fn a_session_file_that_is_too_deep_costs_no_system_call() {
    let tree = Tree::new();
    let folder = Folder::of(&tree.file("store/sessions.json"));
    let deep = tree.file(&format!("store/{}a.jsonl", "d/".repeat(500)));
    let system = Faulty::new(|_, _| None);
    let mut references = References::new(&system, &folder);
    references.add(None, deep.to_str());
    assert_eq!(system.calls("stat"), NO_PATHS);
    let transcripts = vec![Transcript {
        path: deep,
        links: Vec::new(),
        bytes: 0,
        id: (0, 0),
    }];
    let lookups = OutsideLookups::new();
    let unreferenced = references.unreferenced(
        transcripts,
        &mut Listings::new(0.0, &Abort::default()),
        &lookups,
    );
    assert_eq!(unreferenced.unwrap(), []);
}
