//! The gateway's rules as pure functions: the retention, the session keys, and the parts of
//! JavaScript that the gateway's behaviour depends on.

pub mod js;
pub mod retention;
pub mod session_key;

/// Returns a table of a recording of the gateway or of Node.js, in the file `path` of this repository.
#[cfg(test)]
fn recording(path: &str, table: &str) -> Vec<serde_json::Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let recording: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    recording[table].as_array().unwrap().clone()
}
