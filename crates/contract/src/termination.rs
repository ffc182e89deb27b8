//! What a command leaves for Kubernetes, as the termination message of its container: a [`Report`] of its failure, or what it
//! has found out ([`BackupReport`], [`DrillReport`], [`RestoreReport`]), or what servers of its image can do ([`MigrationReport`]).

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::record::{BackupRecord, VerificationRecord};
use crate::verification::Step;

/// Where Kubernetes reads it.
pub const FILE: &str = "/dev/termination-log";
/// Longest that Kubernetes keeps; of what is longer it takes the end.
const MAX_BYTES: usize = 4096;

/// A report as it is written: one line of JSON.
fn line(report: &impl Serialize) -> String {
    serde_json::to_string(report).unwrap_or_default()
}

/// The same, which Kubernetes takes whole: where it would not, `cut` shortens the report first.
fn whole_line<T: Clone + Serialize>(report: &T, cut: impl FnOnce(&mut T)) -> String {
    let whole = line(report);
    if whole.len() <= MAX_BYTES {
        return whole;
    }
    let mut report = report.clone();
    cut(&mut report);
    line(&report)
}

/// Shortens the message of a report whose other fields leave it so many bytes less. Escapes make a text six times as long at most.
fn shorten(message: &mut String, less: usize) {
    message.truncate(message.floor_char_boundary(MAX_BYTES / 6 - less));
    message.push('…');
}

/// Reads a report; `None` where the message is something else.
fn read<T: DeserializeOwned>(message: &str) -> Option<T> {
    serde_json::from_str(message.trim()).ok()
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What went wrong and what to do, as a sentence.
    pub message: String,
    /// Whether the same command may succeed later.
    pub transient: bool,
}

impl Report {
    /// The report as it is written: one line of JSON that Kubernetes takes whole.
    pub fn write(&self) -> String {
        whole_line(self, |report| shorten(&mut report.message, 50))
    }

    /// Reads a report; `None` where the message is something else: a log line, or the plain sentence of a server before 0.2.
    pub fn read(message: &str) -> Option<Self> {
        read(message)
    }
}

/// What a backup that was made leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupReport {
    /// How large the database is on its server's disk, in bytes.
    pub database_bytes: u64,
    /// The backup; not where a younger one was found to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupRecord>,
    /// What a verification that followed found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationRecord>,
    /// Where one that was to follow found nothing, what a [`Report`] has: why, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// And whether the same command may verify it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transient: Option<bool>,
}

impl BackupReport {
    /// The report as it is written: one line of JSON that Kubernetes takes whole.
    pub fn write(&self) -> String {
        whole_line(self, |report| {
            let found = report.verification.as_mut().and_then(|found| found.message.as_mut());
            for message in found.into_iter().chain(&mut report.message) {
                shorten(message, 350);
            }
        })
    }

    /// Reads a report; `None` where the message is something else.
    pub fn read(message: &str) -> Option<Self> {
        read(message)
    }
}

/// What a command leaves that works for a resource which was carried out before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlreadyDone {
    /// When that ended.
    pub already_done: Timestamp,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// How it ended, as a sentence.
    pub message: String,
    /// The restore that it was, where it was one that began: its id in the database's records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<String>,
    /// Since when what that restored is there, where it came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_at: Option<Timestamp>,
    /// Until when that can be undone, where it is a restore in place of which that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
}

impl AlreadyDone {
    /// The report as it is written: one line of JSON.
    pub fn write(&self) -> String {
        line(self)
    }

    /// Until when it can be undone; `None` where that is not known, or nothing of before is kept.
    pub fn kept_until(&self) -> Option<Timestamp> {
        kept_until(self.switched_at?, self.previous_until?)
    }

    /// Reads a report; `None` where the message is something else.
    pub fn read(message: &str) -> Option<Self> {
        read(message)
    }
}

/// Until when what was live before a switch is kept; `None` where nothing is: both moments are of the switch then, some
/// microseconds apart.
pub fn kept_until(switched_at: Timestamp, previous_until: Timestamp) -> Option<Timestamp> {
    let kept = previous_until.duration_since(switched_at);
    (kept >= SignedDuration::from_secs(1)).then_some(previous_until)
}

