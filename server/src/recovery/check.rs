//! Checks a catalogue: whether all that it promises is there.

use agentfs_contract::manifest::hex;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::catalogue::{Backup, Catalogue};
use super::error::RecoveryError;
use super::storage::{Storage, StorageError};

/// Clocks may differ by so much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// What belongs to no backup may be one that is being made, for so long.
const BEING_MADE: SignedDuration = SignedDuration::from_hours(24);
/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// What a check found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// Backups that were looked at.
    pub backups: usize,
    /// Bytes of dumps that were read for their sums.
    pub bytes_read: u64,
    /// What somebody has to mend.
    pub problems: Vec<Finding>,
    /// What is no problem: it goes by itself.
    pub notices: Vec<Finding>,
}

/// Something about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object.
    pub object: String,
    /// What is to say of it.
    pub finding: String,
}

/// Checks all backups at a location. With `sums` each dump is read, and compared with the SHA-256 in its manifest.
pub async fn check(storage: &Storage, sums: bool) -> Result<Checked, RecoveryError> {
    let catalogue = Catalogue::read(storage).await?;
    let mut checked = look_over(&catalogue, Timestamp::now());
    if sums {
        for backup in catalogue.backups.iter().filter(|backup| backup.is_whole) {
            match sum(storage, &backup.dump()).await {
                Ok((sha256, bytes)) => {
                    checked.bytes_read += bytes;
                    if sha256 != backup.manifest.sha256 {
                        checked.problem(backup.dump(), SUM_DIFFERS.into());
                    }
                }
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => checked.problem(backup.dump(), format!("it cannot be read: {error}")),
            }
        }
    }
    Ok(checked)
}

const SUM_DIFFERS: &str =
    "it is damaged: its SHA-256 is another one than the manifest's; an older backup may be whole";

/// Checks what can be seen without reading dumps.
fn look_over(catalogue: &Catalogue, now: Timestamp) -> Checked {
    let mut checked = Checked { backups: catalogue.backups.len(), ..Checked::default() };
    for unusable in &catalogue.unusable {
        checked.problem(unusable.name.clone(), unusable.error.to_string());
    }
    for backup in &catalogue.backups {
        checked.look_at_dump(backup);
        checked.look_at_clocks(backup, now);
        for name in &backup.unreadable {
            let unreadable = "it is damaged, or of a newer release: it cannot be read";
            checked.problem(name.clone(), unreadable.into());
        }
        for lease in &backup.leases {
            let (by, until) = (&lease.by, lease.until);
            let what = if until <= now {
                format!(
                    "the lease ended at {until:.0}; the next backup of this instance removes it"
                )
            } else if lease.is_left() {
                format!(
                    "the lease of a `{by}` that was killed on this machine: it keeps the backup until {until:.0}, unless `forget --force` removes that"
                )
            } else {
                format!(
                    "the lease of a `{by}`: nobody removes the backup before that has ended, or before {until:.0}"
                )
            };
            checked.notice(lease.name.clone(), what);
        }
    }
    for orphan in &catalogue.orphans {
        let name = orphan.object.name.clone();
        if orphan.leased_until.is_some_and(|until| until > now) {
            checked.notice(name, "its backup was removed, and somebody still reads it".into());
        } else if orphan.object.modified < now - BEING_MADE {
            let left = "it belongs to no backup: its manifest is missing. The next backup of this instance removes it; where there \
                        will be none, remove it by hand";
            checked.problem(name, left.into());
        } else {
            checked.notice(name, "it belongs to no backup yet: it is being made, or was left by a run that was killed".into());
        }
    }
    checked
}

impl Checked {
    fn problem(&mut self, object: String, finding: String) {
        self.problems.push(Finding { object, finding });
    }

    fn notice(&mut self, object: String, finding: String) {
        self.notices.push(Finding { object, finding });
    }

    fn look_at_dump(&mut self, backup: &Backup) {
        let promised = backup.manifest.bytes;
        match backup.dump_bytes {
            Some(bytes) if bytes == promised => {}
            Some(bytes) => self.problem(
                backup.dump(),
                format!("it has {bytes} bytes, and the manifest says {promised}: it was cut short or changed"),
            ),
            None => self.problem(backup.dump(), "it is missing: there is a manifest alone".into()),
        }
    }

