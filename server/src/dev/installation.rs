//! Where PostgreSQL's programs are, and whether they can be used here.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use super::error::DevError;

/// The major versions that AgentFS supports.
const SUPPORTED: std::ops::RangeInclusive<u32> = 16..=18;

/// Where packages of Debian and Ubuntu install, one folder a major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A PostgreSQL with pgvector whose programs are on this machine.
#[derive(Debug, Clone)]
pub struct Installation {
    bin: PathBuf,
    version: Version,
}

/// A version of PostgreSQL as it prints itself: "18.4", or "19beta1".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    major: u32,
    text: String,
}

impl Installation {
    /// The programs in `pg_bin` where it is given; else the newest of the cache that scripts/pgserver fills; else the
    /// newest of what is installed that can be used.
    pub fn find(pg_bin: Option<&Path>) -> Result<Self, DevError> {
        if let Some(bin) = pg_bin {
            let bin = std::path::absolute(bin).unwrap_or_else(|_| bin.to_owned());
            return Self::at(&bin)
                .map_err(|Refusal(reason)| DevError::Unusable { path: bin, reason });
        }
        let mut refused = Vec::new();
        for bin in folders_of_programs() {
            match Self::at(&bin) {
                Ok(found) => return Ok(found),
                Err(Refusal(reason)) => refused.push(format!("{}: {reason}", bin.display())),
            }
        }
        Err(DevError::NotFound(refused))
    }

    /// The folder of the programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The version of the server.
    pub fn version(&self) -> &Version {
        &self.version
    }

    fn at(bin: &Path) -> Result<Self, Refusal> {
        for needed in ["postgres", "initdb"] {
            if !bin.join(needed).is_file() {
                return Err(Refusal(format!("it holds no {needed}")));
            }
        }
        let said = ask(&bin.join("postgres"), "--version")?;
        let version = Version::parse(&said).ok_or_else(|| {
            Refusal(format!("postgres --version says {said:?}, which is no version"))
        })?;
        if !SUPPORTED.contains(&version.major) {
            return Err(Refusal(format!(
                "it is PostgreSQL {version}, and AgentFS supports {} to {}",
                SUPPORTED.start(),
                SUPPORTED.end()
            )));
        }
        let extension = "extension/vector.control";
        let shared = shared_folders(bin, version.major);
        if !shared.iter().any(|folder| folder.join(extension).is_file()) {
            return Err(Refusal(format!(
                "its PostgreSQL {version} lacks the extension pgvector (Debian: apt-get install postgresql-{}-pgvector)",
                version.major
            )));
        }
        Ok(Self { bin: bin.to_owned(), version })
    }
}

impl Version {
    /// The major version, which decides who can read whose data.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Reads the answer of `--version` of any of the programs: "postgres (PostgreSQL) 17.5 (Debian 17.5-1)".
    pub fn parse(said: &str) -> Option<Self> {
        let text = said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some(Self { major: text[..digits].parse().ok()?, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Why a folder of programs cannot be used, as the end of a sentence.
struct Refusal(String);

fn ask(program: &Path, option: &str) -> Result<String, Refusal> {
    let answer = Command::new(program)
        .arg(option)
        .output()
        .map_err(|error| Refusal(format!("{} cannot be executed ({error})", program.display())))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
        return Err(Refusal(format!("{} {option} failed ({said})", program.display())));
    }
    Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

/// The folders that may hold share/extension: what pg_config says, which not every package has, and the usual places.
fn shared_folders(bin: &Path, major: u32) -> Vec<PathBuf> {
    let told = ask(&bin.join("pg_config"), "--sharedir").ok().map(PathBuf::from);
    let real = bin.canonicalize().unwrap_or_else(|_| bin.to_owned());
    let beside = ["../share/postgresql", "../share"].map(|folder| real.join(folder));
    told.into_iter()
        .chain(beside)
        .chain([PathBuf::from(format!("/usr/share/postgresql/{major}"))])
        .collect()
}

/// All folders that may hold PostgreSQL's programs, besides those of PATH: the likeliest first.
pub fn folders_of_programs() -> Vec<PathBuf> {
    cached().into_iter().chain(installed()).collect()
}

/// The folders `$AGENTFS_CACHE/postgres/<version>/bin`, the newest first.
fn cached() -> Vec<PathBuf> {
    cache().map(|cache| versions_in(&cache.join("postgres"), "bin")).unwrap_or_default()
}

/// The newest local embedding model that scripts/model has put into the cache.
pub(super) fn cached_model() -> Option<PathBuf> {
    let weights = versions_in(&cache()?.join("models/all-MiniLM-L6-v2"), "model.safetensors");
    weights.first()?.parent().map(Path::to_owned)
}

/// The cache folder that the scripts and the Makefile use as well.
fn cache() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("AGENTFS_CACHE").or_else(|| {
        if geteuid().is_root() {
            return Some("/var/cache/agentfs".into());
        }
        folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .map(|caches| caches.join("agentfs"))
    })
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

/// What is called `name` in the folders in `parent` that are named by a version, the newest first.
fn versions_in(parent: &Path, name: &str) -> Vec<PathBuf> {
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
    fn versions_are_read_as_postgres_prints_them() {
        let read =
            |said| Version::parse(said).map(|version| (version.major(), version.to_string()));

        assert_eq!(read("postgres (PostgreSQL) 18.4"), Some((18, "18.4".into())));
        assert_eq!(
            read("postgres (PostgreSQL) 17.5 (Debian 17.5-1.pgdg13+1)"),
            Some((17, "17.5".into()))
        );
        assert_eq!(read("postgres (PostgreSQL) 19beta1"), Some((19, "19beta1".into())));
        assert_eq!(read("postgres (PostgreSQL) devel"), None);
        assert_eq!(read("bash, version 5.2"), None);
    }

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

    #[test]
    fn a_folder_without_programs_is_refused_with_its_name() {
        let empty = tempfile::tempdir().unwrap();
        let said = Installation::find(Some(empty.path())).unwrap_err().to_string();
        assert!(said.contains(&empty.path().display().to_string()), "{said}");
        assert!(said.contains("holds no postgres"), "{said}");
    }
}
