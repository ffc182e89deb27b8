//! `kubectl agentfs verify`: proves that a backup restores, by a Job like those of the AgentFS's schedule of verifications.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use serde_json::Value;

use super::backups;
use super::cli::{ActionFlags, NameArg};
use super::cluster::{Cluster, Found};
use super::error::Error;
use super::follow::{EVERY, Now, unless_interrupted, until_end};
use super::output::{object, print};
use super::screen::Screen;
use crate::crd::AgentFSBackup;

/// Arguments of `kubectl agentfs verify`.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    agentfs: NameArg,
    /// The backup: its id, or the name of its AgentFSBackup. Defaults to the newest
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    #[command(flatten)]
    action: ActionFlags,
}

/// Runs the command.
pub(super) async fn run(args: &VerifyArgs, cluster: &Cluster) -> Result<(), Error> {
    let agentfs = &args.agentfs.name;
    cluster.agentfs(agentfs).await?;
    let records = backups::of(cluster, agentfs).await?;
    let id = args.backup.as_deref().map(|backup| id_of(backup, &records));
    let cronjob = format!("{agentfs}-verify");
    let Some(cronjob) = cluster.get::<CronJob>(&cronjob).await? else {
        return Err(Error::NotThere(format!(
            "{agentfs} has no CronJob {cronjob}, from which a verification is made: its spec.backup.enabled or \
             spec.backup.verify.enabled is false, or the operator is of an older release"
        )));
    };
    let job = job_of(&cronjob.it, id)?;
    let made = cluster.create(&job).await?;

    let format = args.action.output.output;
    let mut screen = args.action.screen();
    let mut last = Some(made);
    let created = last.as_ref().map(|job| job.name().to_owned()).unwrap_or_default();
    if args.action.wait {
        screen.line(&format!(
            "{agentfs}: verifying {} by job.batch/{created}",
            id.unwrap_or("the newest backup")
        ));
        last = follow(cluster, &mut screen, &created).await?;
        tell_result(cluster, &mut screen, agentfs, &records).await?;
    } else if format.is_none() {
        screen.line(&format!("job.batch/{created} created"));
    }
    if let (Some(format), Some(job)) = (format, last) {
        print(&object(format, &job, Timestamp::now())?)?;
    }
    Ok(())
}

/// The id of a backup that is given by it, or by the name of its record.
fn id_of<'a>(backup: &'a str, records: &'a [Found<AgentFSBackup>]) -> &'a str {
    let record = records.iter().find(|record| record.name() == backup);
    let made = record.and_then(|record| record.it.status.as_ref()?.backup.as_ref());
    made.map_or(backup, |made| &made.id)
}

/// A Job like those of the CronJob, as `kubectl create job --from` makes it; for that backup.
fn job_of(cronjob: &CronJob, id: Option<&str>) -> Result<Job, Error> {
    let name = cronjob.metadata.name.clone().unwrap_or_default();
    let unfit = || Error::NotThere(format!("the CronJob {name} has no pod to make a Job of"));
    let template = cronjob.spec.as_ref().map(|spec| &spec.job_template).ok_or_else(unfit)?;
    let mut spec = template.spec.clone().ok_or_else(unfit)?;
    if let Some(id) = id {
        let pod = spec.template.spec.as_mut().ok_or_else(unfit)?;
        let container = pod.containers.first_mut().ok_or_else(unfit)?;
        container.args.get_or_insert_default().extend(["--backup".to_owned(), id.to_owned()]);
    }
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert("cronjob.kubernetes.io/instantiate".into(), "manual".into());
    let owner = cronjob.metadata.uid.clone().map(|uid| OwnerReference {
        api_version: "batch/v1".into(),
        kind: "CronJob".into(),
        name: name.clone(),
        uid,
        // Else the labels that Kubernetes takes over from its pods make it the AgentFS's.
        controller: Some(true),
        ..OwnerReference::default()
    });
    let metadata = ObjectMeta {
        generate_name: Some(format!("{name}-")),
        labels: Some(metadata.labels.unwrap_or_default())
            .filter(|labels: &BTreeMap<_, _>| !labels.is_empty()),
        annotations: Some(annotations),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    Ok(Job { metadata, spec: Some(spec), status: None })
}

/// Follows the Job to its end, and returns it as it was then.
async fn follow(
    cluster: &Cluster,
    screen: &mut Screen,
    name: &str,
) -> Result<Option<Found<Job>>, Error> {
    let what = format!("Job {}/{name}", cluster.namespace);
    let flags = &cluster.flags;
    let leaving = format!(
        "{what} goes on in the cluster. See how it goes: kubectl logs -f job/{name}{flags}. To cancel it: kubectl delete job {name}{flags}"
    );
    let mut last = None;
    let looking = until_end(screen, &what, EVERY, async || {
        last = cluster.get::<Job>(name).await?;
        let Some(job) = &last else { return Ok(None) };
        // Who may not read pods sees less of what keeps one from running.
        let pods = cluster.labelled::<Pod>(&format!("batch.kubernetes.io/job-name={name}")).await;
        let pods: Vec<Pod> = pods.unwrap_or_default().into_iter().map(|pod| pod.it).collect();
        Ok(Some(now(&job.it, &pods)))
    });
    let followed = unless_interrupted(looking, leaving).await;
    screen.settle();
    followed.map(|()| last)
}

/// How a Job stands.
fn now(job: &Job, pods: &[Pod]) -> Now {
    let name = job.metadata.name.clone().unwrap_or_default();
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref());
    let holds = |kind: &str| -> Option<&JobCondition> {
        conditions?.iter().find(|condition| condition.type_ == kind && condition.status == "True")
    };
    let end = match (holds("Complete"), holds("Failed")) {
        (Some(_), _) => Some(Ok(())),
        (None, Some(failed)) => {
            let left =
                pods.iter().filter_map(left).max_by_key(|(at, _)| *at).map(|(_, message)| message);
            let said =
                left.or_else(|| failed.message.clone()).unwrap_or_else(|| "its pod failed".into());
            Some(Err(format!(
                "{}. Its log has more: kubectl logs job/{name}",
                said.trim_end_matches('.')
            )))
        }
        (None, None) => None,
    };
    let runs = pods.iter().any(|pod| phase(pod) == "Running");
    let step = if runs { "Verifying" } else { "Starting" };
    Now { step: step.into(), waits_for: pods.iter().find_map(trouble), end, ..Now::default() }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// What keeps a pod from running.
fn trouble(pod: &Pod) -> Option<String> {
    const ON_THEIR_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
    let status = pod.status.as_ref().filter(|_| phase(pod) == "Pending")?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let mut waiting = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    let waiting = waiting.find_map(|waiting| {
        let reason = waiting.reason.as_deref().filter(|reason| !ON_THEIR_WAY.contains(reason))?;
        Some(format!("{reason}: {}", waiting.message.as_deref().unwrap_or("no more is said")))
    });
    let said = unscheduled.and_then(|condition| condition.message.clone()).or(waiting)?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    Some(format!("The pod {name} does not start yet: {said}"))
}

/// When a pod ended, and the sentence that it left.
fn left(pod: &Pod) -> Option<(Timestamp, String)> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ended =
        containers.iter().find_map(|container| container.state.as_ref()?.terminated.as_ref())?;
    let message = ended.message.as_deref().filter(|message| !message.trim().is_empty())?;
    let report: Option<Value> = serde_json::from_str(message).ok();
    let sentence = report.as_ref().and_then(|report| report["message"].as_str()).unwrap_or(message);
    let at = ended.finished_at.as_ref().map_or(Timestamp::MIN, |at| at.0);
    Some((at, sentence.trim().to_owned()))
}

