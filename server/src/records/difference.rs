//! What is to be changed in records, so that they say what the catalogue does. Without I/O.

use std::collections::{BTreeMap, BTreeSet};

use agentfs_contract::manifest::{ManifestError, Scope};
use agentfs_contract::record::{self, BackupRecord, VerificationRecord};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::facts;
use crate::recovery::catalogue::{Backup, Catalogue};
use crate::recovery::{Instance, Location, Retention};

/// An AgentFSBackup as the API server has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Existing {
    /// Its name.
    pub(super) name: String,
    /// What tells it from another one of that name.
    pub(super) uid: String,
    /// Whether it is being deleted.
    pub(super) is_ending: bool,
    /// The id of the backup that it is the record of; `None` where somebody asked for a backup.
    pub(super) record_of: Option<String>,
    /// What it says.
    pub(super) status: Status,
}

/// What pods write into the status of an AgentFSBackup.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// The backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backup: Option<BackupRecord>,
    /// Whether it restores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verification: Option<VerificationRecord>,
    /// When it was found to be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vanished_time: Option<Timestamp>,
}

impl Existing {
    /// Reads the AgentFSBackup of an AgentFS; `None` where it is another one's, or is none.
    pub(super) fn read(object: &Value, agentfs: &str) -> Option<Self> {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        if spec["agentFS"] != agentfs {
            return None;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            name: text(&metadata["name"])?,
            uid: text(&metadata["uid"])?,
            is_ending: !metadata["deletionTimestamp"].is_null(),
            record_of: text(&spec["recordOf"]),
            status: Status {
                backup: serde_json::from_value(status["backup"].clone()).ok(),
                verification: serde_json::from_value(status["verification"].clone()).ok(),
                vanished_time: serde_json::from_value(status["vanishedTime"].clone()).ok(),
            },
        })
    }

    /// The id of its backup, if it has one.
    fn id(&self) -> Option<&str> {
        self.status.backup.as_ref().map(|backup| &*backup.id).or(self.record_of.as_deref())
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// Make the record of a backup.
    Create {
        /// Its name.
        name: String,
        /// The id of the backup.
        id: String,
        /// The scope of the backup.
        scope: Scope,
        /// What it says.
        status: Status,
    },
    /// Have an AgentFSBackup say this.
    Say {
        /// Its name.
        name: String,
        /// What it says.
        status: Status,
    },
    /// Delete the AgentFSBackup of a backup that was removed.
    Delete {
        /// Its name.
        name: String,
        /// What tells it from another one of that name.
        uid: String,
    },
}

/// What is known of the backups of an AgentFS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// The AgentFS.
    pub(super) agentfs: &'a str,
    /// Where its backups are.
    pub(super) location: &'a Location,
    /// What is there, of all instances.
    pub(super) catalogue: &'a Catalogue,
    /// Its instances: their backups get records.
    pub(super) ours: &'a [Instance],
    /// Backups that this run removed, by folder and id.
    pub(super) removed: &'a [String],
    /// Which backups expire; `None` where that is not known.
    pub(super) retention: Option<&'a Retention>,
    /// The AgentFSBackup that this run's backup is for: its name, and the backup's id.
    pub(super) asked: Option<(&'a str, &'a str)>,
    /// The time.
    pub(super) now: Timestamp,
}

impl<'a> Known<'a> {
    /// What is to be changed, the newest backups first.
    pub(super) fn differs_from(&self, existing: &[Existing]) -> Vec<Change> {
        let present = self.present();
        let mut existing: Vec<&Existing> = existing.iter().collect();
        // Who asked for a backup comes first: then it needs no other record.
        existing.sort_by_key(|seen| (self.is_made_by_us(seen), &seen.name));
        let (mut told, mut ending) = (BTreeSet::new(), BTreeSet::new());
        let mut changes = Vec::new();
        for seen in existing {
            if seen.is_ending {
                ending.insert(&*seen.name);
                continue;
            }
            let Some(backup) = self.backup_of(seen, &present) else {
                changes.extend(self.without_backup(seen));
                continue;
            };
            let is_first = told.insert(backup.path());
            if !is_first && self.is_made_by_us(seen) {
                changes.push(Change::Delete { name: seen.name.clone(), uid: seen.uid.clone() });
                continue;
            }
            let status = self.status(backup);
            if status != seen.status {
                changes.push(Change::Say { name: seen.name.clone(), status });
            }
        }
        let untold = present.values().flatten().filter(|backup| {
            self.is_ours(&backup.manifest.instance) && !told.contains(&backup.path())
        });
        let mut untold: Vec<&Backup> = untold.copied().collect();
        untold.sort_by_key(|backup| std::cmp::Reverse(backup.manifest.snapshot_at));
        for backup in untold {
            let name = record::name(self.agentfs, backup.id());
            // One that is being deleted has the name for a moment more.
            if !ending.contains(&*name) {
                changes.push(Change::Create {
                    name,
                    id: backup.id().to_owned(),
                    scope: backup.manifest.scope,
                    status: self.status(backup),
                });
            }
        }
        changes
    }

