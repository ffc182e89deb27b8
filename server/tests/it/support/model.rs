//! The local models of the tests.

use std::path::PathBuf;
use std::process::Command;

/// The folder of the default model.
pub fn folder() -> PathBuf {
    folder_of("all-MiniLM-L6-v2")
}

/// The folder of a model, which is fetched first where it is not there yet.
pub fn folder_of(model: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/model");
    let output = Command::new(script).arg(model).output().expect("scripts/model runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("a path").trim_end().into()
}
