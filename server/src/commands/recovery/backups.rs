//! `agentfs-server backups`: lists the backups at a location.

use std::fmt;
use std::process::ExitCode;

use agentfs_contract::manifest::Manifest;
use agentfs_contract::verification::{Level, Verification};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::location;
use super::retention::RetentionArgs;
use super::running::run_to_its_end;
use crate::commands::output::{Output, Table};
use crate::recovery::catalogue::{Backup, Catalogue};
use crate::recovery::lease::Held;
use crate::recovery::retention::{Decision, Kept};
use crate::recovery::storage::Storage;
use crate::recovery::{RecoveryError, Retention, size};

/// Characters of the reason of a failure that the table shows.
const REASON: usize = 60;

/// Arguments of `agentfs-server backups`.
#[derive(Debug, clap::Args)]
pub struct BackupsArgs {
    /// Where backups are stored: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    #[command(flatten)]
    retention: RetentionArgs,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(args: BackupsArgs) -> ExitCode {
    run_to_its_end("list", args.output, list(args.from, args.retention.policy()))
}

async fn list(from: Option<String>, retention: Retention) -> Result<(Listed, bool), RecoveryError> {
    let storage = Storage::open(&location(from.as_deref(), "--from")?).await?;
    let catalogue = Catalogue::read(&storage).await?;
    Ok((Listed::of(&catalogue, retention, Timestamp::now()), true))
}

/// The backups at a location as they are printed, the newest first.
#[derive(Debug, Serialize)]
struct Listed {
    backups: Vec<Row>,
    unusable: Vec<Unusable>,
    instances: Vec<Newest>,
    retention: Retention,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    /// The folder at the location that it is in; empty for backups of releases before 0.2.
    folder: String,
    is_whole: bool,
    verified_at: Option<Timestamp>,
    kept_because: Vec<Kept>,
    /// When it may be removed; null where that depends on backups to come, or on who reads it.
    expires: Option<Timestamp>,
    leases: Vec<Held>,
    manifest: Manifest,
    verifications: Vec<Verification>,
    #[serde(skip)]
    verified: String,
}

/// A manifest that cannot be used.
#[derive(Debug, Serialize)]
struct Unusable {
    manifest: String,
    reason: String,
}

/// The newest backups of an instance.
#[derive(Debug, Serialize)]
struct Newest {
    instance: String,
    latest: Option<String>,
    latest_verified: Option<String>,
}

impl Listed {
    fn of(catalogue: &Catalogue, retention: Retention, now: Timestamp) -> Self {
        let decisions = retention.explain(catalogue, now);
        let unusable = catalogue.unusable.iter().map(|unusable| Unusable {
            manifest: unusable.name.clone(),
            reason: unusable.error.to_string(),
        });
        Self {
            backups: decisions.into_iter().rev().map(|decision| Row::of(decision, now)).collect(),
            unusable: unusable.collect(),
            instances: catalogue
                .instances()
                .into_iter()
                .map(|instance| Newest::of(catalogue, instance))
                .collect(),
            retention,
        }
    }
}

impl Row {
    fn of(decision: Decision<'_>, now: Timestamp) -> Self {
        let Decision { backup, kept_because, expires } = decision;
        Self {
            id: backup.id().to_owned(),
            folder: backup.folder.clone(),
            is_whole: backup.is_whole,
            verified_at: backup.proof().map(|record| record.at),
            kept_because,
            expires,
            leases: backup.leases.iter().filter(|lease| lease.until > now).cloned().collect(),
            manifest: backup.manifest.clone(),
            verifications: backup.verifications.clone(),
            verified: verified(backup),
        }
    }

    fn cells(&self) -> [String; 10] {
        let Manifest { snapshot_at, scope, bytes, schema_version, postgres, instance, .. } =
            &self.manifest;
        let kept: Vec<String> = self.kept_because.iter().map(ToString::to_string).collect();
        [
            self.id.clone(),
            minute(*snapshot_at),
            scope.to_string(),
            size(*bytes),
            self.manifest.rows().to_string(),
            schema_version.to_string(),
            postgres.split(' ').next().unwrap_or_default().to_owned(),
            self.verified.clone(),
            match (&kept[..], self.expires) {
                ([], _) => "expired".to_owned(),
                (kept, Some(expires)) => format!("{} until {}", kept.join(", "), minute(expires)),
                (kept, None) => kept.join(", "),
            },
            instance.clone(),
        ]
    }
}

impl Newest {
    fn of(catalogue: &Catalogue, instance: &str) -> Self {
        let of_it = || catalogue.kept().rev().filter(|backup| backup.manifest.instance == instance);
        let id = |backup: &Backup| backup.id().to_owned();
        Self {
            instance: instance.to_owned(),
            latest: of_it().next().map(id),
            latest_verified: of_it().find(|backup| backup.is_verified()).map(id),
        }
    }
}

/// What is known of whether a backup restores.
fn verified(backup: &Backup) -> String {
    if !backup.is_whole {
        return match backup.dump_bytes {
            Some(_) => "failed: the dump was cut short".into(),
            None => "failed: the dump is missing".into(),
        };
    }
    if let Some(proof) = backup.proof() {
        return minute(proof.at);
    }
    let newest = backup.newest_verifications().next();
    match newest.map(|record| (record.level, &record.failure, record.at)) {
        Some((_, Some(reason), _)) => format!("failed: {}", cut(reason)),
        Some((Level::Archive, None, at)) => format!("archive {}", minute(at)),
        _ => "-".into(),
    }
}

fn cut(reason: &str) -> String {
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// A moment in UTC, to the minute.
fn minute(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string()
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADING: [&str; 10] = [
            "ID",
            "TAKEN (UTC)",
            "SCOPE",
            "SIZE",
            "ROWS",
            "SCHEMA",
            "POSTGRES",
            "VERIFIED",
            "KEPT",
            "INSTANCE",
        ];
        let rows = self.backups.iter().map(Row::cells);
        if self.instances.len() > 1 {
            writeln!(f, "{}", Table::new(HEADING, rows))?;
        } else {
            let [heading @ .., _] = HEADING;
            let rows = rows.map(|[cells @ .., _]| cells);
            writeln!(f, "{}", Table::<9>::new(heading, rows))?;
        }
        for Unusable { manifest, reason } in &self.unusable {
            writeln!(f, "cannot be used: {manifest}: {reason}")?;
        }
        write!(f, "kept: {}", self.retention)?;
        for Newest { instance, latest, latest_verified } in &self.instances {
            let none = || "none".to_owned();
            let (latest, verified) =
                (latest.clone().unwrap_or_else(none), latest_verified.clone().unwrap_or_else(none));
            let of =
                if self.instances.len() > 1 { format!(" of {instance}") } else { String::new() };
            write!(f, "\nlatest{of}: {latest}; latest verified: {verified}")?;
        }
        if self.instances.is_empty() {
            write!(f, "\nlatest: none; latest verified: none")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
    }
}