/// What a drill leaves that came to a report, whether or not it passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// Whether the marker came back, the objectives are met and nothing is left.
    pub passed: bool,
    /// Where it did not pass, what a [`Report`] has: why, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// And whether the same drill may pass later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transient: Option<bool>,
    /// The most seconds whose writes a disaster would have lost; `None` where there is no backup.
    pub rpo_seconds: Option<f64>,
    /// Seconds of a restore until the API serves; `None` where it did not come so far.
    pub serving_seconds: Option<f64>,
    /// Seconds until the vector indexes are built as well.
    pub indexed_seconds: Option<f64>,
    /// Whether the recovery point and time are as they are wanted; `None` where nothing is wanted, or a time was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<Objectives>,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// Whether objectives are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objectives {
    /// All of them.
    Met,
    /// Not all of them.
    Missed,
}

impl DrillReport {
    /// The report as it is written: one line of JSON that Kubernetes takes whole.
    pub fn write(&self) -> String {
        whole_line(self, |report| {
            if let Some(message) = &mut report.message {
                shorten(message, 350);
            }
        })
    }

    /// Reads a report; `None` where the message is something else.
    pub fn read(message: &str) -> Option<Self> {
        read(message)
    }
}

/// What a restore in place, or its undoing, leaves that has switched. One that has not leaves a [`Report`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Its id in the database's records of restores.
    pub restore: String,
    /// The backup; of an undoing, that of the restore that it undid.
    pub backup: String,
    /// Whether it was an undoing.
    pub undone: bool,
    /// The moment from which on what was restored was live.
    pub switched_at: Timestamp,
    /// How long requests waited for that at most, in seconds.
    pub switch_seconds: f64,
    /// Versions that are not live any more, of all tenants together.
    pub lost_versions: i64,
    /// How many tenants they are of.
    pub lost_tenants: usize,
    /// The same by tenant, those first that lost most. Not all of them where that would be too long.
    pub lost: Vec<LostVersions>,
    /// Seconds until it served.
    pub serving_seconds: f64,
    /// Seconds until the vector indexes were built as well; `None` where there are some that were not.
    pub indexed_seconds: Option<f64>,
    /// Until when it can be undone; the moment of the switch where nothing of before is kept.
    pub previous_until: Timestamp,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// What a tenant lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostVersions {
    /// The tenant's id.
    pub tenant: String,
    /// How many versions.
    pub versions: i64,
    /// When the first of them was written.
    pub from: Timestamp,
    /// When the last of them was written.
    pub to: Timestamp,
}

impl RestoreReport {
    /// Until when it can be undone; `None` where nothing of before is kept.
    pub fn kept_until(&self) -> Option<Timestamp> {
        kept_until(self.switched_at, self.previous_until)
    }

    /// The report as it is written: one line of JSON that Kubernetes takes whole.
    pub fn write(&self) -> String {
        let mut report = self.clone();
        report.lost.sort_by_key(|lost| std::cmp::Reverse(lost.versions));
        loop {
            let written = line(&report);
            if written.len() <= MAX_BYTES
                || (report.lost.pop().is_none() && report.steps.pop().is_none())
            {
                return written;
            }
        }
    }

    /// Reads a report; `None` where the message is something else.
    pub fn read(message: &str) -> Option<Self> {
        read(message)
    }
}

/// What a restore in place leaves that has switched and did not come to its end: a [`Report`] that says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedRestore {
    /// What went wrong after the switch.
    pub message: String,
    /// Whether the same command may bring it to its end later.
    pub transient: bool,
    /// That it has switched: what was restored is live.
    pub has_switched: bool,
}

impl UnfinishedRestore {
    /// The report as it is written: one line of JSON that Kubernetes takes whole.
    pub fn write(&self) -> String {
        whole_line(self, |report| shorten(&mut report.message, 50))
    }

    /// Reads a report; `None` where the message is something else.
    pub fn read(message: &str) -> Option<Self> {
        read::<Self>(message).filter(|report| report.has_switched)
    }
}

/// What a restore leaves that the database's volume is too small for: a [`Report`] that says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeTooSmall {
    /// What is needed and what is there, as a sentence.
    pub message: String,
    /// Whether the same command may succeed later.
    pub transient: bool,
    /// The size that the volume has to have, in bytes.
    pub volume_bytes: u64,
}

impl VolumeTooSmall {
    /// The report as it is written: one line of JSON that Kubernetes takes whole.
    pub fn write(&self) -> String {
        whole_line(self, |report| shorten(&mut report.message, 50))
    }

    /// Reads a report; `None` where the message is something else.
    pub fn read(message: &str) -> Option<Self> {
        read(message)
    }
}

