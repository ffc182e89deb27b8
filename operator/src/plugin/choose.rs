//! Which backup is meant, from the records that there are.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::error::Error;
use super::words::{condition, moment};
use crate::crd::AgentFSBackup;
use crate::crd::backup::{AgentFSBackupStatus, BackupFacts, VerificationFacts};
use crate::crd::restore::Source;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The AgentFSBackup of that name.
    Backup(String),
    /// The backup of that id in the catalogue.
    Id(String),
    /// The newest.
    Latest,
    /// The newest that was proven by a restore.
    LatestVerified,
}

/// A backup that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made<'a> {
    /// The name of its record.
    pub(super) record: &'a str,
    /// What it is.
    pub(super) facts: &'a BackupFacts,
    /// Its newest verification.
    pub(super) verification: Option<&'a VerificationFacts>,
}

impl<'a> Made<'a> {
    /// The backup of a record, where it is made and there.
    pub(super) fn of(record: &'a AgentFSBackup) -> Option<Self> {
        let AgentFSBackupStatus { backup, verification, vanished_time: None, .. } =
            record.status.as_ref()?
        else {
            return None;
        };
        let record = record.metadata.name.as_deref()?;
        Some(Self { record, facts: backup.as_ref()?, verification: verification.as_ref() })
    }

    /// Those of them that are there, the newest first.
    pub(super) fn all(records: impl IntoIterator<Item = &'a AgentFSBackup>) -> Vec<Self> {
        let mut made: Vec<_> = records.into_iter().filter_map(Self::of).collect();
        made.sort_by_key(|made| std::cmp::Reverse(made.facts.snapshot_time.0));
        made
    }

    /// When it was proven by a restore, if it was.
    pub(super) fn proven(&self) -> Option<&'a Time> {
        let good = self.verification?;
        (good.verified == "True" && good.level == "Restore").then_some(&good.time)
    }

    /// What was found wrong with it, if anything was.
    pub(super) fn broken(&self) -> Option<&'a VerificationFacts> {
        self.verification.filter(|found| found.verified == "False")
    }

    /// The moment that it holds and whether it is proven, as in `2026-11-27 02:00 UTC, verified 2026-11-27 02:04 UTC`.
    pub(super) fn describe(&self) -> String {
        let at = moment(&self.facts.snapshot_time);
        let scope = if self.facts.scope == "Full" { "" } else { ", entries alone" };
        let verified = match (self.verification, self.proven()) {
            (_, Some(when)) => format!("verified {}", moment(when)),
            (Some(found), None) if found.verified == "False" => {
                format!("FOUND BROKEN {}", moment(&found.time))
            }
            (Some(found), None) => {
                format!("read {}, not verified by a restore", moment(&found.time))
            }
            (None, None) => "not verified".to_owned(),
        };
        format!("{at}{scope}, {verified}")
    }
}

/// What is restored, as the resource says it. A backup that was chosen here is named: the one that was agreed to is restored, though
/// there is a newer one by then.
pub(super) fn source(
    wanted: &Wanted,
    location: Option<&str>,
    agentfs: &str,
    records: &[&AgentFSBackup],
) -> Result<Source, Error> {
    let source = Source { location: location.map(str::to_owned), ..Source::default() };
    let named = |record: &str| Source { backup: Some(record.to_owned()), ..source.clone() };
    match (wanted, location) {
        (Wanted::Id(id), _) => Ok(Source { id: Some(id.clone()), ..source }),
        // The records tell of the destination of the AgentFS alone.
        (Wanted::Latest, Some(_)) => Ok(Source { latest: true, ..source }),
        (Wanted::LatestVerified, Some(_)) => Ok(Source { latest_verified: true, ..source }),
        (Wanted::Backup(name), _) => {
            let made = fit(name, agentfs, records, ". The id of a backup is given with --id")?;
            Ok(named(made.record))
        }
        (Wanted::Latest, None) => match Made::all(records.iter().copied()).first() {
            Some(newest) => Ok(named(newest.record)),
            None => Err(Error::NotThere(format!(
                "there is no backup of {agentfs} yet. Make one: kubectl agentfs backup {agentfs}"
            ))),
        },
        (Wanted::LatestVerified, None) => {
            let made = Made::all(records.iter().copied());
            match (made.iter().find(|made| made.proven().is_some()), made.first()) {
                (Some(proven), _) => Ok(named(proven.record)),
                (None, Some(newest)) => Err(Error::NotThere(format!(
                    "no backup of {agentfs} is verified by a restore. Verify the newest, {} of {}: kubectl agentfs verify \
                     {agentfs}; or restore it unverified with --latest",
                    newest.record,
                    moment(&newest.facts.snapshot_time)
                ))),
                (None, None) => Err(Error::NotThere(format!(
                    "there is no backup of {agentfs} yet. Make one: kubectl agentfs backup {agentfs} --verify restore"
                ))),
            }
        }
    }
}

