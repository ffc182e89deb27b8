//! The local models of the tests.

use std::path::PathBuf;
use std::process::Command;

/// The model that a new database gets.
pub const DEFAULT: &str = "all-mpnet-base-v2";
/// The one that tests take where any will do.
pub const FAST: &str = "all-MiniLM-L6-v2";

/// The folder of the fast model.
pub fn folder() -> PathBuf {
    folder_of(FAST)
}

/// The folder that has the default model and the fast one.
pub fn models() -> PathBuf {
    folder();
    let of_version = folder_of(DEFAULT);
    of_version.ancestors().nth(2).expect("models/NAME/VERSION").to_owned()
}

/// The folder of a model, which is fetched first where it is not there yet.
pub fn folder_of(model: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/model");
    let output = Command::new(script).arg(model).output().expect("scripts/model runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("a path").trim_end().into()
}
