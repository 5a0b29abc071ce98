//! Reads a store from its start and scans it, one chunk at a time.

use std::path::Path;

use crate::abort::Abort;
use crate::error::{Context, Error, Result};
use crate::system::System;

use super::scan::{Broken, Scanner, Visitor};

/// The number of bytes that one read may fill: large enough to make the cost of a system call
/// negligible, small enough for the processor's cache.
pub(crate) const READ_AT_ONCE: usize = 512 * 1024;

/// The page size of common machines, in bytes. On machines with larger pages the code that uses it
/// is correct, but not optimal.
pub(super) const PAGE: usize = 4096;

/// A read buffer that begins at the start of a page.
///
/// Measured on a Zen 3 processor: the kernel copies four times more slowly to an address a few bytes
/// after the start of a page. An allocator returns such an address for a large allocation.
#[derive(Debug)]
pub(crate) struct Buffer {
    size: usize,
    /// Empty until the buffer is used.
    memory: Vec<u8>,
}

impl Buffer {
    /// Returns a buffer of `size` bytes. It allocates no memory until it is used.
    #[must_use]
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            memory: Vec::new(),
        }
    }

    /// Returns the whole buffer.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.memory.resize(self.size + PAGE, 0);
        let start = self.memory.as_ptr().align_offset(PAGE).min(PAGE);
        &mut self.memory[start..start + self.size]
    }
}

/// A store that is open for reading.
#[derive(Debug)]
pub struct Source<'a, S: System> {
    /// The system that reads the file.
    pub system: &'a S,
    /// The open file.
    pub file: &'a S::File,
    /// The file's path, for errors.
    pub path: &'a Path,
    /// Is checked before each read of a pass.
    pub abort: &'a Abort,
}

// A derived implementation would require that `S` implements `Clone`.
impl<S: System> Clone for Source<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: System> Copy for Source<'_, S> {}

/// One pass over a store, from its start.
pub(crate) struct Reading<'a, S: System> {
    source: Source<'a, S>,
    /// The memory that one read may fill.
    buffer: &'a mut [u8],
    scanner: Scanner,
    offset: u64,
}

/// The part of the file that was read last.
pub(crate) struct Chunk<'a> {
    /// The offset of its first byte in the file.
    pub(crate) offset: u64,
    pub(crate) bytes: &'a mut [u8],
}

impl Chunk<'_> {
    /// Returns the offset of the chunk's end in the file.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Converts an offset in the file to an index in the chunk; 0 if the offset is before the chunk.
    pub(crate) fn index(&self, offset: u64) -> usize {
        usize::try_from(offset.saturating_sub(self.offset)).expect("a chunk is in memory")
    }
}

impl<'a, S: System> Reading<'a, S> {
    pub(crate) fn new(source: Source<'a, S>, buffer: &'a mut [u8]) -> Self {
        debug_assert!(
            !buffer.is_empty(),
            "an empty buffer makes every file look empty"
        );
        Self {
            source,
            buffer,
            scanner: Scanner::default(),
            offset: 0,
        }
    }

    /// Reads and scans the next chunk and reports its contents to `visitor`. Returns `None` at the
    /// end of the file if the store is complete there.
    pub(crate) fn next(&mut self, visitor: &mut impl Visitor) -> Result<Option<Chunk<'_>>> {
        let (source, offset) = (self.source, self.offset);
        source.abort.check()?;
        let read = source
            .system
            .read_at(source.file, self.buffer, offset)
            .context("read", source.path)?;
        let bytes = &mut self.buffer[..read];
        let scanned = if read == 0 {
            self.scanner.finish()
        } else {
            self.scanner.push(bytes, visitor)
        };
        scanned.map_err(|broken| json_error(source, broken))?;
        self.offset += read as u64;
        Ok((read > 0).then_some(Chunk { offset, bytes }))
    }
}

/// Reads a store to its end and reports its contents to `visitor`.
pub(crate) fn read_to_end<S: System>(
    source: Source<'_, S>,
    buffer: &mut [u8],
    visitor: &mut impl Visitor,
) -> Result<()> {
    let mut reading = Reading::new(source, buffer);
    while reading.next(visitor)?.is_some() {}
    Ok(())
}

/// Returns the error for a store that is not a JSON object. Reads the store again to count the lines
/// up to the invalid byte.
pub(super) fn json_error<S: System>(source: Source<'_, S>, broken: Broken) -> Error {
    let (mut line, mut line_start, mut offset) = (1, 0, 0);
    let mut buffer = [0; 4096];
    // If a read fails or the file became shorter, the line is that of the last byte that was read.
    while offset < broken.offset
        && let Ok(read @ 1..) = source.system.read_at(source.file, &mut buffer, offset)
    {
        if source.abort.check().is_err() {
            return Error::Aborted;
        }
        let wanted = usize::try_from(broken.offset - offset).unwrap_or(usize::MAX);
        for byte in &buffer[..read.min(wanted)] {
            offset += 1;
            if *byte == b'\n' {
                line += 1;
                line_start = offset;
            }
        }
    }
    Error::Json {
        path: source.path.to_owned(),
        line,
        column: broken.offset - line_start + 1,
        reason: broken.reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abort::Abort;
    use crate::system::Os;

    /// Counting the lines of a large store takes a while.
    #[test]
    fn an_abort_ends_the_search_for_the_line_of_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.json");
        std::fs::write(&path, "{\n oops").unwrap();
        let (file, abort) = (Os.open(&path).unwrap(), Abort::default());
        let source = Source {
            system: &Os,
            file: &file,
            path: &path,
            abort: &abort,
        };
        let broken = || Broken {
            offset: 3,
            reason: String::new(),
        };
        assert!(matches!(
            json_error(source, broken()),
            Error::Json { line: 2, .. }
        ));
        abort.request();
        assert!(matches!(json_error(source, broken()), Error::Aborted));
    }

    #[test]
    fn begins_a_buffer_at_the_start_of_a_page_and_gives_it_the_requested_size() {
        let mut buffer = Buffer::new(64 << 10);
        let bytes = buffer.bytes();
        assert_eq!(bytes.len(), 64 << 10);
        assert_eq!(bytes.as_ptr().align_offset(PAGE), 0);
    }
}
