//! The folders that may hold PostgreSQL's programs, and the client programs for a server of some version.

use std::env;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::cache::{self, versions_in};
use crate::version::Version;

/// Where packages of Debian and Ubuntu install, one folder a major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder of client programs for a server of version `major`: `pg_bin` where it is given, else one of that very version,
/// else of a newer one. Older ones refuse to dump it.
pub async fn client_programs(pg_bin: Option<&Path>, major: u32) -> Option<PathBuf> {
    let folders = pg_bin.map_or_else(folders_with_path, |folder| vec![folder.to_owned()]);
    let mut best: Option<(u32, PathBuf)> = None;
    for folder in folders {
        let Some(found) = major_of_client(&folder).await else { continue };
        let nearer = best.as_ref().is_none_or(|(best, _)| found < *best);
        if found >= major && nearer {
            best = Some((found, folder));
        }
    }
    best.map(|(_, folder)| folder)
}

/// All folders that may hold PostgreSQL's programs, besides those of PATH: the likeliest first.
pub fn folders_of_programs() -> Vec<PathBuf> {
    cached().into_iter().chain(installed()).collect()
}

/// The folders `$AGENTFS_CACHE/postgres/<version>/bin`, the newest first.
fn cached() -> Vec<PathBuf> {
    cache::folder().map(|cache| versions_in(&cache.join("postgres"), "bin")).unwrap_or_default()
}

/// What the system's packages or PATH offer, the newest first.
fn installed() -> Vec<PathBuf> {
    let mut found = versions_in(Path::new(DEBIAN), "bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).filter_map(|folder| {
        // Often a link to a folder that holds the other programs too.
        folder.join("postgres").canonicalize().ok()?.parent().map(Path::to_owned)
    });
    for bin in on_path {
        if !found.contains(&bin) {
            found.push(bin);
        }
    }
    found
}

/// Where client programs may be: on PATH, and where those of a server are looked for.
fn folders_with_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(folders_of_programs()).collect()
}

/// The major version of the `pg_dump` in a folder; `None` where there is none that works.
async fn major_of_client(folder: &Path) -> Option<u32> {
    let program = folder.join("pg_dump");
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").output().await.ok()?;
    Version::parse(&String::from_utf8_lossy(&output.stdout)).map(|version| version.major())
}
