//! What is restored: a backup at a location, or a file of `pg_dump -Fc` without a manifest.

use std::fmt;
use std::path::PathBuf;

use agentfs_contract::manifest::{Manifest, Scope};

use super::contents::UNLOGGED;
use super::error::RestoreError;
use super::file::File;
use super::new_database::RestoreOptions;
use crate::recovery::archive::{Archive, Foreign};
use crate::recovery::catalogue::{Backup, Catalogue, Selector};
use crate::recovery::encryption::Identities;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::fetch::{Fetched, fetch};
use crate::recovery::instance::Instance;
use crate::recovery::lease::Lease;
use crate::recovery::location::Location;
use crate::recovery::programs::Programs;
use crate::recovery::progress;
use crate::recovery::steps::Steps;
use crate::recovery::storage::Storage;
use crate::store::schema::SCHEMA_VERSION;

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A backup.
    Backup {
        /// Where the backups are.
        location: Location,
        /// Which of them.
        backup: Selector,
    },
    /// A file of `pg_dump -Fc` without a manifest.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup { location, .. } => location.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A source that may be restored, as far as that can be told without reading all of it.
#[derive(Debug)]
pub(in crate::recovery) struct Found {
    /// What is known of it. That of a file is made up of what the dump says of itself, and names no tables yet.
    pub(in crate::recovery) manifest: Manifest,
    /// Whether a restore has proven it.
    pub(in crate::recovery) was_verified: bool,
    /// What cannot be checked of a file, and what of it is left out, as sentences.
    pub(in crate::recovery) notes: Vec<String>,
    at: At,
}

#[derive(Debug)]
enum At {
    Backup { storage: Storage, backup: Box<Backup> },
    File(File),
}

/// How much of a dump is read before anything of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::recovery) enum Extent {
    /// All of it.
    Whole(Foreign),
    /// All but the rows, where the manifest has fingerprints by which they are compared once they are loaded. What AgentFS does not have
    /// is refused.
    Statements,
}

/// A source on this machine, as far as it was read.
#[derive(Debug)]
pub(in crate::recovery) struct Dump {
    /// What is known of it, its tables included.
    pub(in crate::recovery) manifest: Manifest,
    /// The programs that read it.
    pub(in crate::recovery) programs: Programs,
    /// The dump.
    pub(in crate::recovery) fetched: Fetched,
    /// What is in it.
    pub(in crate::recovery) archive: Archive,
}

impl Found {
    /// Finds what the options mean, unless it is of another instance than `instance`, known to be bad, or too new for this program
    /// or for a server of the major version `server`.
    pub(in crate::recovery) async fn find(
        options: &RestoreOptions,
        instance: &Instance,
        server: u32,
    ) -> Result<Self, RecoveryError> {
        let found = match &options.source {
            Source::Backup { location, backup } => {
                let storage = Storage::open(location).await?;
                let catalogue = Catalogue::read(&storage).await?;
                let backup = choose(&catalogue, backup, options, instance)?.clone();
                Self {
                    manifest: backup.manifest.clone(),
                    was_verified: backup.is_verified(),
                    notes: Vec::new(),
                    at: At::Backup { storage, backup: Box::new(backup) },
                }
            }
            Source::File(path) => {
                let (file, manifest, notes) =
                    File::open(path, options.pg_bin.as_deref(), server).await?;
                Self { manifest, was_verified: false, notes, at: At::File(file) }
            }
        };
        check(&found.manifest, server)?;
        progress::backup(found.manifest.id());
        Ok(found)
    }

    /// The id of a backup with its folder before it; `None` of a file.
    pub(in crate::recovery) fn path(&self) -> Option<String> {
        match &self.at {
            At::Backup { backup, .. } => Some(backup.path()),
            At::File(_) => None,
        }
    }

    /// Keeps a backup from being removed; nobody removes a file.
    pub(in crate::recovery) async fn lease(&self) -> Result<Option<Lease>, RecoveryError> {
        match &self.at {
            At::Backup { storage, backup } => {
                let lease = Lease::take(storage, backup, "restore").await?;
                reach(FaultPoint::LeaseWritten);
                Ok(Some(lease))
            }
            At::File(_) => Ok(None),
        }
    }