/// The backup of the record `name`, if it can be restored. `or` is what else can be typed.
pub(super) fn fit<'a>(
    name: &str,
    agentfs: &str,
    records: &[&'a AgentFSBackup],
    or: &str,
) -> Result<Made<'a>, Error> {
    let Some(record) = records.iter().find(|record| record.metadata.name.as_deref() == Some(name))
    else {
        let newest: Vec<_> =
            Made::all(records.iter().copied()).iter().take(3).map(|made| made.record).collect();
        let hint = match newest.as_slice() {
            [] => "There is none".to_owned(),
            newest => format!("The newest are {}", newest.join(", ")),
        };
        return Err(Error::NotThere(format!(
            "there is no AgentFSBackup {name} of {agentfs}. {hint}; kubectl agentfs backups {agentfs} lists all{or}"
        )));
    };
    if let Some(made) = Made::of(record) {
        return Ok(made);
    }
    let status = record.status.as_ref();
    if let Some(vanished) = status.and_then(|status| status.vanished_time.as_ref()) {
        let at = moment(vanished);
        return Err(Error::NotThere(format!(
            "the backup of {name} is gone from its destination; that was found {at}. Choose another one: kubectl agentfs backups {agentfs}"
        )));
    }
    let said = status.and_then(|status| condition(&status.conditions, "Ready"));
    let said = said.map(|ready| format!(": {}", ready.message)).unwrap_or_default();
    Err(Error::NotThere(format!("{name} is no backup that can be restored{said}")))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// The record of a backup of that day, with the result of a verification.
    pub(in crate::plugin) fn record(
        name: &str,
        day: u8,
        verified: Option<(&str, &str)>,
    ) -> AgentFSBackup {
        let at = format!("2026-11-{day:02}T02:00:00Z");
        let found = verified.map(|(verified, level)| {
            json!({"verified": verified, "level": level, "time": format!("2026-11-{day:02}T02:04:00Z"), "seconds": 34})
        });
        let mut value = json!({
            "apiVersion": "agentfs.io/v1alpha1",
            "kind": "AgentFSBackup",
            "metadata": {"name": name, "namespace": "agents", "creationTimestamp": at},
            "spec": {"agentFS": "memory", "recordOf": format!("agentfs_202611{day:02}_020000")},
            "status": {"backup": {
                "id": format!("agentfs_202611{day:02}_020000"), "location": "s3://backups/agents/memory",
                "instance": "0199", "scope": "Full", "snapshotTime": at, "finishedTime": at, "duration": "41s",
                "size": "1.2Gi", "bytes": 1_288_490_188_i64, "entries": 1_048_576, "databaseBytes": 4_000_000_000_i64,
                "postgres": "17.6", "encrypted": false,
            }},
        });
        if let Some(found) = found {
            value["status"]["verification"] = found;
        }
        serde_json::from_value(value).unwrap()
    }

    fn chosen(wanted: &Wanted, records: &[AgentFSBackup]) -> Result<Option<String>, String> {
        let records: Vec<_> = records.iter().collect();
        let source = source(wanted, None, "memory", &records);
        source.map(|source| source.backup).map_err(|error| error.to_string())
    }

    #[test]
    fn the_newest_is_chosen_by_its_moment_and_named() {
        let restore = Some(("True", "Restore"));
        let records = [
            record("b", 26, restore),
            record("d", 28, None),
            record("a", 25, restore),
            record("c", 27, Some(("True", "Archive"))),
        ];
        assert_eq!(chosen(&Wanted::Latest, &records), Ok(Some("d".into())));
        assert_eq!(chosen(&Wanted::LatestVerified, &records), Ok(Some("b".into())));
        assert_eq!(chosen(&Wanted::Backup("c".into()), &records), Ok(Some("c".into())));
    }

    #[test]
    fn what_cannot_be_restored_is_not_chosen() {
        let mut gone = record("gone", 28, Some(("True", "Restore")));
        gone.status.as_mut().unwrap().vanished_time =
            Some(Time("2026-11-28T10:00:00Z".parse().unwrap()));
        let mut failed = record("failed", 29, None);
        failed.status.as_mut().unwrap().backup = None;
        let records = [gone, failed, record("good", 27, Some(("False", "Restore")))];
        assert_eq!(chosen(&Wanted::Latest, &records), Ok(Some("good".into())));
        let said = chosen(&Wanted::Backup("gone".into()), &records).unwrap_err();
        assert!(said.starts_with("the backup of gone is gone from its destination; that was found 2026-11-28 10:00 UTC."), "{said}");
        let said = chosen(&Wanted::Backup("failed".into()), &records).unwrap_err();
        assert_eq!(said, "failed is no backup that can be restored");
        let said = chosen(&Wanted::Backup("x".into()), &records).unwrap_err();
        assert!(said.contains("no AgentFSBackup x of memory. The newest are good;"), "{said}");
        let said = chosen(&Wanted::LatestVerified, &records).unwrap_err();
        assert!(
            said.contains(
                "Verify the newest, good of 2026-11-27 02:00 UTC: kubectl agentfs verify memory;"
            ),
            "{said}"
        );
        assert!(
            chosen(&Wanted::Latest, &[]).unwrap_err().contains("kubectl agentfs backup memory")
        );
    }

    #[test]
    fn a_backup_elsewhere_is_left_to_whoever_reads_that_place() {
        let elsewhere = source(&Wanted::Latest, Some("s3://old/x"), "memory", &[]).unwrap();
        assert!(elsewhere.latest && elsewhere.backup.is_none());
        assert_eq!(elsewhere.location.as_deref(), Some("s3://old/x"));
    }

    #[test]
    fn a_backup_says_whether_it_is_proven() {
        let said = |verified| Made::of(&record("a", 27, verified)).unwrap().describe();
        assert_eq!(
            said(Some(("True", "Restore"))),
            "2026-11-27 02:00 UTC, verified 2026-11-27 02:04 UTC"
        );
        assert_eq!(
            said(Some(("True", "Archive"))),
            "2026-11-27 02:00 UTC, read 2026-11-27 02:04 UTC, not verified by a restore"
        );
        assert_eq!(
            said(Some(("False", "Restore"))),
            "2026-11-27 02:00 UTC, FOUND BROKEN 2026-11-27 02:04 UTC"
        );
        assert_eq!(said(None), "2026-11-27 02:00 UTC, not verified");
    }
}
