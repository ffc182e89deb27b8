//! `kubectl agentfs status`: whether an AgentFS is well, its backups, and what is proven since when.

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::choose::Made;
use super::cluster::{Cluster, Found};
use super::drill::measured;
use super::error::Error;
use super::output::{Format, OutputFlag, list, objects, print, text, typed};
use super::table::{aligned, table};
use super::words::{age, condition, counted, moment};
use super::{backups, follow};
use crate::crd::{AgentFS, AgentFSBackup, AgentFSDrill, AgentFSRestore};

/// How many backups are shown.
const SHOWN: usize = 5;
/// What says how recoverable it is.
const RECOVERY: [&str; 4] = ["BackupFresh", "RestoreVerified", "DrillCurrent", "ObjectivesMet"];
/// What may well be False.
const NEITHER_GOOD_NOR_BAD: [&str; 4] =
    ["Progressing", "Reconciling", "Stalled", "RestoreInProgress"];

/// Arguments of `kubectl agentfs status`.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// The name of the AgentFS. Defaults to a list of all in the namespace
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    output: OutputFlag,
}

/// Runs the command.
pub(super) async fn run(args: &StatusArgs, cluster: &Cluster) -> Result<(), Error> {
    let now = Timestamp::now();
    let Some(name) = &args.name else {
        let all = cluster.list::<AgentFS>().await?;
        if all.is_empty() && args.output.output.is_none() {
            eprintln!(
                "There is no AgentFS in namespace {}; name another namespace with -n",
                cluster.namespace
            );
            return Ok(());
        }
        print(&objects(args.output.output.unwrap_or(Format::Table), &all, now)?)?;
        return Ok(());
    };
    let agentfs = cluster.agentfs(name).await?;
    match args.output.output {
        Some(format @ Format::Name) => print(&objects(format, &[agentfs], now)?)?,
        Some(format @ (Format::Json | Format::Yaml)) => {
            let seen = Seen::read(cluster, agentfs).await?;
            print(&text(format, &list(&seen.raw()))?)?;
        }
        format => {
            let seen = Seen::read(cluster, agentfs).await?;
            print(&seen.page(format == Some(Format::Wide), &cluster.flags, now))?;
        }
    }
    Ok(())
}

/// What is told of an AgentFS.
struct Seen {
    agentfs: Found<AgentFS>,
    /// The newest first, as those that follow.
    backups: Vec<Found<AgentFSBackup>>,
    restores: Vec<Found<AgentFSRestore>>,
    drills: Vec<Found<AgentFSDrill>>,
}

impl Seen {
    async fn read(cluster: &Cluster, agentfs: Found<AgentFS>) -> Result<Self, Error> {
        let name = agentfs.name().to_owned();
        let mut restores =
            cluster.list_for(&name, |restore: &AgentFSRestore| &restore.spec.agent_fs).await?;
        let mut drills =
            cluster.list_for(&name, |drill: &AgentFSDrill| &drill.spec.agent_fs).await?;
        restores.sort_by_key(|one| std::cmp::Reverse(one.it.metadata.creation_timestamp.clone()));
        drills.sort_by_key(|one| std::cmp::Reverse(one.it.metadata.creation_timestamp.clone()));
        Ok(Self { agentfs, backups: backups::of(cluster, &name).await?, restores, drills })
    }

    /// All of it as it was sent.
    fn raw(&self) -> Vec<serde_json::Value> {
        let backups = self.backups.iter().map(|one| typed::<AgentFSBackup>(&one.raw));
        let restores = self.restores.iter().map(|one| typed::<AgentFSRestore>(&one.raw));
        let drills = self.drills.iter().map(|one| typed::<AgentFSDrill>(&one.raw));
        let agentfs = std::iter::once(typed::<AgentFS>(&self.agentfs.raw));
        agentfs.chain(backups).chain(restores).chain(drills).collect()
    }

    /// The page for people. With `all`, each condition is on it.
    fn page(&self, all: bool, flags: &str, now: Timestamp) -> String {
        let name = self.agentfs.name();
        let conditions = self.agentfs.it.status.as_ref().map(|status| &*status.conditions);
        let conditions = conditions.unwrap_or_default();
        let mut page = table([&self.agentfs.it], false, now);
        page += "\n";
        page += &condition_lines(conditions, all, now);
        page += "\n";
        page += &aligned(self.proofs(now));
        let made = self.backups.iter().take(SHOWN).map(|one| &one.it);
        if !self.backups.is_empty() {
            let hint = match self.backups.len() {
                ..=SHOWN => String::new(),
                number => format!(
                    " (the newest {SHOWN} of {number}; all: kubectl agentfs backups {name}{flags})"
                ),
            };
            page.extend(["\nBACKUPS", &hint, "\n", &table(made, false, now)]);
        }
        page + &self.under_way()
    }

