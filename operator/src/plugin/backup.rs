//! `kubectl agentfs backup`: makes a backup now.

use clap::{Args, ValueEnum};

use super::cli::{ActionFlags, NameArg};
use super::cluster::Cluster;
use super::error::Error;
use super::follow::{Followed, Now, carry_out, end, step, waits_for};
use super::words::{grouped, moment};
use crate::crd::AgentFSBackup;
use crate::crd::backup::{AgentFSBackupSpec, DeletionPolicy, Scope, Verify};

/// Arguments of `kubectl agentfs backup`.
#[derive(Args, Debug)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    agentfs: NameArg,
    /// How to verify the backup right after it is made
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    verify: VerifyFlag,
    /// How much of the database to back up
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    scope: ScopeFlag,
    #[command(flatten)]
    action: ActionFlags,
}

/// How to verify the backup.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum VerifyFlag {
    /// Not now; the schedule verifies the newest backup
    #[default]
    None,
    /// All of it is read and compared with its manifest
    Archive,
    /// It is restored into a throwaway PostgreSQL, compared with its manifest, and served from
    Restore,
}

/// How much of the database to back up.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ScopeFlag {
    /// All of it
    #[default]
    Full,
    /// Tenants, keys, entries and their versions
    Entries,
}

impl BackupArgs {
    fn spec(&self) -> AgentFSBackupSpec {
        AgentFSBackupSpec {
            agent_fs: self.agentfs.name.clone(),
            scope: match self.scope {
                ScopeFlag::Full => Scope::Full,
                ScopeFlag::Entries => Scope::Entries,
            },
            verify: match self.verify {
                VerifyFlag::None => Verify::None,
                VerifyFlag::Archive => Verify::Archive,
                VerifyFlag::Restore => Verify::Restore,
            },
            record_of: None,
            deletion_policy: DeletionPolicy::default(),
            ttl_seconds_after_finished: None,
        }
    }
}

/// Runs the command.
pub(super) async fn run(args: &BackupArgs, cluster: &Cluster) -> Result<(), Error> {
    let agentfs = &args.agentfs.name;
    cluster.agentfs(agentfs).await?;
    let backup = (AgentFSBackup::new("", args.spec()), &*format!("{agentfs}-"));
    let begin = |name: &str| format!("{agentfs}: backing up as {name}");
    carry_out(cluster, &mut args.action.screen(), args.action, backup, begin, now).await.map(drop)
}

impl Followed for AgentFSBackup {
    const SHORT: &'static str = "afsb";

    fn on_leaving(cluster: &Cluster, name: &str) -> String {
        format!(" To cancel it: kubectl delete afsb {name}{}", cluster.flags)
    }
}

/// How it stands.
fn now(backup: &AgentFSBackup) -> Now {
    let status = backup.status.clone().unwrap_or_default();
    let mut done = Vec::new();
    if let Some(made) = &status.backup {
        done.push(format!(
            "backed up   {} entries   {}   {}   the moment {}",
            grouped(made.entries),
            made.size,
            made.duration,
            moment(&made.snapshot_time)
        ));
    }
    if let Some(found) = &status.verification {
        let how = if found.level == "Restore" { "by a restore" } else { "by reading all of it" };
        let found_good = found.verified == "True";
        let word = if found_good { "verified" } else { "FOUND BROKEN" };
        done.push(format!("{word}    {how}   {} s", found.seconds));
    }
    let is_finished = status.finished_time.is_some();
    let mut end = end(&status.conditions, is_finished);
    // That it was made is one thing; whoever asked for a verification wants to know what came of it.
    let broken = status.verification.as_ref().filter(|found| found.verified == "False");
    if let (Some(Ok(())), Some(broken)) = (&end, broken) {
        let why = broken.message.as_deref().unwrap_or("its verification failed");
        end = Some(Err(format!("the backup was made, and does not restore: {why}")));
    }
    Now {
        done,
        step: step(&status.conditions),
        far: String::new(),
        waits_for: waits_for(&status.conditions),
        end,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::choose::tests::record;
    use super::*;

    #[test]
    fn a_backup_that_does_not_restore_is_a_failure() {
        let mut backup = record("memory-x7k2p", 27, Some(("True", "Restore")));
        let ready = json!([{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "It is made.",
            "lastTransitionTime": "2026-11-27T02:05:00Z"}]);
        backup.status.as_mut().unwrap().conditions = serde_json::from_value(ready).unwrap();
        let stands = now(&backup);
        assert_eq!(
            stands.done,
            [
                "backed up   1,048,576 entries   1.2Gi   41s   the moment 2026-11-27 02:00 UTC",
                "verified    by a restore   34 s"
            ]
        );
        assert_eq!(stands.end, Some(Ok(())));

        let found = backup.status.as_mut().unwrap().verification.as_mut().unwrap();
        (found.verified, found.message) =
            ("False".into(), Some("table entries has 3 rows too few".into()));
        let end = now(&backup).end.unwrap().unwrap_err();
        assert_eq!(
            end,
            "the backup was made, and does not restore: table entries has 3 rows too few"
        );
    }

    #[test]
    fn one_that_waits_says_for_what() {
        let mut backup = record("memory-x7k2p", 27, None);
        let waiting = json!([{"type": "Ready", "status": "False", "reason": "Waiting",
            "message": "AgentFSRestore undo is first.", "lastTransitionTime": "2026-11-27T02:05:00Z"}]);
        let status = backup.status.as_mut().unwrap();
        (status.backup, status.conditions) = (None, serde_json::from_value(waiting).unwrap());
        let stands = now(&backup);
        assert_eq!(stands.waits_for.as_deref(), Some("AgentFSRestore undo is first."));
        assert_eq!((stands.step.as_str(), stands.end), ("Waiting", None));
    }
}