    /// Brings it to this machine, and reads as much of it as `extent` says before anything of it is used.
    pub(in crate::recovery) async fn read(
        self,
        options: &RestoreOptions,
        server: u32,
        extent: Extent,
        steps: &mut Steps,
    ) -> Result<Dump, RecoveryError> {
        let mut manifest = self.manifest;
        let (programs, fetched) = match self.at {
            At::Backup { storage, backup } => {
                let identities = options.identities.as_deref().map(Identities::load).transpose()?;
                let folder = std::env::temp_dir();
                let fetching = fetch(&storage, &backup, identities.as_ref(), &folder);
                let fetched = steps.time("fetch", fetching).await?;
                let archive = manifest.pg_restore_major().unwrap_or(server);
                let pg_bin = options.pg_bin.as_deref();
                (Programs::find_for_archive(pg_bin, archive, server).await?, fetched)
            }
            At::File(file) => file.into_parts(),
        };
        reach(FaultPoint::Fetched);
        let reading = async {
            match extent {
                Extent::Whole(foreign) => read(&programs, &fetched, &manifest, foreign).await,
                Extent::Statements if has_fingerprints(&manifest) => {
                    let archive = Archive::read_statements(&programs, &fetched, &manifest).await?;
                    compared(archive, &manifest)
                }
                Extent::Statements => read(&programs, &fetched, &manifest, Foreign::Refused).await,
            }
        };
        let archive = steps.time("archive", reading).await?;
        if matches!(options.source, Source::File(_)) {
            complete(&mut manifest, &archive)?;
        }
        Ok(Dump { manifest, programs, fetched, archive })
    }
}

/// Reads all of a dump before anything of it is used, and compares it with its manifest.
pub(in crate::recovery) async fn read(
    programs: &Programs,
    fetched: &Fetched,
    manifest: &Manifest,
    foreign: Foreign,
) -> Result<Archive, RecoveryError> {
    compared(Archive::read(programs, fetched, manifest, foreign).await?, manifest)
}

/// The same archive, unless it is not as its manifest says.
fn compared(archive: Archive, manifest: &Manifest) -> Result<Archive, RecoveryError> {
    let flaws = archive.compare(manifest);
    if flaws.is_empty() { Ok(archive) } else { Err(RecoveryError::Flawed(flaws.join("; "))) }
}

/// Whether rows that are not those that were dumped are noticed once they are loaded.
fn has_fingerprints(manifest: &Manifest) -> bool {
    let mut tables = manifest.tables.values();
    !manifest.tables.is_empty() && tables.all(|table| table.fingerprint.is_some())
}

/// Notes what a file has of each table, unless it lacks rows that nothing can bring back.
fn complete(manifest: &mut Manifest, archive: &Archive) -> Result<(), RecoveryError> {
    manifest.tables = archive.tables();
    let needed = Scope::Entries.tables().unwrap_or_default();
    if let Some(table) = needed.iter().find(|table| !manifest.tables.contains_key(**table)) {
        return Err(RecoveryError::Flawed(format!("{table}: the dump has no data of it")));
    }
    let without_rows = archive.schema.tables.iter();
    let without_rows =
        without_rows.filter(|table| !manifest.tables.contains_key(*table) && *table != UNLOGGED);
    manifest.left_out = without_rows.cloned().collect();
    Ok(())
}

/// The backup that is meant, unless it is of another instance or known to be bad.
fn choose<'a>(
    catalogue: &'a Catalogue,
    backup: &Selector,
    options: &RestoreOptions,
    instance: &Instance,
) -> Result<&'a Backup, RecoveryError> {
    let ours = (!options.allow_foreign).then_some(instance);
    let backup = match catalogue.select(backup, ours) {
        Err(RecoveryError::NoBackup(_))
            if catalogue.of(instance).next().is_none() && !options.allow_foreign =>
        {
            // Whatever there is is somebody else's.
            catalogue.select(backup, None)
        }
        selected => selected,
    }?;
    let id = || backup.id().to_owned();
    if !options.allow_foreign && !instance.is(&backup.manifest.instance) {
        return Err(RestoreError::Foreign {
            id: id(),
            of: backup.manifest.instance.clone(),
            instance: instance.name().to_owned(),
        }
        .into());
    }
    match backup.known_failure() {
        Some(failure) if !options.force => {
            Err(RestoreError::KnownBad { id: id(), failure: failure.to_owned() }.into())
        }
        _ => Ok(backup),
    }
}

/// Refuses what a server of this major version, or this program, cannot have.
pub(in crate::recovery) fn check(manifest: &Manifest, server: u32) -> Result<(), RecoveryError> {
    let id = manifest.id().to_owned();
    let dump = manifest.postgres_major().unwrap_or_default();
    if dump > server {
        return Err(RestoreError::NewerPostgres { id, dump, server }.into());
    }
    if manifest.min_compatible > SCHEMA_VERSION {
        let (schema, program) = (manifest.schema_version, manifest.program.clone());
        return Err(RecoveryError::NewerSchema { id, schema, program });
    }
    Ok(())
}
