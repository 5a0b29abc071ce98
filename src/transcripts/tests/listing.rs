//! Listings of folders.

use super::{odd_tree, remove_expired};
use crate::abort::Abort;
use crate::error::Error;
use crate::system::Os;
use crate::testing::Tree;
use crate::transcripts::Tally;
use crate::transcripts::listing::Listings;

#[test]
fn an_unlistable_folder_is_an_error_and_a_missing_folder_is_empty() {
    let tree = Tree::new();
    let none = remove_expired(&Os, &tree.at("gone"), 0.0).unwrap();
    assert_eq!(none, Tally::default());
    let too_long = tree.at(&"x".repeat(300));
    let error = remove_expired(&Os, &too_long, 0.0).unwrap_err().to_string();
    let start = format!("cannot list {}: ", too_long.display());
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn a_folder_is_listed_once() {
    let tree = Tree::new();
    tree.file("a.deleted.2026-01-20T12-00-00.000Z");
    let mut listings = Listings::new(f64::INFINITY, &Abort::default());
    assert_eq!(listings.of(tree.root()).unwrap().expired_archives.len(), 1);
    tree.file("b.deleted.2026-01-20T12-00-00.000Z");
    assert_eq!(listings.of(tree.root()).unwrap().expired_archives.len(), 1);
}

#[test]
fn a_listing_contains_temp_files_links_and_expired_archives() {
    let tree = Tree::new();
    for name in ["a.tmp", "b.TMP", "c.tmp.bak", "sub/d.tmp", "e.jsonl"] {
        tree.file(name);
    }
    tree.folder("folder.tmp");
    tree.fifo("fifo.tmp");
    tree.link("link.tmp", "a.tmp");
    tree.file("a.deleted.2026-01-20T12-00-00.000Z");
    tree.folder("b.deleted.2026-01-20T12-00-00.000Z");
    let mut listings = Listings::new(f64::INFINITY, &Abort::default());
    let listing = listings.beside(&tree.at("missing")).unwrap();
    assert_eq!(listing.temp_files, ["a.tmp"]);
    assert_eq!(listing.links, ["link.tmp"]);
    assert_eq!(
        listing.expired_archives,
        ["a.deleted.2026-01-20T12-00-00.000Z"]
    );
}

/// A folder can contain a hundred thousand files.
#[test]
fn an_abort_ends_a_listing_before_the_commit_and_not_after_it() {
    let tree = odd_tree();
    let store = tree.at("store");
    let abort = Abort::default();
    let mut listings = Listings::new(f64::INFINITY, &abort);
    abort.request();
    assert!(matches!(listings.of(&store), Err(Error::Aborted)));
    listings.ignore_abort();
    assert!(!listings.of(&store).unwrap().links.is_empty());
}
