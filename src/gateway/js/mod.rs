//! The rules of JavaScript that the gateway's behaviour depends on: white space, number conversion,
//! strings, dates, rounding and path resolution.
//!
//! A parameter `json: &[u8]` is one valid JSON value. Its strings may contain bytes that are not
//! valid UTF-8 and escapes of lone surrogates, because the gateway reads both. No function is
//! recursive, so that deep nesting cannot exhaust the stack.

mod date;
mod number;
mod path;
mod string;

#[cfg(test)]
mod tests;

pub(crate) use date::{
    archive_stamp, epoch_ms, iso_stamp, mtime_ms, parse_archive_stamp, parse_iso_date,
};
pub use number::to_number;
pub(crate) use number::{is_falsy, math_round};
pub(crate) use path::resolve;
pub(crate) use string::{text, trim, wtf8};
