//! `kubectl agentfs backups`: the backups that there are.

use clap::Args;
use jiff::Timestamp;

use super::cli::NameArg;
use super::cluster::{Cluster, Found};
use super::error::Error;
use super::output::{Format, OutputFlag, objects, print};
use crate::crd::AgentFSBackup;

/// Arguments of `kubectl agentfs backups`.
#[derive(Args, Debug)]
pub(super) struct BackupsArgs {
    #[command(flatten)]
    agentfs: NameArg,
    #[command(flatten)]
    output: OutputFlag,
}

/// Runs the command.
pub(super) async fn run(args: &BackupsArgs, cluster: &Cluster) -> Result<(), Error> {
    let name = &args.agentfs.name;
    let found = of(cluster, name).await?;
    if found.is_empty() {
        // The backups of one that was deleted are there still, and so are their records.
        cluster.agentfs(name).await?;
        if args.output.output.is_none() {
            eprintln!(
                "There is no backup of {name} yet. Make one: kubectl agentfs backup {name}{}",
                cluster.flags
            );
            return Ok(());
        }
    }
    let format = args.output.output.unwrap_or(Format::Table);
    print(&objects(format, &found, Timestamp::now())?)?;
    Ok(())
}

/// The records of an AgentFS, the newest first.
pub(super) async fn of(
    cluster: &Cluster,
    agentfs: &str,
) -> Result<Vec<Found<AgentFSBackup>>, Error> {
    let mut found =
        cluster.list_for(agentfs, |backup: &AgentFSBackup| &backup.spec.agent_fs).await?;
    found.sort_by_key(|found| std::cmp::Reverse(when(&found.it)));
    Ok(found)
}

/// When its backup was made; of one that is not made, when it was asked for.
fn when(backup: &AgentFSBackup) -> Option<Timestamp> {
    let made = backup.status.as_ref().and_then(|status| status.backup.as_ref());
    let asked = backup.metadata.creation_timestamp.as_ref();
    made.map(|made| &made.snapshot_time).or(asked).map(|at| at.0)
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::record;
    use super::super::table::table;

    #[test]
    fn the_table_answers_what_is_there_and_proven() {
        let mut failed = record("memory-x7k2p", 28, None);
        let status = failed.status.as_mut().unwrap();
        status.backup = None;
        status.conditions = serde_json::from_value(serde_json::json!([{"type": "Ready", "status": "False", "reason": "Failed",
            "message": "The bucket is full. Make room.", "lastTransitionTime": "2026-11-28T02:05:00Z"}]))
        .unwrap();
        let records = [failed, record("memory-20261127-020000", 27, Some(("True", "Restore")))];
        let now = "2026-11-28T14:00:00Z".parse().unwrap();
        assert_eq!(
            table(&records, false, now),
            "\
NAME                     STATE       TIME                   SCOPE   SIZE    ENTRIES   DURATION   VERIFIED   AGE
memory-x7k2p             Failed      -                      Full    -       -         -          -          12h
memory-20261127-020000   Succeeded   2026-11-27 02:00 UTC   Full    1.2Gi   1048576   41s        True 35h   36h
"
        );
        let wide = table(&records, true, now);
        let lines: Vec<_> = wide.lines().collect();
        assert!(lines[1].ends_with("The bucket is full. Make room."), "{wide}");
        assert!(lines[2].contains("agentfs_20261127_020000   17.6"), "{wide}");
    }
}
