//! Mount namespaces: a test mounts in one of its own, which takes the mounts with it.

use std::process::Command;

use tempfile::TempDir;

/// The options of `unshare` by which somebody may mount here, if any do: as root, or as root of a user namespace.
pub fn in_namespace() -> Option<Vec<&'static str>> {
    let ways = [vec!["--mount"], vec!["--user", "--map-root-user", "--mount"]];
    let found = ways.into_iter().find(|way| {
        let folder = TempDir::new().unwrap();
        let mount = Command::new("unshare")
            .args(way)
            .args(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .output();
        mount.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: this system lets nobody mount a small volume (unshare --mount)");
    }
    found
}
