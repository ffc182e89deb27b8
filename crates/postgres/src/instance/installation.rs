//! Where PostgreSQL's programs are, and whether they can be used here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::PostgresError;
use crate::programs::folders_of_programs;
use crate::version::{SUPPORTED, Version};

/// A PostgreSQL with pgvector whose programs are on this machine.
#[derive(Debug, Clone)]
pub struct Installation {
    bin: PathBuf,
    version: Version,
    control: PathBuf,
}

impl Installation {
    /// The programs in `pg_bin` where it is given; else the newest of the cache that scripts/pgserver fills; else the
    /// newest of what is installed that can be used.
    pub fn find(pg_bin: Option<&Path>) -> Result<Self, PostgresError> {
        if let Some(bin) = pg_bin {
            let bin = std::path::absolute(bin).unwrap_or_else(|_| bin.to_owned());
            return Self::at(&bin)
                .map_err(|Refusal(reason)| PostgresError::Unusable { path: bin, reason });
        }
        let mut refused = Vec::new();
        for bin in folders_of_programs() {
            match Self::at(&bin) {
                Ok(found) => return Ok(found),
                Err(Refusal(reason)) => refused.push(format!("{}: {reason}", bin.display())),
            }
        }
        Err(PostgresError::NotFound(refused))
    }

    /// The programs of one major version: those in `pg_bin` where they are of it, else those of [`Self::find`].
    pub fn find_major(pg_bin: Option<&Path>, major: u32) -> Result<Self, PostgresError> {
        let mut refused = Vec::new();
        for bin in pg_bin.map(Path::to_owned).into_iter().chain(folders_of_programs()) {
            let bin = std::path::absolute(&bin).unwrap_or(bin);
            match Self::at(&bin) {
                Ok(found) if found.version.major() == major => return Ok(found),
                Ok(other) => {
                    refused.push(format!("{}: it is PostgreSQL {}", bin.display(), other.version));
                }
                Err(Refusal(reason)) => refused.push(format!("{}: {reason}", bin.display())),
            }
        }
        Err(PostgresError::NoMajor { major, refused })
    }

    /// The folder of the programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The control file of the extension vector.
    pub(super) fn control_file(&self) -> &Path {
        &self.control
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
        if !SUPPORTED.contains(&version.major()) {
            return Err(Refusal(format!(
                "it is PostgreSQL {version}, and AgentFS supports {} to {}",
                SUPPORTED.start(),
                SUPPORTED.end()
            )));
        }
        let mut controls = shared_folders(bin, version.major())
            .into_iter()
            .map(|folder| folder.join("extension/vector.control"));
        let Some(control) = controls.find(|control| control.is_file()) else {
            return Err(Refusal(format!(
                "its PostgreSQL {version} lacks the extension pgvector (Debian: apt-get install postgresql-{}-pgvector)",
                version.major()
            )));
        };
        Ok(Self { bin: bin.to_owned(), version, control })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_programs_is_refused_with_its_name() {
        let empty = tempfile::tempdir().unwrap();
        let said = Installation::find(Some(empty.path())).unwrap_err().to_string();
        assert!(said.contains(&empty.path().display().to_string()), "{said}");
        assert!(said.contains("holds no postgres"), "{said}");
    }
}
