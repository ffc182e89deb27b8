//! The cache folder that the scripts and the Makefile fill: one folder a version of what is in it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// The cache folder; `None` for somebody without a home.
pub fn folder() -> Option<PathBuf> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("AGENTFS_CACHE").or_else(|| {
        if geteuid().is_root() {
            return Some("/var/cache/agentfs".into());
        }
        named("XDG_CACHE_HOME")
            .or_else(|| named("HOME").map(|home| home.join(".cache")))
            .map(|caches| caches.join("agentfs"))
    })
}

/// What is called `name` in the folders in `parent` that are named by a version, the newest first.
pub fn versions_in(parent: &Path, name: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().into_string().ok()?;
            let number = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
            Some((number, entry.path().join(name)))
        })
        .filter(|(_, path)| path.exists())
        .collect();
    found.sort_by(|one, other| other.0.cmp(&one.0));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_by_number() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["0.9.0", "0.10.1", "0.10", "0.11.0.new", "common"] {
            fs::create_dir_all(parent.path().join(name).join("bin")).unwrap();
        }
        fs::create_dir(parent.path().join("7")).unwrap();

        let found = versions_in(parent.path(), "bin");
        let expected = ["0.10.1", "0.10", "0.9.0"].map(|name| parent.path().join(name).join("bin"));
        assert_eq!(found, expected);
    }
}