/// What a migration that succeeded leaves. Servers of its image follow, and the operator cannot know of which release they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationReport {
    /// Whether servers and workers of this image listen on `PORT_OPERATIONS`.
    pub operations_port: bool,
    /// Why no backup of the database can be made, as a sentence, where its PostgreSQL is not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_backups: Option<String>,
}

impl MigrationReport {
    /// The report of this release, as it is written: one line of JSON.
    pub fn write(no_backups: Option<String>) -> String {
        line(&Self { operations_port: true, no_backups })
    }

    /// Reads a report; `None` where the message is something else, as of the release before, which left none.
    pub fn read(message: &str) -> Option<Self> {
        read(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = Report { message: "the database \"a\" is away".into(), transient: true };
        assert_eq!(Report::read(&report.write()), Some(report));
        assert_eq!(Report::read("the database is away"), None);
        assert_eq!(Report::read(r#"{"level":"ERROR","message":"x"}"#), None);
    }

    #[test]
    fn a_long_report_is_cut_where_it_can_still_be_read() {
        let report = Report { message: "\u{1}ä".repeat(5000), transient: false };
        let written = report.write();
        assert!(written.len() <= MAX_BYTES);
        let read = Report::read(&written).unwrap();
        assert!(read.message.ends_with('…') && read.message.starts_with("\u{1}ä"));
    }

    fn report_of_backup(message: Option<&str>) -> BackupReport {
        BackupReport {
            database_bytes: 8_000_000,
            backup: None,
            verification: None,
            message: message.map(Into::into),
            transient: message.map(|_| true),
        }
    }

    #[test]
    fn reports_of_success_and_of_failure_are_told_apart() {
        let made = report_of_backup(None);
        assert_eq!(BackupReport::read(&made.write()), Some(made.clone()));
        assert_eq!(Report::read(&made.write()), None);
        // One that could not be verified is both.
        let not_verified = report_of_backup(Some("no room"));
        assert_eq!(BackupReport::read(&not_verified.write()), Some(not_verified.clone()));
        assert_eq!(Report::read(&not_verified.write()).unwrap().message, "no room");
        for no_backups in [None, Some("the server is too old".to_owned())] {
            let migrated = MigrationReport::write(no_backups.clone());
            let read = MigrationReport { operations_port: true, no_backups };
            assert_eq!(MigrationReport::read(&migrated), Some(read));
            assert_eq!((Report::read(&migrated), BackupReport::read(&migrated)), (None, None));
        }
        let before = MigrationReport::read(r#"{"operations_port":true}"#);
        assert_eq!(before.unwrap().no_backups, None);
        let failed = Report { message: "m".into(), transient: true };
        assert_eq!(MigrationReport::read(&failed.write()), None);
        assert_eq!(BackupReport::read(&failed.write()), None);
    }

    #[test]
    fn a_long_flaw_of_a_backup_is_cut_where_the_report_can_still_be_read() {
        let time: Timestamp = "2026-11-28T14:08:00Z".parse().unwrap();
        let found = VerificationRecord {
            verified: "False".into(),
            level: "Restore".into(),
            time,
            seconds: 3,
            message: Some("\u{1}ä".repeat(5000)),
        };
        let report = BackupReport { verification: Some(found.clone()), ..report_of_backup(None) };
        let written = report.write();
        assert!(written.len() <= MAX_BYTES, "{}", written.len());
        let long = report_of_backup(Some(&"\u{1}ä".repeat(5000))).write();
        assert!(long.len() <= MAX_BYTES && Report::read(&long).unwrap().message.ends_with('…'));
        let read = BackupReport::read(&written).unwrap().verification.unwrap();
        let message = read.message.clone().unwrap();
        assert!(message.starts_with("\u{1}ä") && message.ends_with('…'), "{message}");
        assert_eq!(VerificationRecord { message: found.message.clone(), ..read }, found);
    }

    #[test]
    fn a_drill_that_did_not_pass_is_a_failure_too() {
        let step = |name: &str| Step { name: name.into(), seconds: 12.345_678_901_234_5 };
        let names = [
            "put", "backup", "fetch", "archive", "start", "create", "load", "compare", "migrate",
            "analyse", "serve", "marker", "index", "clean",
        ];
        let report = DrillReport {
            passed: false,
            message: Some("--rpo 26h is missed".into()),
            transient: Some(false),
            rpo_seconds: Some(99_000.0),
            serving_seconds: Some(12.5),
            indexed_seconds: None,
            objectives: Some(Objectives::Missed),
            steps: names.map(step).into(),
        };
        assert_eq!(DrillReport::read(&report.write()), Some(report.clone()));
        assert_eq!(Report::read(&report.write()).unwrap().message, "--rpo 26h is missed");
        let passed = DrillReport { passed: true, message: None, transient: None, ..report.clone() };
        assert_eq!(DrillReport::read(&passed.write()), Some(passed.clone()));
        assert_eq!(Report::read(&passed.write()), None);
        let long = DrillReport { message: Some("\u{1}ä".repeat(5000)), ..report };
        let written = long.write();
        assert!(written.len() <= MAX_BYTES, "{}", written.len());
        assert_eq!(DrillReport::read(&written).unwrap().steps, long.steps);
        assert_eq!(DrillReport::read(r#"{"message":"m","transient":true}"#), None);
    }

    #[test]
    fn a_restore_tells_those_that_lost_most_where_not_all_fit() {
        let at: Timestamp = "2026-11-28T14:08:00.123456Z".parse().unwrap();
        let lost = |versions| LostVersions {
            tenant: "0199aaaa-0000-7000-8000-000000000000".into(),
            versions,
            from: at,
            to: at,
        };
        let step = |_| Step { name: "a step of a restore".into(), seconds: 12.345_678_901_234_5 };
        let report = RestoreReport {
            restore: "0199aaaa-0000-7000-8000-000000000001".into(),
            backup: "agentfs_20261127_020000".into(),
            undone: false,
            switched_at: at,
            switch_seconds: 0.011_234_567_890_123,
            lost_versions: 3,
            lost_tenants: 2,
            lost: vec![lost(1), lost(2)],
            serving_seconds: 36.0,
            indexed_seconds: None,
            previous_until: at,
            steps: (0..12).map(step).collect(),
        };
        let read = RestoreReport::read(&report.write()).unwrap();
        assert_eq!(read.lost, [lost(2), lost(1)]);
        assert_eq!(RestoreReport { lost: vec![lost(1), lost(2)], ..read }, report);
        assert_eq!(
            (Report::read(&report.write()), DrillReport::read(&report.write())),
            (None, None)
        );
        assert_eq!(RestoreReport::read(r#"{"message":"m","transient":true}"#), None);

        let many = RestoreReport { lost: (0..1000).map(lost).collect(), ..report };
        let written = many.write();
        assert!(written.len() <= MAX_BYTES, "{}", written.len());
        let read = RestoreReport::read(&written).unwrap();
        assert!(read.lost.len() > 5 && read.lost[0] == lost(999), "{}", read.lost.len());
        assert_eq!((read.steps.len(), read.lost_tenants), (12, 2));
    }

    #[test]
    fn a_restore_that_has_switched_is_told_from_one_that_failed() {
        let report = UnfinishedRestore {
            message: "it is switched".into(),
            transient: true,
            has_switched: true,
        };
        assert_eq!(UnfinishedRestore::read(&report.write()), Some(report.clone()));
        let plain = Report::read(&report.write()).unwrap();
        assert_eq!((plain.message.as_str(), plain.transient), ("it is switched", true));
        assert_eq!(UnfinishedRestore::read(&plain.write()), None);
        let long = UnfinishedRestore { message: "\u{1}ä".repeat(5000), ..report };
        assert!(long.write().len() <= MAX_BYTES);
        assert!(UnfinishedRestore::read(&long.write()).unwrap().message.ends_with('…'));
    }

    #[test]
    fn a_volume_that_is_too_small_is_told_from_other_failures() {
        let report = VolumeTooSmall {
            message: "it needs 2 GiB".into(),
            transient: false,
            volume_bytes: 3 << 30,
        };
        assert_eq!(VolumeTooSmall::read(&report.write()), Some(report.clone()));
        let plain = Report::read(&report.write()).unwrap();
        assert_eq!((plain.message.as_str(), plain.transient), ("it needs 2 GiB", false));
        assert_eq!(VolumeTooSmall::read(&plain.write()), None);
        let long = VolumeTooSmall { message: "\u{1}ä".repeat(5000), ..report };
        assert!(long.write().len() <= MAX_BYTES);
        let read = VolumeTooSmall::read(&long.write()).unwrap();
        assert!(read.message.ends_with('…') && read.volume_bytes == 3 << 30);
    }

    #[test]
    fn what_a_newer_program_adds_is_passed_over() {
        let newer = r#"{"message":"m","transient":false,"seconds":{"load":1.5}}"#;
        assert_eq!(Report::read(newer).unwrap().message, "m");
    }
}
