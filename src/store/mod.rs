//! The store on disk: read it, write it anew, lock it, replace it.
//!
//! [`scan`] reads JSON of any size in constant memory. [`survey`] and [`rewrite`] use it: the one to
//! see whether anything expired, the other to write what stays to a new file. [`lock`] is the
//! gateway's lock file; [`commit`] puts the new file in the old one's place; [`temps`] removes what
//! crashed writers left; [`memory`] spares the next survey of an unchanged store. [`stats`] counts
//! what is in a store, for people.

pub mod leftovers;
pub mod replace;
pub mod rewrite;
pub mod scan;
pub mod survey;
pub mod survey_cache;
