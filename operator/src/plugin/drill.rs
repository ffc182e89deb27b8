//! `kubectl agentfs drill`: carries out a disaster recovery drill.

use clap::Args;

use super::backups;
use super::choose::fit;
use super::cli::{ActionFlags, NameArg};
use super::cluster::Cluster;
use super::error::Error;
use super::follow::{Followed, Now, carry_out, end, waits_for};
use super::words::took;
use crate::crd::AgentFSDrill;
use crate::crd::drill::{AgentFSDrillSpec, AgentFSDrillStatus};

/// Arguments of `kubectl agentfs drill`.
#[derive(Args, Debug)]
pub(super) struct DrillArgs {
    #[command(flatten)]
    agentfs: NameArg,
    /// The AgentFSBackup to restore, as `kubectl agentfs backups` lists it. Defaults to a backup that the drill makes
    /// and removes
    #[arg(long, value_name = "BACKUP")]
    backup: Option<String>,
    /// How it goes on.
    #[command(flatten)]
    pub(super) action: ActionFlags,
}

/// Runs the command.
pub(super) async fn run(args: &DrillArgs, cluster: &Cluster) -> Result<(), Error> {
    let agentfs = &args.agentfs.name;
    cluster.agentfs(agentfs).await?;
    if let Some(backup) = &args.backup {
        let found = backups::of(cluster, agentfs).await?;
        let records: Vec<_> = found.iter().map(|found| &found.it).collect();
        fit(backup, agentfs, &records, "")?;
    }
    let spec = AgentFSDrillSpec {
        agent_fs: agentfs.clone(),
        backup: args.backup.clone(),
        record_of: None,
        ttl_seconds_after_finished: None,
    };
    let drill = (AgentFSDrill::new("", spec), &*format!("{agentfs}-"));
    let begin = |name: &str| match &args.backup {
        Some(backup) => format!("{agentfs}: drilling {backup} as {name}"),
        None => format!("{agentfs}: drilling as {name}"),
    };
    carry_out(cluster, &mut args.action.screen(), args.action, drill, begin, now).await.map(drop)
}

/// What was measured, in a line.
pub(super) fn measured(status: &AgentFSDrillStatus) -> Option<String> {
    let (rpo, rto) = (status.rpo.as_deref(), status.rto.as_deref());
    let objectives = match status.objectives.as_deref() {
        Some(how) => format!("objectives {how}"),
        None => "no objectives declared (spec.backup.objectives)".into(),
    };
    (rpo.is_some() || rto.is_some()).then(|| {
        format!(
            "RPO {}   RTO {}   {objectives}",
            rpo.unwrap_or("unknown"),
            rto.unwrap_or("unknown")
        )
    })
}

/// A step that is done, by its name in the report.
fn line_of(step: &str, milliseconds: i64) -> String {
    let (word, more) = match step {
        "put" => ("put", "a marker, by the API"),
        "backup" => ("backed up", ""),
        "fetch" => ("fetched", ""),
        "archive" => ("read", "the whole archive"),
        "start" => ("started", "a PostgreSQL of its own"),
        "create" => ("created", "a database there"),
        "load" => ("loaded", "all rows"),
        "compare" => ("verified", "each table equals the backup's"),
        "migrate" => ("migrated", ""),
        "analyse" => ("analysed", ""),
        "serve" => ("served", "by an API there"),
        "marker" => ("found", "the marker, byte for byte"),
        "sample" => ("compared", "entries, as the API answers them"),
        "index" => ("indexed", "the vectors"),
        "clean" => ("cleaned", "all of it"),
        other => (other, ""),
    };
    let time = took(milliseconds);
    let cells: Vec<&str> = [more, &time].into_iter().filter(|cell| !cell.is_empty()).collect();
    format!("{word:<11} {}", cells.join("   "))
}

impl Followed for AgentFSDrill {
    const SHORT: &'static str = "afsd";

    fn on_leaving(cluster: &Cluster, name: &str) -> String {
        format!(" To cancel it: kubectl delete afsd {name}{}", cluster.flags)
    }
}

/// How it stands.
fn now(drill: &AgentFSDrill) -> Now {
    let status = drill.status.clone().unwrap_or_default();
    let is_finished = status.finished_time.is_some();
    let mut done: Vec<String> =
        status.steps.iter().map(|step| line_of(&step.name, step.milliseconds)).collect();
    let end = end(&status.conditions, is_finished);
    done.extend(measured(&status).filter(|_| end.is_some()));
    Now {
        done,
        step: status.step.clone().or(status.result.clone()).unwrap_or_else(|| "Waiting".into()),
        far: String::new(),
        waits_for: waits_for(&status.conditions),
        end,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_measured_is_told_also_where_an_objective_is_missed() {
        let drill: AgentFSDrill = serde_json::from_value(json!({
            "apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSDrill",
            "metadata": {"name": "memory-a1b2c"}, "spec": {"agentFS": "memory"},
            "status": {
                "result": "Failed", "rpo": "21h52m", "rto": "58s", "objectives": "missed",
                "steps": [{"name": "put", "milliseconds": 120}, {"name": "load", "milliseconds": 31_000}],
                "finishedTime": "2026-11-28T14:09:00Z",
                "conditions": [{"type": "Ready", "status": "False", "reason": "ObjectivesMissed",
                    "message": "The RTO of 30s is missed.", "lastTransitionTime": "2026-11-28T14:09:00Z"}],
            },
        }))
        .unwrap();
        let stands = now(&drill);
        assert_eq!(
            stands.done,
            [
                "put         a marker, by the API   120 ms",
                "loaded      all rows   31 s",
                "RPO 21h52m   RTO 58s   objectives missed"
            ]
        );
        assert_eq!(stands.end, Some(Err("The RTO of 30s is missed.".into())));
    }
}
