//! `kubectl agentfs restore --undo`: takes a restore in place back.

use jiff::Timestamp;

use super::args::RestoreArgs;
use crate::crd::AgentFSRestore;
use crate::crd::restore::{AgentFSRestoreSpec, InPlace, Security, Strategy, Target};
use crate::plugin::cluster::{Cluster, Found};
use crate::plugin::error::Error;
use crate::plugin::question;
use crate::plugin::screen::Screen;
use crate::plugin::words::{condition, moment};

/// What takes the restore `name` back, once somebody has agreed to that.
pub(super) async fn agreed(
    args: &RestoreArgs,
    name: &str,
    cluster: &Cluster,
    screen: &mut Screen,
) -> Result<AgentFSRestoreSpec, Error> {
    let Some(found) = cluster.get::<AgentFSRestore>(name).await? else {
        let restores = cluster.list::<AgentFSRestore>().await?;
        let names: Vec<_> = restores.iter().map(Found::name).collect();
        let hint = match names.as_slice() {
            [] => "There is none".to_owned(),
            names => format!("There is {}", names.join(", ")),
        };
        return Err(Error::NotThere(format!(
            "there is no AgentFSRestore {name} in namespace {}. {hint}",
            cluster.namespace
        )));
    };
    let restore = found.it;
    if let Some(wrong) = cannot_be_undone(name, args.name.as_deref(), &restore, Timestamp::now()) {
        return Err(Error::NotThere(wrong));
    }
    screen.line(&announcement(name, &restore));
    let question = "All versions written since it switched will be lost; what is live now is kept, so that this can be undone as well.";
    question::agree(screen, question, args.yes)?;
    let in_place = args
        .keep_previous
        .clone()
        .map(|keep_previous| InPlace { strategy: strategy(&restore), keep_previous });
    Ok(AgentFSRestoreSpec {
        agent_fs: restore.spec.agent_fs,
        source: None,
        undo: Some(name.to_owned()),
        target: in_place.map(|in_place| Target { in_place: Some(in_place), new_database: None }),
        security: Security::Live,
        allow_foreign: false,
        ttl_seconds_after_finished: None,
    })
}

fn strategy(restore: &AgentFSRestore) -> Strategy {
    let in_place = restore.spec.target.as_ref().and_then(|target| target.in_place.as_ref());
    in_place.map(|in_place| in_place.strategy).unwrap_or_default()
}

/// Why that restore cannot be taken back, as far as it can be seen from here.
fn cannot_be_undone(
    name: &str,
    agentfs: Option<&str>,
    restore: &AgentFSRestore,
    now: Timestamp,
) -> Option<String> {
    let of = &restore.spec.agent_fs;
    if let Some(other) = agentfs.filter(|agentfs| agentfs != of) {
        return Some(format!("{name} is a restore of {of}, not of {other}"));
    }
    let target = restore.spec.target.as_ref();
    if let Some(made) = target.and_then(|target| target.new_database.as_ref()) {
        let database = &made.name;
        return Some(format!(
            "{name} restored into the new database {database} and changed nothing that is live: there is nothing to undo. Drop \
             that database if you no longer need it"
        ));
    }
    let status = restore.status.clone().unwrap_or_default();
    if status.switched_time.is_none() {
        let said =
            condition(&status.conditions, "Ready").map(|ready| format!(" ({})", ready.message));
        return Some(format!(
            "{name} has not switched{}: what was live is still live, and there is nothing to undo",
            said.unwrap_or_default()
        ));
    }
    let instead = format!("Restore a backup of then: kubectl agentfs backups {of}");
    match &status.previous_until {
        Some(until) if until.0 <= now => Some(format!(
            "{name} can no longer be undone: what was live before it was kept until {}. {instead}",
            moment(until)
        )),
        // What has an id has told all.
        None if status.id.is_some() && status.result.as_deref() == Some("Succeeded") => Some(
            format!("{name} cannot be undone: it kept nothing of what was live before. {instead}"),
        ),
        _ => None,
    }
}

/// What is about to be undone, in a line.
fn announcement(name: &str, restore: &AgentFSRestore) -> String {
    let status = restore.status.clone().unwrap_or_default();
    let of = match (&status.source, &restore.spec.undo) {
        (_, Some(undone)) => format!("the undo of {undone}"),
        (Some(backup), None) => format!("the restore of {backup}"),
        (None, None) => "a restore".into(),
    };
    let at = status.switched_time.as_ref().map(|at| format!(", which switched {}", moment(at)));
    format!("{}: undoing {name}, {of}{}", restore.spec.agent_fs, at.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn restore(spec: &Value, status: &Value) -> AgentFSRestore {
        serde_json::from_value(json!({
            "apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSRestore",
            "metadata": {"name": "restore-7d2kq", "namespace": "agents"}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn in_place(until: &str) -> AgentFSRestore {
        let spec = json!({"agentFS": "memory", "source": {"latestVerified": true}, "target": {"inPlace": {}}});
        let status = json!({"source": "agentfs_20261127_020000", "switchedTime": "2026-11-28T14:08:12Z", "previousUntil": until});
        restore(&spec, &status)
    }

    fn wrong(agentfs: Option<&str>, restore: &AgentFSRestore) -> Option<String> {
        let now = "2026-11-28T20:00:00Z".parse().unwrap();
        cannot_be_undone("restore-7d2kq", agentfs, restore, now)
    }

    #[test]
    fn a_restore_in_place_can_be_taken_back_while_what_was_live_is_kept() {
        let kept = in_place("2026-11-29T14:08:12Z");
        assert_eq!(wrong(None, &kept), None);
        assert_eq!(wrong(Some("memory"), &kept), None);
        assert_eq!(
            announcement("restore-7d2kq", &kept),
            "memory: undoing restore-7d2kq, the restore of agentfs_20261127_020000, which switched 2026-11-28 14:08 UTC"
        );
        let said = wrong(None, &in_place("2026-11-28T15:00:00Z")).unwrap();
        assert!(said.contains("was kept until 2026-11-28 15:00 UTC."), "{said}");
    }

    #[test]
    fn what_kept_nothing_cannot_be_taken_back() {
        let spec = json!({"agentFS": "memory", "source": {"latest": true}, "target": {"inPlace": {"strategy": "Clean"}}});
        let mut status =
            json!({"switchedTime": "2026-11-28T14:08:12Z", "result": "Succeeded", "id": "0199-a"});
        let said = wrong(None, &restore(&spec, &status)).unwrap();
        assert!(said.contains("cannot be undone: it kept nothing"), "{said}");
        // It does not say all yet.
        status["id"].take();
        assert_eq!(wrong(None, &restore(&spec, &status)), None);
    }

    #[test]
    fn what_changed_nothing_has_nothing_to_take_back() {
        let spec = json!({"agentFS": "memory", "source": {"latest": true}, "target": {"newDatabase": {"name": "look"}}});
        let said = wrong(None, &restore(&spec, &json!({"result": "Succeeded"}))).unwrap();
        assert!(said.contains("into the new database look"), "{said}");
        let spec =
            json!({"agentFS": "memory", "source": {"latest": true}, "target": {"inPlace": {}}});
        let said = wrong(None, &restore(&spec, &json!({"step": "Loading"}))).unwrap();
        assert!(said.contains("has not switched: what was live is still live"), "{said}");
        assert_eq!(
            wrong(Some("blue"), &in_place("2026-11-29T14:08:12Z")).unwrap(),
            "restore-7d2kq is a restore of memory, not of blue"
        );
    }
}