    /// The backups that are there, by id: without a dump there is none.
    fn present(&self) -> BTreeMap<&'a str, Vec<&'a Backup>> {
        let mut present: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for backup in self.catalogue.kept().filter(|backup| backup.dump_bytes.is_some()) {
            present.entry(backup.id()).or_default().push(backup);
        }
        present
    }

    /// The backup that an AgentFSBackup is of, if it is there.
    fn backup_of(
        &self,
        seen: &Existing,
        present: &BTreeMap<&str, Vec<&'a Backup>>,
    ) -> Option<&'a Backup> {
        let asked = self.asked.filter(|(name, _)| *name == seen.name).map(|(_, id)| id);
        let facts = seen.status.backup.as_ref().filter(|_| asked.is_none());
        let mut named = present.get(asked.or_else(|| seen.id())?)?.iter();
        named
            .find(|backup| match facts {
                Some(facts) => backup.manifest.instance == facts.instance,
                None => self.is_ours(&backup.manifest.instance),
            })
            .copied()
    }

    /// What becomes of an AgentFSBackup whose backup is not there, or not yet.
    fn without_backup(&self, seen: &Existing) -> Option<Change> {
        let id = seen.id()?;
        let Existing { name, uid, status, .. } = seen;
        let facts = status.backup.as_ref();
        let is_it = |path: &String| match (facts, path.rsplit_once('/')) {
            (Some(facts), Some((folder, last))) => last == id && folder == facts.instance,
            (None, Some((_, last))) => last == id,
            // Of releases before 0.2.
            (_, None) => path == id,
        };
        let would_have_expired = |retention: &Retention, facts: &BackupRecord| {
            let gone = facts::backup(facts, status.verification.as_ref());
            retention.would_have_expired(&gone, self.catalogue, self.now)
        };
        let location = self.location.to_string();
        if facts.is_some_and(|facts| facts.location != location) {
            return None;
        }
        let path = facts.map_or_else(|| id.to_owned(), |facts| format!("{}/{id}", facts.instance));
        if let Some(unusable) = self.catalogue.unusable_named(&path) {
            return self.unreadable(seen, &unusable.error);
        }
        let has_expired = self
            .retention
            .zip(facts)
            .is_some_and(|(retention, facts)| would_have_expired(retention, facts));
        if self.removed.iter().any(is_it) || has_expired {
            return Some(Change::Delete { name: name.clone(), uid: uid.clone() });
        }
        // Who does not know the rules leaves what some rules may have removed to those who do.
        if self.retention.is_none()
            && facts.is_none_or(|facts| would_have_expired(&Retention::LEAST, facts))
        {
            return None;
        }
        status.vanished_time.is_none().then(|| {
            let vanished_time = Some(facts::to_the_second(self.now));
            Change::Say { name: name.clone(), status: Status { vanished_time, ..status.clone() } }
        })
    }

    /// What becomes of one whose manifest is there and cannot be used.
    fn unreadable(&self, seen: &Existing, error: &ManifestError) -> Option<Change> {
        let message = error.to_string();
        let Existing { name, status, .. } = seen;
        let said = status.verification.as_ref().and_then(|found| found.message.as_ref());
        let is_known = matches!(error, ManifestError::Newer(_)) || said == Some(&message);
        (!is_known).then(|| Change::Say {
            name: name.clone(),
            status: Status {
                verification: Some(facts::flawed(&message, self.now)),
                vanished_time: None,
                ..status.clone()
            },
        })
    }

    fn status(&self, backup: &Backup) -> Status {
        Status {
            backup: Some(facts::of_manifest(&backup.manifest, self.location)),
            verification: facts::verdict(backup),
            vanished_time: None,
        }
    }

    fn is_ours(&self, instance: &str) -> bool {
        self.ours.iter().any(|ours| ours.is(instance))
    }

    fn is_made_by_us(&self, seen: &Existing) -> bool {
        seen.record_of.as_ref().is_some_and(|id| record::name(self.agentfs, id) == seen.name)
    }
}

#[cfg(test)]
pub(super) mod tests;