/// Says what the records tell now that they did not before.
async fn tell_result(
    cluster: &Cluster,
    screen: &mut Screen,
    agentfs: &str,
    before: &[Found<AgentFSBackup>],
) -> Result<(), Error> {
    let found = backups::of(cluster, agentfs).await?;
    let verification =
        |backup: &Found<AgentFSBackup>| backup.it.status.as_ref()?.verification.clone();
    for backup in &found {
        let was = before.iter().find(|was| was.name() == backup.name()).and_then(verification);
        if let Some(now) = verification(backup).filter(|now| Some(now) != was.as_ref()) {
            let how = if now.level == "Restore" { "by a restore" } else { "by reading all of it" };
            screen.line(&format!("  verified   {}   {how}   {} s", backup.name(), now.seconds));
            return Ok(());
        }
    }
    // Records follow by themselves where the pod could not write them.
    screen
        .line(&format!("  verified; kubectl agentfs backups {agentfs}{} will tell", cluster.flags));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cronjob() -> CronJob {
        serde_json::from_value(json!({
            "metadata": {"name": "memory-verify", "uid": "u-1"},
            "spec": {"schedule": "0 4 * * 0", "jobTemplate": {
                "metadata": {"labels": {"app.kubernetes.io/component": "verify"}},
                "spec": {"backoffLimit": 6, "template": {"spec": {"containers": [{"name": "verify", "args": ["verify"]}]}}},
            }},
        }))
        .unwrap()
    }

    #[test]
    fn a_job_is_made_as_kubectl_makes_one_from_a_cronjob() {
        let job = job_of(&cronjob(), Some("agentfs_20261127_020000")).unwrap();
        assert_eq!(
            serde_json::to_value(&job).unwrap(),
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {
                    "generateName": "memory-verify-",
                    "labels": {"app.kubernetes.io/component": "verify"},
                    "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
                    "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "memory-verify", "uid": "u-1",
                                         "controller": true}],
                },
                "spec": {"backoffLimit": 6, "template": {"spec": {"containers": [
                    {"name": "verify", "args": ["verify", "--backup", "agentfs_20261127_020000"]}]}}},
            })
        );
        let args =
            |job: Job| job.spec.unwrap().template.spec.unwrap().containers.remove(0).args.unwrap();
        assert_eq!(args(job_of(&cronjob(), None).unwrap()), ["verify"]);
    }

    #[test]
    fn a_pod_says_why_it_failed_and_why_it_does_not_start() {
        let failed = serde_json::from_value(json!({"metadata": {"name": "memory-verify-x7k2p"}, "status": {"conditions": [
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]}}))
        .unwrap();
        let pod = |at: &str, message: &str| -> Pod {
            let ended = json!({"exitCode": 1, "finishedAt": at, "message": message});
            let container = json!({"name": "verify", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"terminated": ended}});
            serde_json::from_value(
                json!({"status": {"phase": "Failed", "containerStatuses": [container]}}),
            )
            .unwrap()
        };
        let newest = r#"{"message":"table entries has 3 rows too few","transient":false}"#;
        let pods =
            [pod("2026-11-27T02:09:00Z", newest), pod("2026-11-27T02:04:00Z", "an older one")];
        assert_eq!(
            now(&failed, &pods).end.unwrap().unwrap_err(),
            "table entries has 3 rows too few. Its log has more: kubectl logs job/memory-verify-x7k2p"
        );
        assert!(now(&failed, &[]).end.unwrap().unwrap_err().starts_with("too often."));

        let pending: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node has room"}]}}))
        .unwrap();
        let stands = now(&Job::default(), &[pending]);
        assert_eq!(
            stands.waits_for.as_deref(),
            Some("The pod p does not start yet: no node has room")
        );
        assert_eq!((stands.step.as_str(), stands.end), ("Starting", None));
    }
}
