//! Backups of a test, made by the command into a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agentfs_contract::manifest::Manifest;
use tempfile::TempDir;

use super::cli::{Said, agentfs};
use super::database::{Database, shared};
use super::eventually::eventually;

/// A location of backups.
pub struct Backups(TempDir);

impl Backups {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `agentfs-server backup` to its end.
    pub fn run(&self, database: &Database, arguments: &[&str]) -> Said {
        self.run_with(&[("DATABASE_URL", &database.url)], arguments)
    }

    /// The same with these variables.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
        agentfs(&[&self.arguments(), arguments].concat(), variables)
    }

    fn arguments(&self) -> [&str; 5] {
        let programs = shared().programs().to_str().expect("UTF-8");
        ["backup", "--pg-bin", programs, "--to", self.path().to_str().expect("UTF-8")]
    }

    /// Starts `agentfs-server backup`.
    pub fn start(&self, database: &Database, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
            .args([&self.arguments(), arguments].concat())
            .env("DATABASE_URL", &database.url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("agentfs-server starts")
    }

    /// Makes a backup, and returns what is printed of it. A second has one name, so the next one is waited for.
    pub fn make(&self, database: &Database, arguments: &[&str]) -> String {
        loop {
            let said = self.run(database, arguments);
            if !said.err.contains("try again in a second") {
                return said.text();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Names of all files, sorted, but for hidden ones such as locks.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            // A file may go while it is looked at.
            for entry in
                fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("readable"))
            {
                let path = entry.path();
                let name = path.strip_prefix(self.path()).expect("inside").display().to_string();
                if path.is_dir() {
                    folders.push(path);
                } else if !entry.file_name().to_string_lossy().starts_with('.') {
                    names.push(name);
                }
            }
        }
        names.sort();
        names
    }

    /// The files whose names end so.
    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        let ours = self.names().into_iter().filter(|name| name.ends_with(ending));
        ours.map(|name| self.path().join(name)).collect()
    }

    /// The manifest of the only backup.
    #[track_caller]
    pub fn manifest(&self) -> Manifest {
        let manifests = self.files(".manifest.json");
        assert_eq!(manifests.len(), 1, "{manifests:?}");
        read(&manifests[0])
    }

    /// Waits until a backup under way has begun to write.
    pub async fn until_begun(&self) {
        let begun = |names: &Vec<String>| names.iter().any(|name| name.ends_with(".partial"));
        eventually("a backup begins", async || self.names(), begun).await;
    }
}

/// Reads a manifest.
pub fn read(manifest: &Path) -> Manifest {
    Manifest::read(&fs::read(manifest).expect("readable")).expect("a manifest")
}

/// Makes the backup with this manifest one of so many days ago.
pub fn age(manifest: &Path, days: i64) {
    let mut read = read(manifest);
    read.snapshot_at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    fs::write(manifest, read.write().1).expect("writable");
}

/// What a program that has ended says.
pub fn ended(child: Child) -> Said {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
