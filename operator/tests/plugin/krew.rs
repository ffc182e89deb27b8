//! What a release publishes for krew.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::PROGRAM;

#[test]
fn the_manifest_names_the_archive_with_its_sum() {
    let folder = TempDir::new().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/krew");
    let made = Command::new(script)
        .arg(PROGRAM)
        .env("KREW_FOLDER", folder.path())
        .env("KREW_URL", "https://releases.example/v1")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let manifest = std::fs::read_to_string(folder.path().join("agentfs.yaml")).unwrap();
    assert!(!manifest.contains('@'), "{manifest}");
    let manifest: Value = serde_yaml_ng::from_str(&manifest).unwrap();
    assert_eq!(manifest["metadata"]["name"], "agentfs");
    assert_eq!(manifest["spec"]["version"], concat!("v", env!("CARGO_PKG_VERSION")));
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    let [platform] = platforms.as_slice() else { panic!("{platforms:?}") };
    let archive =
        platform["uri"].as_str().unwrap().strip_prefix("https://releases.example/v1/").unwrap();
    assert_eq!(platform["bin"], "kubectl-agentfs");
    assert_eq!(platform["selector"]["matchLabels"]["os"], json!("linux"));

    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("sha256sum", &[archive]).starts_with(platform["sha256"].as_str().unwrap()));
    assert_eq!(run("tar", &["-tzf", archive]), "LICENSE\nkubectl-agentfs\n");
}
