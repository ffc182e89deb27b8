//! A location with a good backup, and others beside it that somebody or something has damaged.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use agentfs_contract::manifest::{Manifest, hex};
use agentfs_contract::verification::Verification;
use agentfs_server::recovery::Location;
use agentfs_server::recovery::catalogue::{Catalogue, Selector};
use agentfs_server::recovery::storage::Storage;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::shell::Shell;

/// A folder of backups.
pub struct Kept {
    pub folder: TempDir,
    pub database: Database,
    /// The first backup, which the product made.
    pub first: Manifest,
    planted: Cell<u32>,
}

impl Kept {
    /// With a backup of the database.
    pub fn backup(database: &Database, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let to = folder.path().to_str().unwrap();
        let programs = shared().programs().to_str().unwrap();
        let fixed = ["backup", "--to", to, "--pg-bin", programs, "--output", "json"];
        let variables = [&[("DATABASE_URL", &*database.url)], variables].concat();
        let said = agentfs(&[&fixed, arguments].concat(), &variables).json();
        let first = serde_json::from_value(said["manifest"].clone()).unwrap();
        Self { folder, database: database.clone(), first, planted: Cell::new(0) }
    }

    /// The same, and the backup is verified by a restore.
    pub fn verified(database: &Database) -> Self {
        let kept = Self::backup(database, &[], &[]);
        kept.verify(&["--level", "restore"]).text();
        kept
    }

    /// The folder of the instance.
    pub fn inner(&self) -> PathBuf {
        self.folder.path().join(&self.first.instance)
    }

    /// A file of the backup `id`.
    pub fn file(&self, id: &str, suffix: &str) -> PathBuf {
        self.inner().join(format!("{id}{suffix}"))
    }

    /// The first backup's dump.
    pub fn dump(&self) -> Vec<u8> {
        fs::read(self.inner().join(&self.first.file)).unwrap()
    }

    /// A dump of the database as it is now, by real pg_dump as a superuser and not compressed, so that a byte of it is a byte of a row.
    pub async fn dump_now(&self, arguments: &str) -> Vec<u8> {
        let line = format!("pg_dump -Fc -Z none {arguments} -f now.dump");
        Shell::of_superuser(&self.database, self.folder.path()).line(&line).await;
        let path = self.folder.path().join("now.dump");
        let dump = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        dump
    }

    /// The options by which pg_dump dumps what the product does.
    pub fn ours(&self) -> String {
        let tables = self.first.tables.keys().map(|table| format!("-t {table}"));
        let tables: Vec<String> = tables.chain(["-t rate_limits".to_owned()]).collect();
        format!("--no-unlogged-table-data --extension=vector {}", tables.join(" "))
    }

    /// Another backup, newer than all that there are: a dump with the first one's manifest, which `change` makes a lie of. Its sums are
    /// right, and so is its checksum. Returns its id.
    pub fn plant(&self, dump: &[u8], change: impl FnOnce(&mut Manifest)) -> String {
        self.planted.set(self.planted.get() + 1);
        let id = format!("agentfs_20400101_{:06}", self.planted.get());
        let at =
            jiff::Timestamp::now() + jiff::SignedDuration::from_mins(self.planted.get().into());
        let sha256 = hex(&Sha256::digest(dump));
        let mut manifest = Manifest {
            file: format!("{id}.dump"),
            bytes: dump.len() as u64,
            sha256,
            snapshot_at: at,
            ..self.first.clone()
        };
        change(&mut manifest);
        fs::write(self.file(&id, ".dump"), dump).unwrap();
        fs::write(self.file(&id, ".manifest.json"), manifest.write().1).unwrap();
        id
    }

    /// Runs `verify` on the newest backup, with databases on the shared server.
    pub fn verify(&self, arguments: &[&str]) -> Said {
        self.verify_with(arguments, &[])
    }

    pub fn verify_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let from = self.folder.path().to_str().unwrap();
        let programs = shared().programs().to_str().unwrap();
        let fixed = ["verify", "--from", from, "--pg-bin", programs];
        let scratch = [("BACKUP_SCRATCH_URL", &*self.database.superuser_url)];
        agentfs(&[&fixed, arguments].concat(), &[&scratch, variables].concat())
    }

    /// The records of a backup's verifications.
    pub fn records(&self, id: &str) -> Vec<Verification> {
        let files = fs::read_dir(self.inner()).unwrap().map(|file| file.unwrap().path());
        let ours = files.filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            [".verified_", ".failed_"].iter().any(|kind| name.starts_with(&format!("{id}{kind}")))
        });
        let read = |path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        ours.map(read).collect()
    }

    /// The newest backup that a restore has proven.
    pub async fn latest_verified(&self) -> String {
        let storage = Storage::open(&Location::Folder(self.folder.path().into())).await.unwrap();
        let catalogue = Catalogue::read(&storage).await.unwrap();
        catalogue.select(&Selector::LatestVerified, None).unwrap().id().to_owned()
    }

    /// The newest backup is not good, for the reason `why`; it is said, written beside it, and no reason to take it for verified.
    #[track_caller]
    pub fn assert_bad(&self, id: &str, arguments: &[&str], why: &str) {
        let before = self.records(id).len();
        let said = self.verify(arguments);
        assert_eq!(said.code, Some(1), "{why}: {said:?}");
        assert!(said.err.contains(why) && said.out.contains(id), "{why}: {said:?}");
        let records = self.records(id);
        assert_eq!(records.len(), before + 1, "{records:?}");
        let fresh = records.iter().max_by_key(|record| record.at).unwrap();
        assert!(fresh.failure.as_ref().unwrap().contains(why), "{fresh:?}");
    }
}
