//! Tests of whole trees: which files are moved, protected or deleted, and that no other file is.
#![cfg(unix)]

mod archive;
mod listing;
mod locate;
mod references;

use std::fs;
use std::path::{Path, PathBuf};

use crate::abort::Abort;
use crate::error::Result;
use crate::system::System;
use crate::testing::Tree;
use crate::transcripts::Tally;
use crate::transcripts::archive::remove;
use crate::transcripts::listing::Listings;

/// 2026-03-01T12:00:00.000Z
const NOON: i64 = 1_772_366_400_000;
const STAMP: &str = "2026-03-01T12-00-00.000Z";

const NO_PATHS: [PathBuf; 0] = [];

/// Returns the archives in a folder whose stamp is before the cutoff.
fn expired(folder: &Path, cutoff_ms: f64) -> Result<Vec<PathBuf>> {
    let mut listings = Listings::new(cutoff_ms, &Abort::default());
    let names = &listings.of(folder)?.expired_archives;
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

fn remove_expired(system: &impl System, folder: &Path, cutoff_ms: f64) -> Result<Tally> {
    let expired = expired(folder, cutoff_ms)?;
    Ok(remove(system, expired, &mut Vec::new()))
}

/// Creates a store's folder with every unusual thing to which a path can lead.
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

/// An entry's `sessionId`, its `sessionFile` with `{ROOT}` for the tree's path, and the files to which
/// they lead.
type Case<'c> = (Option<&'c str>, Option<&'c str>, &'c [&'c str]);

fn rooted(tree: &Tree, session_file: Option<&str>) -> Option<String> {
    session_file.map(|file| file.replace("{ROOT}", tree.root().to_str().unwrap()))
}
