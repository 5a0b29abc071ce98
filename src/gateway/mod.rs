//! The gateway's rules, as pure functions: retention, session keys, and JavaScript's semantics.

pub mod js;
pub mod retention;
pub mod session_key;
