//! The folders that may hold PostgreSQL's programs, and which client programs are taken.

use std::env;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::cache::{self, versions_in};
use crate::version::Version;

/// Where packages of Debian and Ubuntu install, one folder a major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Client programs of one version, in one folder.
#[derive(Debug, Clone)]
pub struct ClientPrograms {
    folder: PathBuf,
    version: Version,
    zstd: bool,
}

impl ClientPrograms {
    /// Those that dump a server of version `major`: of that very version, else of the next newer one. Older ones refuse to.
    ///
    /// They are looked for in `pg_bin` alone where it is given, else on PATH, in the cache, and where packages install them. Of
    /// equal ones those are better that have zstd.
    pub async fn for_server(pg_bin: Option<&Path>, major: u32) -> Option<Self> {
        Self::nearest(all(pg_bin).await, major)
    }

    fn nearest(mut found: Vec<Self>, major: u32) -> Option<Self> {
        found.retain(|programs| programs.major() >= major);
        found.into_iter().min_by_key(|programs| (programs.major(), !programs.zstd))
    }

    /// Those that read an archive of `pg_dump` of version `archive` into a server of version `server`: not older than the
    /// archive, which they would refuse, nor, if there are such, than the server. Those with zstd come first, since without it
    /// an archive that is compressed so cannot be read.
    pub async fn for_archive(pg_bin: Option<&Path>, archive: u32, server: u32) -> Option<Self> {
        Self::best_reader(all(pg_bin).await, archive, server)
    }

    fn best_reader(mut found: Vec<Self>, archive: u32, server: u32) -> Option<Self> {
        found.retain(|programs| programs.major() >= archive);
        found.into_iter().min_by_key(|programs| {
            let major = programs.major();
            (!programs.zstd, major < server, major.abs_diff(server))
        })
    }

    /// Their folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a program.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// Their version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// What `pg_dump` is to compress with, as its option `-Z` takes it: zstd, which costs a tenth of gzip's time, where it has
    /// that.
    pub fn compression(&self) -> &'static str {
        if self.zstd { "zstd:1" } else { "gzip:1" }
    }

    fn major(&self) -> u32 {
        self.version.major()
    }

    /// Those in a folder; `None` where there are none that work.
    async fn in_folder(folder: PathBuf) -> Option<Self> {
        if !["pg_dump", "pg_restore"].iter().all(|program| folder.join(program).is_file()) {
            return None;
        }
        let pg_dump = folder.join("pg_dump");
        let output = Command::new(&pg_dump).arg("--version").output().await.ok()?;
        let version = Version::parse(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { zstd: compresses(&pg_dump).await, folder, version })
    }
}

/// Whether a `pg_dump` has zstd. It looks at its options before it looks for the server, and there is none at this address: a
/// complaint of the server means that the option is right.
async fn compresses(pg_dump: &Path) -> bool {
    let mut command = Command::new(pg_dump);
    command.args(["-Fc", "-Z", "zstd:1", "-h", "/dev/null"]).env_clear().env("LC_ALL", "C");
    for kept in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let said = command.output().await.map(|output| output.stderr).unwrap_or_default();
    String::from_utf8_lossy(&said).starts_with("pg_dump: error: connection to server")
}

/// All that may be taken, the likeliest first.
async fn all(pg_bin: Option<&Path>) -> Vec<ClientPrograms> {
    let folders = pg_bin.map_or_else(folders_of_clients, |folder| vec![folder.to_owned()]);
    let mut found = Vec::new();
    for folder in folders {
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        found.extend(ClientPrograms::in_folder(folder).await);
    }
    found
}

/// Where client programs may be.
fn folders_of_clients() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(cached("postgres-client")).chain(folders_of_programs()).collect()
}

/// All folders that may hold PostgreSQL's programs, besides those of PATH: the likeliest first.
pub fn folders_of_programs() -> Vec<PathBuf> {
    cached("postgres").into_iter().chain(installed()).collect()
}

/// The folders `$AGENTFS_CACHE/<kind>/<version>/bin`, the newest first.
fn cached(kind: &str) -> Vec<PathBuf> {
    cache::folder().map(|cache| versions_in(&cache.join(kind), "bin")).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(said: &[&str]) -> Vec<ClientPrograms> {
        let read = |said: &&str| ClientPrograms {
            folder: said.into(),
            version: Version::parse(&format!("pg_dump (PostgreSQL) {said}")).unwrap(),
            zstd: said.ends_with("zstd"),
        };
        said.iter().map(read).collect()
    }

    fn folder(found: Option<ClientPrograms>) -> Option<String> {
        found.map(|found| found.folder.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_server_is_dumped_by_its_own_version_else_by_the_next_newer() {
        let taken = |said: &[&str], major| folder(ClientPrograms::nearest(programs(said), major));
        let all = ["18.1", "16.2", "17.3", "17.4 zstd", "17.5 zstd"];
        assert_eq!(taken(&all, 16).as_deref(), Some("16.2"));
        assert_eq!(taken(&all, 17).as_deref(), Some("17.4 zstd"));
        assert_eq!(taken(&all, 18).as_deref(), Some("18.1"));
        assert_eq!(taken(&["18.1", "17.3"], 16).as_deref(), Some("17.3"));
        assert_eq!(taken(&["17.3"], 18), None);
    }

    #[test]
    fn an_archive_is_read_by_what_is_not_older_than_it() {
        let taken = |said: &[&str], archive, server| {
            folder(ClientPrograms::best_reader(programs(said), archive, server))
        };
        let all = ["18.1", "18.2 zstd", "17.3 zstd", "16.4"];
        assert_eq!(taken(&all, 17, 17).as_deref(), Some("17.3 zstd"));
        assert_eq!(taken(&all, 16, 18).as_deref(), Some("18.2 zstd"), "not older than the server");
        assert_eq!(taken(&all, 17, 16).as_deref(), Some("17.3 zstd"));
        assert_eq!(taken(&all, 16, 16).as_deref(), Some("17.3 zstd"), "what it is compressed by");
        assert_eq!(taken(&["16.4"], 16, 18).as_deref(), Some("16.4"));
        assert_eq!(taken(&["16.4", "17.1"], 18, 16), None);
    }
}
