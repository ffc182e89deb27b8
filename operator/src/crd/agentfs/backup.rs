//! `spec.backup`: regular backups of the whole database.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::recovery::{Destination, DrillSchedule, Encryption, Keep, Objectives, VerifySchedule};
use crate::crd::fields::names::object_name;
use crate::crd::fields::{PodSettings, Resources, Storage};

/// Regular backups of the whole database into a volume: a CronJob that makes a dump with a manifest,
/// and removes old ones. It goes on without the operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Whether there are backups. Those that were made stay when it becomes false.
    #[serde(default = "Backup::default_enabled")]
    pub enabled: bool,

    /// Makes no backups while it is true, and keeps those that there are.
    #[serde(default)]
    pub suspend: bool,

    /// When a backup is made: minute, hour, day of the month, month and day of the week, as in a CronJob.
    /// Sunday is 0.
    #[serde(default = "Backup::default_schedule")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(
        validation = Rule::new("!self.contains('TZ=')")
            .message("the time zone does not belong in the schedule; set timeZone"),
        validation = Rule::new(is_schedule()).message(
            "must have five fields, minute hour day-of-month month day-of-week, or be one of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly; example: 0 2 * * *"
        ),
        validation = Rule::new(field(0, "[0-5]?[0-9]"))
            .message("the minute, its first field, must be from 0 to 59"),
        validation = Rule::new(field(1, "[01]?[0-9]|2[0-3]"))
            .message("the hour, its second field, must be from 0 to 23"),
        validation = Rule::new(field(2, "0?[1-9]|[12][0-9]|3[01]"))
            .message("the day of the month, its third field, must be from 1 to 31"),
        validation = Rule::new(field(3, "0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"))
            .message("the month, its fourth field, must be from 1 to 12 or jan to dec"),
        validation = Rule::new(field(4, "[0-6]|sun|mon|tue|wed|thu|fri|sat")).message(
            "the day of the week, its fifth field, must be from 0 to 6 or sun to sat; Sunday is 0"
        )
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

    /// The volume that holds the backups. It stays when the AgentFS is deleted, unless deletionPolicy is
    /// Delete, and an AgentFS of the same name uses it again.
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

/// A rule that a schedule has the shape of one. What its fields amount to is left to the operator: ranges
/// that run backwards, and days that never come.
fn is_schedule() -> String {
    let short = "@(yearly|annually|monthly|weekly|daily|midnight|hourly)";
    format!("self.contains('TZ=') || self.matches('^({short}| *([^ ]+ +){{4}}[^ ]+ *)$')")
}

/// A rule that the field `at` of a schedule, where it has five, is a list of values, ranges and steps.
fn field(at: usize, value: &str) -> String {
    let item = format!("([*?]|({value})(-({value}))?)(/[1-9][0-9]?)?");
    let after = 4 - at;
    format!(
        "!self.matches('^ *([^ ]+ +){{4}}[^ ]+ *$') || \
         self.matches('(?i)^ *([^ ]+ +){{{at}}}{item}(,{item})*( +[^ ]+){{{after}}} *$')"
    )
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
