//! The store on disk: reads it, removes entries from it and replaces it.
//!
//! [`reading`] reads a store in chunks, and [`scan`] parses them in constant memory. [`survey`] looks
//! for expired runs; [`rewrite`] writes the kept entries to a new file; [`replace`] exchanges that
//! file with the store. [`leftovers`] removes the temp files of crashed writers, and [`survey_cache`]
//! makes the next survey of an unchanged store unnecessary.

pub mod leftovers;
pub mod reading;
pub mod replace;
pub mod rewrite;
pub mod scan;
pub mod survey;
pub mod survey_cache;

#[cfg(test)]
mod tests;