    /// What is proven, and what can be brought back.
    fn proofs(&self, now: Timestamp) -> Vec<Vec<String>> {
        let made = Made::all(self.backups.iter().map(|one| &one.it));
        let ago = |at| format!("{} ({} ago)", moment(at), age(at, now));
        let proven = made.iter().find_map(|made| Some((made, made.proven()?)));
        let proven = match proven {
            Some((made, when)) => format!(
                "the state of {}, by a restore of {} at {}",
                ago(&made.facts.snapshot_time),
                made.record,
                ago(when)
            ),
            None => "nothing yet: kubectl agentfs verify verifies the newest backup".into(),
        };
        let broken: Vec<_> =
            made.iter().filter(|made| made.broken().is_some()).map(|made| made.record).collect();
        let whole: Vec<_> = made.iter().filter(|made| made.broken().is_none()).collect();
        let recoverable = match (whole.last(), whole.first()) {
            (Some(first), Some(last)) => format!(
                "{} from {} to {}",
                counted(whole.len(), "backup"),
                moment(&first.facts.snapshot_time),
                ago(&last.facts.snapshot_time)
            ),
            _ => "nothing: there is no backup".into(),
        };
        let ended = self.drills.iter().find(|one| {
            one.it.status.as_ref().is_some_and(|status| status.finished_time.is_some())
        });
        let drill = ended.and_then(|one| {
            let status = one.it.status.as_ref()?;
            let result = status.result.as_deref().unwrap_or("ended");
            let measured = measured(status).map(|measured| format!("   {measured}"));
            Some(format!(
                "{result} {}{}",
                ago(status.finished_time.as_ref()?),
                measured.unwrap_or_default()
            ))
        });
        let status = self.agentfs.it.status.as_ref().and_then(|status| status.backup.as_ref());
        let next = status.and_then(|backup| backup.next_time.as_ref());
        let row = |what: &str, text: String| vec![what.to_owned(), text];
        let mut rows = vec![row("Verified", proven), row("Recoverable", recoverable)];
        if !broken.is_empty() {
            rows.push(row("Broken", format!("{}: it does not restore", broken.join(", "))));
        }
        rows.push(row(
            "Last drill",
            drill.unwrap_or_else(|| "none: kubectl agentfs drill runs one".into()),
        ));
        rows.extend(next.map(|next| row("Next backup", moment(next))));
        rows
    }

    /// What has not ended.
    fn under_way(&self) -> String {
        let stands = |kind: &str,
                      name: &str,
                      conditions: &[Condition],
                      step: Option<String>,
                      ended: bool| {
            let open = !ended && follow::end(conditions, false).is_none();
            let ready = condition(conditions, "Ready").map(|ready| ready.message.clone());
            open.then(|| vec![kind.to_owned(), name.to_owned(), step.or(ready).unwrap_or_default()])
        };
        let backups = self.backups.iter().filter_map(|one| {
            let status = one.it.status.clone().unwrap_or_default();
            let ended = status.finished_time.is_some() || status.backup.is_some();
            stands("AgentFSBackup", one.name(), &status.conditions, None, ended)
        });
        let restores = self.restores.iter().filter_map(|one| {
            let status = one.it.status.clone().unwrap_or_default();
            let step =
                status.step.map(|step| format!("{step} {}", status.progress.unwrap_or_default()));
            stands(
                "AgentFSRestore",
                one.name(),
                &status.conditions,
                step,
                status.finished_time.is_some(),
            )
        });
        let drills = self.drills.iter().filter_map(|one| {
            let status = one.it.status.clone().unwrap_or_default();
            stands(
                "AgentFSDrill",
                one.name(),
                &status.conditions,
                status.step,
                status.finished_time.is_some(),
            )
        });
        let rows: Vec<_> = backups.chain(restores).chain(drills).collect();
        if rows.is_empty() { String::new() } else { format!("\nUNDER WAY\n{}", aligned(rows)) }
    }
}

