//! Scans a store's JSON strictly, in one pass and constant memory, nearly as fast as the file can be
//! read.
//!
//! A [`Scanner`] takes the file in chunks and never goes back. A chunk may end anywhere, even inside
//! an escape sequence or a character. The scanner accepts the text that JavaScript's `JSON.parse`
//! accepts if the root is an object, and it limits neither depth nor size. It reports to a
//! [`Visitor`] only what a sweep needs: each [`Entry`] of the root object, with its `updatedAt`,
//! `sessionId` and `sessionFile`.
//!
//! Most bytes of a store belong to strings. The scanner therefore divides a chunk into blocks of 64
//! bytes. A few vector instructions find the quotes and backslashes of a block as bit masks, so that
//! a block inside a string takes only a few steps. The bytes between strings are read one by one.
//!
//! - `scanner` is the state machine, `block` computes the bit masks;
//! - `entry` holds what is recorded of an entry and how the gateway interprets it.

mod block;
mod entry;
mod scanner;

#[cfg(test)]
mod tests;

pub use entry::{Entry, Key, SessionId};
pub use scanner::Scanner;

/// Receives what a [`Scanner`] finds, in the order of the file. Offsets are in bytes from the start
/// of the file.
pub trait Visitor {
    /// The root object begins. Its `{` ends at `end`.
    fn open(&mut self, end: u64) {
        let _ = end;
    }

    /// An entry's key was read. `start` is the end of the preceding comma or of the root's `{`.
    fn key(&mut self, key: Key<'_>, start: u64) {
        let _ = (key, start);
    }

    /// An entry was read. Its value ends at `end`.
    fn entry(&mut self, entry: &Entry<'_>, end: u64);

    /// The root object ends. Its `}` is at `start`.
    fn close(&mut self, start: u64) {
        let _ = start;
    }
}

/// The first invalid byte of a store and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The byte's offset from the start of the file; the file's size if the file ends too early.
    pub offset: u64,
    /// What was expected at that offset and what was found.
    pub reason: String,
}
