//! `spec.backup`: regular backups of the whole database.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::DeletionPolicy;
use super::recovery::{Destination, DrillSchedule, Encryption, Keep, Objectives, VerifySchedule};
use crate::crd::fields::names::object_name;
use crate::crd::fields::schedule::schedule;
use crate::crd::fields::{PodSettings, Resources, Storage};

/// Regular backups of the whole database into a volume or a bucket: a CronJob that makes a dump with a
/// manifest, and removes old ones, and others that try what was made. They go on without the operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Whether there are backups. Those that were made stay when it becomes false.
    #[serde(default = "Backup::default_enabled")]
    pub enabled: bool,

    /// Makes no backups while it is true, tries none and drills nothing, and keeps those that there are.
    #[serde(default)]
    pub suspend: bool,

    /// When a backup is made: minute, hour, day of the month, month and day of the week, as in a CronJob.
    /// Sunday is 0. One that was missed, since the cluster was down, is made up for once within a week.
    #[serde(default = "Backup::default_schedule")]
    #[schemars(
        schema_with = "schedule",
        description = "When a backup is made: minute, hour, day of the month, month and day of the week, as in a CronJob. Sunday is 0. One that was missed, since the cluster was down, is made up for once within a week."
    )]
    pub schedule: String,

    /// The time zone of the schedule, by its name in the tz database; for example `Europe/Berlin`.
    #[serde(default = "Backup::default_time_zone")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: String,

    /// Backups that are older than this many days are removed, before a new one is made and after it.
    #[serde(default = "Backup::default_retention_days")]
    #[schemars(range(min = 0, max = 36_500))]
    pub retention_days: i32,

    /// This many of the newest backups are kept, however old they are.
    #[serde(default = "Backup::default_keep_last")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_last: i32,

    /// How many hours old the newest backup may be before the condition BackupFresh says that it is
    /// overdue. It should be a little more than the schedule's longest pause.
    #[serde(default = "Backup::default_max_age_hours")]
    #[schemars(range(min = 1, max = 9000))]
    pub max_age_hours: i32,

    /// What becomes of the volume that holds the backups when the AgentFS is deleted, whatever
    /// spec.deletionPolicy says of the data. A bucket, and a volume of yours, are never touched.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The volume that holds the backups. It stays when the AgentFS is deleted, unless
    /// spec.backup.deletionPolicy is Delete, and an AgentFS of the same name uses it again.
    #[serde(default)]
    pub volume: Storage,

    /// The claim of a volume of yours that holds the backups in place of one that the operator makes;
    /// `volume` is then not looked at. Give each AgentFS its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "object_name",
        description = "The claim of a volume of yours that holds the backups in place of one that the operator makes; `volume` is then not looked at. Give each AgentFS its own."
    )]
    pub existing_claim: Option<String>,

    /// Where the backups are kept, if not in a volume: `volume` and `existingClaim` are then not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,

    /// How the backups are encrypted. Left out, they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,

    /// Backups that are kept longer than retentionDays says.
    #[serde(default)]
    pub keep: Keep,

    /// How, and how often, the newest backup is tried.
    #[serde(default)]
    pub verify: VerifySchedule,

    /// How often a disaster recovery drill is carried out.
    #[serde(default)]
    pub drill: DrillSchedule,

    /// What backups and drills are held to. Left out, nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<Objectives>,

    /// CPU and memory of the backup's pod. Left out: requests of 100m CPU and 128Mi, a limit of 512Mi
    /// memory and none on CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Where the backup's pod runs, and what it carries.
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
