//! The backups at a location: manifests with the records of their verifications.

use std::collections::BTreeMap;

use agentfs_contract::manifest::{Manifest, ManifestError, Purpose};
use agentfs_contract::verification::Verification;

use super::error::RecoveryError;
use super::instance::Instance;
use super::storage::{Object, Removal, Storage};

/// The suffix of manifests.
pub(super) const MANIFEST: &str = ".manifest.json";

/// A backup that exists.
#[derive(Debug, Clone)]
pub struct Backup {
    /// The folder of its objects at the location, with a slash at its end; empty for those of releases before 0.2.
    pub folder: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// Whether the dump is as long as the manifest says.
    pub is_whole: bool,
    /// Its verifications, the oldest first.
    pub verifications: Vec<Verification>,
    /// All of its objects but the manifest and the dump.
    pub beside: Vec<String>,
}

impl Backup {
    /// Its id.
    pub fn id(&self) -> &str {
        self.manifest.id()
    }

    /// The name of the dump's object.
    pub fn dump(&self) -> String {
        format!("{}{}", self.folder, self.manifest.file)
    }

    /// The name of the object beside the dump that has this suffix.
    pub fn object(&self, suffix: &str) -> String {
        format!("{}{}{suffix}", self.folder, self.id())
    }

    /// Whether its newest verification by a restore, of this very manifest, succeeded, and no later verification failed.
    pub fn is_verified(&self) -> bool {
        let of_this = |record: &&Verification| record.manifest == self.manifest.checksum;
        let mut newest_first = self.verifications.iter().rev().filter(of_this);
        let relevant = newest_first.find(|record| record.proves() || record.failure.is_some());
        self.is_whole && relevant.is_some_and(Verification::proves)
    }
}

/// A manifest that cannot be used.
#[derive(Debug, Clone)]
pub struct Unusable {
    /// The name of its object.
    pub name: String,
    /// Why not.
    pub error: ManifestError,
}

/// Which backup is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The one with this id.
    Id(String),
    /// The newest.
    Latest,
    /// The newest that a restore has proven.
    LatestVerified,
}

impl From<&str> for Selector {
    fn from(text: &str) -> Self {
        match text {
            "latest" => Self::Latest,
            "latest-verified" => Self::LatestVerified,
            id => Self::Id(id.to_owned()),
        }
    }
}

/// All that is at a location.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The backups, the oldest first.
    pub backups: Vec<Backup>,
    /// Manifests that cannot be used.
    pub unusable: Vec<Unusable>,
    /// All objects, sorted by name.
    pub objects: Vec<Object>,
}

impl Catalogue {
    /// Reads the catalogue of a location.
    pub async fn read(storage: &Storage) -> Result<Self, RecoveryError> {
        let objects = storage.list().await?;
        let sizes: BTreeMap<&str, u64> =
            objects.iter().map(|object| (object.name.as_str(), object.bytes)).collect();
        let (mut backups, mut unusable) = (Vec::new(), Vec::new());
        for name in sizes.keys().filter(|name| name.ends_with(MANIFEST)) {
            let Some(json) = storage.read_small(name).await? else { continue };
            let (folder, file) = name
                .rsplit_once('/')
                .map_or(("", *name), |(_, file)| (&name[..name.len() - file.len()], file));
            let id = file.strip_suffix(MANIFEST).unwrap_or(file);
            let manifest = match Manifest::read(&json) {
                // A name that leads elsewhere is not ours.
                Ok(manifest) if manifest.id() == id && !manifest.file.contains('/') => manifest,
                Ok(_) => {
                    unusable
                        .push(Unusable { name: (*name).to_owned(), error: ManifestError::Damaged });
                    continue;
                }
                Err(error) => {
                    unusable.push(Unusable { name: (*name).to_owned(), error });
                    continue;
                }
            };
            let own = format!("{folder}{id}.");
            let dump = format!("{folder}{}", manifest.file);
            let beside: Vec<String> = sizes
                .range(own.as_str()..)
                .map(|(object, _)| (*object).to_owned())
                .take_while(|object| object.starts_with(&own))
                .filter(|object| object != name && *object != dump)
                .collect();
            let verifications = verifications(storage, &beside).await?;
            backups.push(Backup {
                is_whole: sizes.get(dump.as_str()) == Some(&manifest.bytes),
                folder: folder.to_owned(),
                manifest,
                verifications,
                beside,
            });
        }
        backups.sort_by_key(|backup| backup.manifest.snapshot_at);
        Ok(Self { backups, unusable, objects })
    }