    fn look_at_clocks(&mut self, backup: &Backup, now: Timestamp) {
        let manifest = &backup.manifest;
        let object = || backup.object(super::catalogue::MANIFEST);
        if manifest.snapshot_at > now + SKEW {
            self.problem(
                object(),
                format!(
                    "its snapshot is of {:.0}, which is in the future: look at the clocks of this machine and of the database",
                    manifest.snapshot_at
                ),
            );
        } else if manifest.finished_at + SKEW < manifest.snapshot_at {
            self.problem(
                object(),
                "it was finished before its snapshot: look at the clocks of the database and of the machine that made it".into(),
            );
        }
        if let Some(record) = backup.verifications.iter().find(|record| record.at > now + SKEW) {
            self.problem(
                object(),
                format!(
                    "it was verified at {:.0}, which is in the future: look at the clocks",
                    record.at
                ),
            );
        }
    }
}

/// The SHA-256 of an object in hexadecimal, and its size.
async fn sum(storage: &Storage, name: &str) -> Result<(String, u64), StorageError> {
    let mut object = storage.read(name).await?;
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let read = object.read(&mut piece).await;
        let read = read.map_err(|error| StorageError::File { path: name.into(), error })?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        bytes += read as u64;
    }
    Ok((hex(&hash.finalize()), bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::recovery::catalogue::tests::{DUMP, Place, hours_ago, manifest};
    use crate::recovery::catalogue::{MANIFEST, remove};

    /// What was found of objects that the test knows by a part of their names.
    fn all(found: &[Finding]) -> Vec<String> {
        found.iter().map(|finding| format!("{}: {}", finding.object, finding.finding)).collect()
    }

    #[tokio::test]
    async fn a_location_that_is_well_has_no_problem() {
        let place = Place::new().await;
        let mut whole = manifest(hours_ago(1));
        whole.sha256 = hex(&Sha256::digest(DUMP));
        place.add(whole).await;
        place.write("notes.txt", b"mine");
        place.write("agentfs_20200101_000000.dump", b"mine");
        let checked = check(&place.storage, true).await.unwrap();
        assert_eq!((all(&checked.problems), all(&checked.notices)), (vec![], vec![]));
        assert_eq!((checked.backups, checked.bytes_read), (1, DUMP.len() as u64));
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_told() {
        let place = Place::new().await;
        let flipped = place.add(manifest(hours_ago(5))).await;
        place.write(&flipped.dump(), b"a dumq");
        let short = place.add(manifest(hours_ago(4))).await;
        place.write(&short.dump(), b"a");
        let gone = place.add(manifest(hours_ago(3))).await;
        fs::remove_file(place.path(&gone.dump())).unwrap();
        let future = place.add(manifest(hours_ago(-2))).await;
        place.write(&format!("{}.verified_20300101_000000.json", future.path()), b"{");
        place.write(
            &format!("{}.lease_00.json", future.path()),
            br#"{"by": "verify", "until": "2020-01-01T00:00:00Z"}"#,
        );
        let orphans = [
            "7-1-agentfs/agentfs_20200101_000000.dump",
            "7-1-agentfs/agentfs_20200101_000001.dump",
        ];
        place.write(orphans[0], b"old");
        place.age(orphans[0], 25);
        place.write(orphans[1], b"young");
        place.write("7-1-agentfs/agentfs_20200101_000002.manifest.json", br#"{"format": 3}"#);

        let without = check(&place.storage, false).await.unwrap();
        let (problems, notices) = (all(&without.problems), all(&without.notices));
        let told = |name: &str, what: &str| {
            let is_it = |line: &&String| line.starts_with(name) && line.contains(what);
            assert_eq!(problems.iter().filter(is_it).count(), 1, "{name} {what}: {problems:#?}");
        };
        told(&short.dump(), "it has 1 bytes, and the manifest says 6");
        told(&gone.dump(), "missing");
        told(&future.object(MANIFEST), "in the future");
        told(&format!("{}.verified_20300101_000000.json", future.path()), "cannot be read");
        told(orphans[0], "belongs to no backup");
        told("7-1-agentfs/agentfs_20200101_000002.manifest.json", "use a newer agentfs-server");
        assert_eq!(problems.len(), 6, "{problems:#?}");
        assert!(
            notices[0].contains("lease ended") && notices[1].starts_with(orphans[1]),
            "{notices:#?}"
        );
        assert_eq!(notices.len(), 2, "{notices:#?}");

        remove(&place.storage, &future).await.unwrap();
        let with = check(&place.storage, true).await.unwrap();
        let damaged =
            with.problems.iter().find(|finding| finding.object == flipped.dump()).unwrap();
        assert!(damaged.finding.contains("SHA-256"), "{damaged:?}");
        assert_eq!(with.problems.len(), without.problems.len() - 2 + 1);
    }
}
