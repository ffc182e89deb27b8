//! `spec.backup`: scheduled backups of the whole database.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::DeletionPolicy;
use super::recovery::{Destination, DrillSchedule, Encryption, Keep, Objectives, VerifySchedule};
use crate::crd::fields::names::object_name;
use crate::crd::fields::schedule::schedule;
use crate::crd::fields::{PodSettings, Resources, Storage};

/// Scheduled backups of the whole database, to a volume or a bucket. One CronJob makes a dump with a manifest and
/// removes old ones; others verify backups and run drills. They keep running while the operator is down.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Whether to make backups. Existing backups stay when it becomes false.
    #[serde(default = "Backup::default_enabled")]
    pub enabled: bool,

    /// Pauses scheduled backups, verifications and drills while it is true. Existing backups are kept.
    #[serde(default)]
    pub suspend: bool,

    /// When backups are made, as in a CronJob: minute, hour, day of the month, month and day of the week; Sunday is 0.
    /// If the cluster was down at that time, one backup is made when it is back, within a week.
    #[serde(default = "Backup::default_schedule")]
    #[schemars(
        schema_with = "schedule",
        description = "When backups are made, as in a CronJob: minute, hour, day of the month, month and day of the week; Sunday is 0. If the cluster was down at that time, one backup is made when it is back, within a week."
    )]
    pub schedule: String,

    /// The time zone of the schedules, as a name of the tz database; for example `Europe/Berlin`.
    #[serde(default = "Backup::default_time_zone")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: String,

    /// How many days backups are kept. Older ones are removed before and after each new backup.
    #[serde(default = "Backup::default_retention_days")]
    #[schemars(range(min = 0, max = 36_500))]
    pub retention_days: i32,

    /// How many of the newest backups are kept whatever their age.
    #[serde(default = "Backup::default_keep_last")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_last: i32,

    /// The age in hours at which the newest backup is overdue, and the condition BackupFresh becomes False. Set it a
    /// little above the longest interval of the schedule.
    #[serde(default = "Backup::default_max_age_hours")]
    #[schemars(range(min = 1, max = 9000))]
    pub max_age_hours: i32,

    /// Whether the volume with the backups is deleted with the AgentFS. It is independent of spec.deletionPolicy. A
    /// bucket, and the volume of existingClaim, are never deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The volume with the backups. It stays when the AgentFS is deleted, unless spec.backup.deletionPolicy is Delete,
    /// and a new AgentFS of the same name uses it again.
    #[serde(default)]
    pub volume: Storage,

    /// The name of a PersistentVolumeClaim of yours for the backups. `volume` is then ignored. Give each AgentFS its
    /// own claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "The name of a PersistentVolumeClaim of yours for the backups. `volume` is then ignored. Give each AgentFS its own claim."
    )]
    pub existing_claim: Option<String>,

    /// Where the backups are stored, if not in a volume. `volume` and `existingClaim` are then ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,

    /// How backups are encrypted. Without it, they are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,

    /// Daily, weekly and monthly backups that are kept longer than retentionDays.
    #[serde(default)]
    pub keep: Keep,

    /// Scheduled verification of the newest backup.
    #[serde(default)]
    pub verify: VerifySchedule,

    /// Scheduled disaster recovery drills.
    #[serde(default)]
    pub drill: DrillSchedule,

    /// Recovery objectives, which the condition ObjectivesMet compares with the backups and the newest drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<Objectives>,

    /// CPU and memory of the backup pod. Defaults to requests of 100m CPU and 128Mi memory, and a limit of 512Mi
    /// memory; CPU has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Scheduling, labels and annotations of the backup pod.
    #[serde(flatten)]
    pub pods: PodSettings,
}

impl Backup {
    fn default_enabled() -> bool {
        true
    }

    fn default_schedule() -> String {
        "0 2 * * *".into()
    }

    fn default_time_zone() -> String {
        "Etc/UTC".into()
    }

    fn default_retention_days() -> i32 {
        30
    }

    fn default_keep_last() -> i32 {
        3
    }

    fn default_max_age_hours() -> i32 {
        26
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            enabled: Self::default_enabled(),
            suspend: false,
            schedule: Self::default_schedule(),
            time_zone: Self::default_time_zone(),
            retention_days: Self::default_retention_days(),
            keep_last: Self::default_keep_last(),
            max_age_hours: Self::default_max_age_hours(),
            deletion_policy: DeletionPolicy::default(),
            volume: Storage::default(),
            existing_claim: None,
            destination: None,
            encryption: None,
            keep: Keep::default(),
            verify: VerifySchedule::default(),
            drill: DrillSchedule::default(),
            objectives: None,
            resources: None,
            pods: PodSettings::default(),
        }
    }
}
