//! Finds the backup that somebody means.

use agentfs_contract::manifest::ManifestError;

use super::name::{MANIFEST, Name, stamp};
use super::{Backup, Catalogue, Unusable};
use crate::domain::nearest_name::nearest;
use crate::recovery::error::RecoveryError;
use crate::recovery::instance::Instance;

/// Words that stand for a backup.
const LATEST: &str = "latest";
const LATEST_VERIFIED: &str = "latest-verified";

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
            LATEST => Self::Latest,
            LATEST_VERIFIED => Self::LatestVerified,
            id => Self::Id(id.to_owned()),
        }
    }
}

impl Catalogue {
    /// The backup that is meant. `instance` is the one whose newest is meant by `latest`; without it there has to be one alone.
    pub fn select(
        &self,
        selector: &Selector,
        instance: Option<&Instance>,
    ) -> Result<&Backup, RecoveryError> {
        if let Selector::Id(id) = selector {
            return self.named(id);
        }
        let instances = self.instances();
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
            // Whoever asks for the newest is not given an older one in its place.
            Some(backup) => match self.newer_unusable(backup) {
                Some((id, error)) if *selector == Selector::Latest => {
                    Err(RecoveryError::Manifest { id: id.to_owned(), error: error.clone() })
                }
                Some((id, error)) => {
                    tracing::warn!(
                        "{id} is newer than {}, and cannot be used: {error}",
                        backup.id()
                    );
                    Ok(backup)
                }
                None => {
                    self.tell_of_newer(backup, selector);
                    Ok(backup)
                }
            },
            None if *selector == Selector::LatestVerified && !instances.is_empty() => {
                no_backup(format!(
                    "no backup is verified: run `agentfs-server verify --from {} --level restore`, or name one by its id",
                    self.location
                ))
            }
            None if !instances.is_empty() => no_backup(format!(
                "there is no backup of this database's instance yet, but of {}: name one by its id; see `agentfs-server backups --from {}`",
                instances.join(", "),
                self.location
            )),
            None => no_backup(format!("there is no backup in {} yet", self.location)),
        }
    }

    /// Says so where the newest verified backup is not the newest one.
    fn tell_of_newer(&self, verified: &Backup, selector: &Selector) {
        let is_newer = |backup: &&Backup| {
            backup.folder == verified.folder
                && backup.manifest.snapshot_at > verified.manifest.snapshot_at
        };
        if *selector == Selector::LatestVerified
            && let Some(newer) = self.kept().rfind(is_newer)
        {
            tracing::warn!(
                "{} is newer than {}, and not verified by a restore: verify it, or name it by its id",
                newer.id(),
                verified.id()
            );
        }
    }

    /// The backup with this id, or with this folder and id.
    fn named(&self, id: &str) -> Result<&Backup, RecoveryError> {
        let named = |backup: &&Backup| backup.id() == id || backup.path() == *id;
        let mut found = self.backups.iter().filter(named);
        match (found.next(), found.next()) {
            (Some(backup), None) => Ok(backup),
            (Some(one), Some(other)) => no_backup(format!(
                "{id} is a backup of two instances: name {} or {}",
                one.path(),
                other.path()
            )),
            _ => match self.unusable_named(id) {
                Some(Unusable { error, .. }) => {
                    Err(RecoveryError::Manifest { id: id.to_owned(), error: error.clone() })
                }
                None => no_backup(self.not_there(id)),
            },
        }
    }

    /// What is said of an id that no backup has.
    fn not_there(&self, id: &str) -> String {
        let meant = match nearest(id, &[LATEST, LATEST_VERIFIED]) {
            Some(meant) if meant == id => "; name one by its id.".to_owned(),
            Some(meant) => format!("; did you mean {meant}?"),
            None => ".".to_owned(),
        };
        format!(
            "there is no backup {id}{meant} See `agentfs-server backups --from {}` for those that there are",
            self.location
        )
    }

    /// The manifest of this id, or of this folder and id, that cannot be used.
    pub fn unusable_named(&self, id: &str) -> Option<&Unusable> {
        let stem = |unusable: &Unusable| unusable.name.strip_suffix(MANIFEST).map(str::to_owned);
        self.unusable.iter().find(|unusable| {
            stem(unusable).is_some_and(|path| path == *id || path.ends_with(&format!("/{id}")))
        })
    }

    /// The newest manifest after this backup's, in its folder, that cannot be used.
    fn newer_unusable(&self, selected: &Backup) -> Option<(&str, &ManifestError)> {
        let named = self.unusable.iter().filter_map(|unusable| {
            let name = Name::parse(&unusable.name)?;
            let is_newer = name.folder == selected.folder && stamp(name.id) > stamp(selected.id());
            is_newer.then_some((name.id, &unusable.error))
        });
        named.max_by_key(|(id, _)| stamp(id))
    }
}

fn no_backup<T>(sentence: String) -> Result<T, RecoveryError> {
    Err(RecoveryError::NoBackup(sentence))
}