/// The conditions that matter: whether it is ready, how recoverable it is, and what is not as it should be.
fn condition_lines(conditions: &[Condition], all: bool, now: Timestamp) -> String {
    let matters = |condition: &&Condition| {
        let kind = condition.type_.as_str();
        let good = condition.status == "True";
        let abnormal = NEITHER_GOOD_NOR_BAD.contains(&kind);
        let speaks = if abnormal { good && kind != "Progressing" } else { !good };
        all || kind == "Ready" || RECOVERY.contains(&kind) || speaks
    };
    let head = ["CONDITION", "STATUS", "SINCE", "MESSAGE"].map(str::to_owned).to_vec();
    let rows = conditions.iter().filter(matters).map(|condition| {
        let since = &condition.last_transition_time;
        // A resource that nobody has looked at yet says so since 1970.
        let since = if since.0.as_second() == 0 { "-".to_owned() } else { age(since, now) };
        let message = condition.message.lines().next().unwrap_or_default().to_owned();
        vec![condition.type_.clone(), condition.status.clone(), since, message]
    });
    let mut rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    if rows.len() == 1 {
        rows.push(vec![
            "Ready".into(),
            "Unknown".into(),
            "-".into(),
            "The operator has not reconciled it yet.".into(),
        ]);
    }
    aligned(rows)
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::super::choose::tests::record;
    use super::super::cluster::Kind;
    use super::*;

    fn found<K: Kind>(value: Value) -> Found<K> {
        Found::read(serde_json::from_value::<DynamicObject>(value).unwrap()).unwrap()
    }

    fn ready(kind: &str, status: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "R", "message": message, "lastTransitionTime": "2026-11-27T02:04:00Z"})
    }

    fn seen() -> Seen {
        let agentfs = found(json!({
            "apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFS",
            "metadata": {"name": "memory", "namespace": "agents", "creationTimestamp": "2026-10-28T00:00:00Z"},
            "spec": {"database": {"embedded": {}}},
            "status": {
                "api": {"ready": 3, "desired": 3, "replicas": 3, "summary": "3/3", "selector": "x", "url": "http://x"},
                "database": {"type": "embedded"},
                "backup": {"lastSuccessfulTime": "2026-11-28T02:00:41Z", "nextTime": "2026-11-29T02:00:00Z"},
                "conditions": [
                    ready("Ready", "False", "One of three is late.\nMore."), ready("Progressing", "True", "It rolls out."),
                    ready("APIReady", "True", "All serve."), ready("WorkersReady", "False", "No worker is ready."),
                    ready("BackupFresh", "True", "The newest is of 02:00."), ready("Stalled", "True", "See WorkersReady."),
                ],
            },
        }));
        let records = [
            record("memory-c", 28, None),
            record("memory-b", 27, Some(("True", "Restore"))),
            record("memory-a", 26, Some(("False", "Restore"))),
        ];
        let backups =
            records.iter().map(|record| found(serde_json::to_value(record).unwrap())).collect();
        let restores = vec![found(json!({
            "apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSRestore",
            "metadata": {"name": "restore-7d2kq", "creationTimestamp": "2026-11-28T13:59:00Z"},
            "spec": {"agentFS": "memory", "source": {"latest": true}, "target": {"inPlace": {}}},
            "status": {"step": "Loading", "progress": "37%", "conditions": [ready("Ready", "False", "It loads.")]},
        }))];
        let drills = vec![found(json!({
            "apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSDrill",
            "metadata": {"name": "memory-2026-10-01", "creationTimestamp": "2026-10-01T04:00:00Z"},
            "spec": {"agentFS": "memory"},
            "status": {"result": "Succeeded", "rpo": "21h52m", "rto": "58s", "objectives": "met", "finishedTime": "2026-10-01T04:01:00Z",
                "conditions": [ready("Ready", "True", "It passed.")]},
        }))];
        Seen { agentfs, backups, restores, drills }
    }

    #[test]
    fn the_page_says_what_is_wrong_what_is_proven_and_what_goes_on() {
        let now = "2026-11-28T14:00:00Z".parse().unwrap();
        let page = seen().page(false, " -n agents", now);
        assert_eq!(
            page,
            "\
NAME     READY   API   WORKERS   DATABASE   LAST-BACKUP   AGE
memory   False   3/3   -         embedded   11h           31d

CONDITION      STATUS   SINCE   MESSAGE
Ready          False    35h     One of three is late.
WorkersReady   False    35h     No worker is ready.
BackupFresh    True     35h     The newest is of 02:00.
Stalled        True     35h     See WorkersReady.

Verified      the state of 2026-11-27 02:00 UTC (36h ago), by a restore of memory-b at 2026-11-27 02:04 UTC (35h ago)
Recoverable   2 backups from 2026-11-27 02:00 UTC to 2026-11-28 02:00 UTC (12h ago)
Broken        memory-a: it does not restore
Last drill    Succeeded 2026-10-01 04:01 UTC (58d ago)   RPO 21h52m   RTO 58s   objectives met
Next backup   2026-11-29 02:00 UTC

BACKUPS
NAME       STATE       TIME                   SCOPE   SIZE    ENTRIES   DURATION   VERIFIED      AGE
memory-c   Succeeded   2026-11-28 02:00 UTC   Full    1.2Gi   1048576   41s        -             12h
memory-b   Succeeded   2026-11-27 02:00 UTC   Full    1.2Gi   1048576   41s        True 35h      36h
memory-a   Succeeded   2026-11-26 02:00 UTC   Full    1.2Gi   1048576   41s        False 2d11h   2d12h

UNDER WAY
AgentFSRestore   restore-7d2kq   Loading 37%
"
        );
        let wide = seen().page(true, "", now);
        assert!(wide.contains("APIReady") && wide.contains("Progressing"), "{wide}");
    }

    #[test]
    fn one_that_nobody_has_looked_at_yet_and_has_nothing_says_so() {
        let mut seen = seen();
        (seen.backups, seen.restores, seen.drills) = (Vec::new(), Vec::new(), Vec::new());
        seen.agentfs.it.status = None;
        let page = seen.page(false, "", "2026-11-28T14:00:00Z".parse().unwrap());
        for text in [
            "The operator has not reconciled it yet.",
            "nothing: there is no backup",
            "kubectl agentfs verify",
            "kubectl agentfs drill",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(!page.contains("BACKUPS") && !page.contains("UNDER WAY"), "{page}");
    }
}
