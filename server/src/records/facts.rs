//! What a record says of a backup, and the backup that a record tells of.

use agentfs_contract::manifest::{FORMAT, Manifest, Purpose, Scope};
use agentfs_contract::people;
use agentfs_contract::record::{BackupRecord, VerificationRecord};
use agentfs_contract::verification::{Level, Verification};
use jiff::Timestamp;

use crate::recovery::Location;
use crate::recovery::catalogue::Backup;

/// The table of the entries.
const ENTRIES: &str = "entries";
/// Most characters of what is wrong with a backup that a record has.
const MAX_MESSAGE: usize = 1024;
/// Most characters of a version.
const MAX_VERSION: usize = 64;

/// The backup with this manifest, at a location.
pub fn of_manifest(manifest: &Manifest, location: &Location) -> BackupRecord {
    let Manifest { snapshot_at, finished_at, .. } = *manifest;
    let version = manifest.postgres.split(' ').next().unwrap_or_default();
    let entries = manifest.tables.get(ENTRIES).map_or(0, |table| table.rows);
    BackupRecord {
        id: manifest.id().to_owned(),
        location: location.to_string(),
        instance: manifest.instance.clone(),
        scope: scope(manifest.scope).to_owned(),
        snapshot_time: to_the_second(snapshot_at),
        finished_time: to_the_second(finished_at),
        duration: people::duration(finished_at.duration_since(snapshot_at)),
        size: people::size(manifest.bytes),
        bytes: signed(manifest.bytes),
        entries,
        database_bytes: signed(manifest.database_bytes),
        postgres: version.chars().take(MAX_VERSION).collect(),
        encrypted: manifest.encryption.is_some(),
    }
}

/// A verification that ended.
pub fn of_verification(found: &Verification) -> VerificationRecord {
    VerificationRecord {
        verified: match (&found.failure, found.proves()) {
            (Some(_), _) => "False",
            (None, true) => "True",
            (None, false) => "Unknown",
        }
        .into(),
        level: level(found.level).into(),
        time: to_the_second(found.at),
        seconds: found.seconds().ceil() as i64,
        message: found.failure.as_deref().map(cut),
    }
}

/// What is known of whether a backup restores; `None` where nothing is.
pub fn verdict(backup: &Backup) -> Option<VerificationRecord> {
    let decides = |found: &&Verification| found.level == Level::Restore || found.failure.is_some();
    let newest = backup.newest_verifications().find(decides);
    let newest = newest.or_else(|| backup.newest_verifications().next()).map(of_verification);
    let flaw =
        if backup.is_whole { backup.known_failure() } else { Some("the dump was cut short") };
    let Some(flaw) = flaw else { return newest };
    let found = newest.unwrap_or_else(|| flawed(flaw, backup.written_at));
    Some(VerificationRecord { verified: "False".into(), message: Some(cut(flaw)), ..found })
}

/// A backup that is seen not to restore without a verification, at a moment.
pub fn flawed(flaw: &str, at: Timestamp) -> VerificationRecord {
    VerificationRecord {
        verified: "False".into(),
        level: level(Level::Archive).into(),
        time: to_the_second(at),
        seconds: 0,
        message: Some(cut(flaw)),
    }
}

/// The backup of a record, as far as the record tells, for a policy to decide about.
pub fn backup(record: &BackupRecord, found: Option<&VerificationRecord>) -> Backup {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let mut backup = Backup::of_manifest(Manifest {
        format: FORMAT,
        purpose: Purpose::Backup,
        scope: if record.scope == scope(Scope::Entries) { Scope::Entries } else { Scope::Full },
        file: format!("{}.dump", record.id),
        bytes: unsigned(record.bytes),
        sha256: String::new(),
        encryption: None,
        instance: record.instance.clone(),
        schema_version: 0,
        min_compatible: 0,
        postgres: record.postgres.clone(),
        pg_dump: String::new(),
        program: String::new(),
        snapshot_at: record.snapshot_time,
        finished_at: record.finished_time,
        database_bytes: unsigned(record.database_bytes),
        tables: std::collections::BTreeMap::new(),
        left_out: vec![],
        checksum: String::new(),
    });
    backup.verifications.extend(found.filter(|found| found.verified != "Unknown").map(|found| {
        let bad = found.verified != "True";
        Verification {
            backup: record.id.clone(),
            manifest: String::new(),
            level: Level::Restore,
            failure: bad.then(|| found.message.clone().unwrap_or_default()),
            at: found.time,
            program: String::new(),
            postgres: None,
            steps: vec![],
        }
    }));
    backup
}

/// How the resource names a scope.
pub fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Full => "Full",
        Scope::Entries => "Entries",
    }
}

/// A moment as Kubernetes keeps it.
pub fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Archive => "Archive",
        Level::Restore => "Restore",
    }
}

fn cut(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
