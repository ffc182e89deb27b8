//! Tables as kubectl prints them, a row an object.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::words::{age, condition, moment};
use crate::crd::fields::Conditions as _;
use crate::crd::{AgentFS, AgentFSBackup, AgentFSDrill, AgentFSRestore};

/// What a table lacks.
const NONE: &str = "-";

/// A kind that is printed as a table. The columns after the first `short` are those of `-o wide`.
pub(super) trait Row {
    /// The heads of all columns.
    const COLUMNS: &'static [&'static str];
    /// How many of them there are without `-o wide`.
    const SHORT: usize;

    /// A cell for each column.
    fn cells(&self, now: Timestamp) -> Vec<String>;
}

/// The table of these objects.
pub(super) fn table<'a, K: Row + 'a>(
    objects: impl IntoIterator<Item = &'a K>,
    wide: bool,
    now: Timestamp,
) -> String {
    let shown = if wide { K::COLUMNS.len() } else { K::SHORT };
    let head = K::COLUMNS.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(head).chain(objects.into_iter().map(|object| object.cells(now))).collect();
    aligned(rows.into_iter().map(|row| row.into_iter().take(shown).collect()).collect())
}

/// Lines whose cells stand below each other, three spaces apart.
pub(super) fn aligned(rows: Vec<Vec<String>>) -> String {
    let width_of = |text: &String| text.chars().count();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(width_of).max().unwrap_or_default())
        .collect();
    let line = |row: Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.into_iter().map(|row| line(row) + "\n").collect()
}

fn or_none(text: Option<impl Into<String>>) -> String {
    text.map_or_else(|| NONE.to_owned(), Into::into)
}

fn since(at: Option<&Time>, now: Timestamp) -> String {
    or_none(at.map(|at| age(at, now)))
}

/// The whole first line of a text.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Row for AgentFS {
    const COLUMNS: &'static [&'static str] =
        &["NAME", "READY", "API", "WORKERS", "DATABASE", "LAST-BACKUP", "AGE", "REASON", "MESSAGE"];
    const SHORT: usize = 7;

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let status = self.status.clone().unwrap_or_default();
        let ready = condition(&status.conditions, "Ready");
        let last = status.backup.as_ref().and_then(|backup| backup.last_successful_time.as_ref());
        vec![
            or_none(self.metadata.name.clone()),
            or_none(ready.map(|ready| ready.status.clone())),
            or_none(status.api.as_ref().map(|api| api.summary.clone())),
            or_none(status.worker.as_ref().map(|worker| worker.summary.clone())),
            or_none(status.database.as_ref().map(|database| database.kind.clone())),
            since(last, now),
            since(self.metadata.creation_timestamp.as_ref(), now),
            or_none(ready.map(|ready| ready.reason.clone())),
            or_none(ready.map(|ready| first_line(&ready.message))),
        ]
    }
}

impl Row for AgentFSBackup {
    const COLUMNS: &'static [&'static str] = &[
        "NAME",
        "STATE",
        "TIME",
        "SCOPE",
        "SIZE",
        "ENTRIES",
        "DURATION",
        "VERIFIED",
        "AGE",
        "LEVEL",
        "ID",
        "POSTGRES",
        "ENCRYPTED",
        "LOCATION",
        "MESSAGE",
    ];
    const SHORT: usize = 9;

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let status = self.status.clone().unwrap_or_default();
        let (made, tried) = (status.backup.as_ref(), status.verification.as_ref());
        let ready = condition(status.conditions(), "Ready");
        let begun = self.metadata.creation_timestamp.as_ref();
        // A record that was made anew is younger than its backup.
        let at = made.map(|made| &made.snapshot_time);
        let verified = tried.map(|tried| format!("{} {}", tried.verified, age(&tried.time, now)));
        let message = tried.and_then(|tried| tried.message.as_deref());
        let message = message.or_else(|| ready.map(|ready| ready.message.as_str()));
        vec![
            or_none(self.metadata.name.clone()),
            state(self),
            or_none(at.map(moment)),
            format!("{:?}", self.spec.scope),
            or_none(made.map(|made| made.size.clone())),
            or_none(made.map(|made| made.entries.to_string())),
            or_none(made.map(|made| made.duration.clone())),
            or_none(verified),
            since(at.or(begun), now),
            or_none(tried.map(|tried| tried.level.clone())),
            or_none(made.map(|made| made.id.clone())),
            or_none(made.map(|made| made.postgres.clone())),
            or_none(made.map(|made| if made.encrypted { "yes" } else { "no" })),
            or_none(made.map(|made| made.location.clone())),
            or_none(message.map(first_line)),
        ]
    }
}

/// How a backup stands, in a word.
fn state(backup: &AgentFSBackup) -> String {
    let Some(status) = &backup.status else { return "New".into() };
    if status.vanished_time.is_some() {
        return "Vanished".into();
    }
    let ready = condition(&status.conditions, "Ready");
    match (ready, &status.backup) {
        // Pods write records while no operator is there to say more.
        (Some(ready), Some(_)) if ready.status == "Unknown" => "Succeeded".into(),
        (None, Some(_)) => "Succeeded".into(),
        (Some(ready), _) => ready.reason.clone(),
        (None, None) => "New".into(),
    }
}

impl Row for AgentFSRestore {
    const COLUMNS: &'static [&'static str] = &[
        "NAME", "AGENTFS", "SOURCE", "STEP", "PROGRESS", "DOWNTIME", "RESULT", "AGE", "LOST",
        "MESSAGE",
    ];
    const SHORT: usize = 8;

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let status = self.status.clone().unwrap_or_default();
        let ready = condition(&status.conditions, "Ready");
        vec![
            or_none(self.metadata.name.clone()),
            self.spec.agent_fs.clone(),
            or_none(status.source.clone()),
            or_none(status.step.clone()),
            or_none(status.progress.clone()),
            or_none(status.downtime.clone()),
            or_none(status.result.clone()),
            since(self.metadata.creation_timestamp.as_ref(), now),
            or_none(status.lost_versions.map(|lost| lost.to_string())),
            or_none(ready.map(|ready| first_line(&ready.message))),
        ]
    }
}

impl Row for AgentFSDrill {
    const COLUMNS: &'static [&'static str] =
        &["NAME", "AGENTFS", "RESULT", "RPO", "RTO", "OBJECTIVES", "AGE", "MESSAGE"];
    const SHORT: usize = 7;

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let status = self.status.clone().unwrap_or_default();
        let ready = condition(&status.conditions, "Ready");
        vec![
            or_none(self.metadata.name.clone()),
            self.spec.agent_fs.clone(),
            or_none(status.result.clone()),
            or_none(status.rpo.clone()),
            or_none(status.rto.clone()),
            or_none(status.objectives.clone()),
            since(self.metadata.creation_timestamp.as_ref(), now),
            or_none(ready.map(|ready| first_line(&ready.message))),
        ]
    }
}

impl Row for Job {
    const COLUMNS: &'static [&'static str] = &["NAME", "STATUS", "AGE"];
    const SHORT: usize = 3;

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let conditions = self.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ended = conditions
            .filter(|condition| condition.status == "True")
            .find(|condition| ["Complete", "Failed"].contains(&condition.type_.as_str()));
        vec![
            or_none(self.metadata.name.clone()),
            ended.map_or_else(|| "Running".to_owned(), |ended| ended.type_.clone()),
            since(self.metadata.creation_timestamp.as_ref(), now),
        ]
    }
}
