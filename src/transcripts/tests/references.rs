//! Which files of a tree a kept entry protects.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Case, odd_tree, rooted};
use crate::system::{Os, System};
use crate::testing::Tree;
use crate::transcripts::listing::Listings;
use crate::transcripts::locate::{Folder, Transcript, file_id};
use crate::transcripts::references::References;

fn transcript(tree: &Tree, file: &str) -> Transcript {
    let path = tree.at(file);
    let stat = Os.stat(&path).unwrap();
    Transcript {
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
        .unreferenced(transcripts, &mut Listings::new(0.0))
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
        let mut references = References::new(&Os, &folder);
        references.add(*session_id, rooted(&tree, *session_file).as_deref());
        let protected = protected(&tree, references);
        assert_eq!(protected, *expected, "{session_id:?} {session_file:?}");
    }
}

#[test]
fn session_ids_are_compared_without_trimming() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    let mut references = References::new(&Os, &folder);
    for id in ["a", " b ", "a/b", "", "a"] {
        references.add(Some(id), None);
    }
    for id in ["a", " b ", "a/b"] {
        assert!(references.has_session(id), "{id:?}");
    }
    for id in ["", "A", " a", "b", "a/b/"] {
        assert!(!references.has_session(id), "{id:?}");
    }
}

#[test]
fn a_link_created_after_its_entry_was_added_protects_its_target() {
    let tree = odd_tree();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
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
    let outside = tree.at("outside");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o100)).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();
    let mut references = References::new(&Os, &folder);
    references.add(None, Some("away/back.jsonl"));
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(protected(&tree, references), ["store/a.jsonl"]);
}

#[test]
fn a_file_is_protected_through_every_path_that_leads_to_it() {
    let tree = odd_tree();
    // Hard links have the same device and inode, as the two paths of a bind mount do.
    fs::hard_link(tree.at("store/a.jsonl"), tree.at("store/sub/alias.jsonl")).unwrap();
    fs::hard_link(tree.at("store/x y.jsonl"), tree.at("store/sub/x y.jsonl")).unwrap();
    let folder = Folder::of(&tree.at("store/sessions.json")).unwrap();

    let mut references = References::new(&Os, &folder);
    references.add(None, Some("sub/alias.jsonl"));
    let expected = ["store/a.jsonl", "store/sub/alias.jsonl"];
    assert_eq!(protected(&tree, references), expected);

    let mut references = References::new(&Os, &folder);
    references.add(None, Some("x y.jsonl"));
    let expected = ["store/sub/x y.jsonl", "store/x y.jsonl"];
    assert_eq!(protected(&tree, references), expected);
}