    /// The backups of one instance, the oldest first, without those of drills.
    pub fn of<'a>(&'a self, instance: &'a Instance) -> impl DoubleEndedIterator<Item = &'a Backup> {
        self.kept().filter(|backup| instance.is(&backup.manifest.instance))
    }

    /// The backups that are to be kept, the oldest first.
    fn kept(&self) -> impl DoubleEndedIterator<Item = &Backup> {
        self.backups.iter().filter(|backup| backup.manifest.purpose == Purpose::Backup)
    }

    /// The backup that is meant. `instance` is the one whose newest is meant by `latest`; without it there has to be one alone.
    pub fn select(
        &self,
        selector: &Selector,
        instance: Option<&Instance>,
    ) -> Result<&Backup, RecoveryError> {
        let no_backup = |sentence: String| Err(RecoveryError::NoBackup(sentence));
        if let Selector::Id(id) = selector {
            let named = |backup: &&Backup| {
                backup.id() == id || format!("{}{}", backup.folder, backup.id()) == *id
            };
            let mut found = self.backups.iter().filter(named);
            return match (found.next(), found.next()) {
                (Some(backup), None) => Ok(backup),
                (Some(one), Some(other)) => no_backup(format!(
                    "{id} is a backup of two instances: name {}{id} or {}{id}",
                    one.folder, other.folder
                )),
                _ => {
                    let damaged = self
                        .unusable
                        .iter()
                        .find(|unusable| unusable.name.ends_with(&format!("{id}{MANIFEST}")));
                    match damaged {
                        Some(Unusable { error, .. }) => {
                            Err(RecoveryError::Manifest { id: id.clone(), error: error.clone() })
                        }
                        None => no_backup(format!(
                            "there is no backup {id}; see `agentfs-server backups` for those that there are"
                        )),
                    }
                }
            };
        }
        let mut instances: Vec<&str> =
            self.kept().map(|backup| &*backup.manifest.instance).collect();
        instances.sort_unstable();
        instances.dedup();
        if instance.is_none() && instances.len() > 1 {
            return no_backup(format!(
                "there are backups of {} instances ({}): name the one that is meant by its id",
                instances.len(),
                instances.join(", ")
            ));
        }
        let wanted = |backup: &&Backup| {
            instance.is_none_or(|instance| instance.is(&backup.manifest.instance))
                && (*selector == Selector::Latest || backup.is_verified())
        };
        match self.kept().rfind(wanted) {
            Some(backup) => Ok(backup),
            None if *selector == Selector::LatestVerified && !instances.is_empty() => no_backup(
                "no backup is verified: run `agentfs-server verify --level restore`, or name one by its id".into(),
            ),
            None => no_backup("there is no backup yet".into()),
        }
    }
}

/// Removes a backup. Its manifest goes first: from then on it does not exist. Any step can be the last; `check` sweeps the rest.
pub(super) async fn remove(storage: &Storage, backup: &Backup) -> Result<Removal, RecoveryError> {
    match storage.remove(&backup.object(MANIFEST)).await? {
        Removal::Removed => {}
        protected @ Removal::Protected(_) => return Ok(protected),
    }
    for name in std::iter::once(&backup.dump()).chain(&backup.beside) {
        storage.remove(name).await?;
    }
    Ok(Removal::Removed)
}

/// The records of verifications among the objects beside a backup. What is no such record is skipped.
async fn verifications(
    storage: &Storage,
    beside: &[String],
) -> Result<Vec<Verification>, RecoveryError> {
    let mut records = Vec::new();
    for name in
        beside.iter().filter(|name| name.contains(".verified_") || name.contains(".failed_"))
    {
        let Some(json) = storage.read_small(name).await? else { continue };
        records.extend(serde_json::from_slice::<Verification>(&json).ok());
    }
    records.sort_by_key(|record| record.at);
    Ok(records)
}
