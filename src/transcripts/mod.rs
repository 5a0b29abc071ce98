//! Transcripts and archives: the `*.jsonl` files beside a store, and what becomes of them when
//! their session goes.
//!
//! [`locate`] says which files are a session's, and which of them an entry that stays still points
//! at. [`archive`] renames them away, renames them back if the sweep cannot be finished, and
//! deletes archives that have grown too old.

pub mod archive;
pub mod locate;
