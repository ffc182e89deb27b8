//! Failures of pods, from what pods tell about themselves.
//!
//! Nothing that changes by itself is taken over (counts, back-off times, names of pods that come and
//! go), so that a condition is written once for one failure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use agentfs_contract::termination::Report;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::conditions::Failure;
use super::labels::{COMPONENT, Component};
use super::ownership::Owner;
use super::reasons;
use super::sentences::{one_line, without_full_stop};

/// Whose pods are spoken of, and where the spec says how large they are.
#[derive(Clone, Copy, Debug)]
pub struct PodsOf {
    /// The part, with its article.
    pub part: &'static str,
    /// The field with their CPU and memory.
    pub resources: &'static str,
}

/// How long a pod may start before it is asked why it is not ready.
const MAY_START: SignedDuration = SignedDuration::from_secs(10);
/// How long a node may take to start the containers of a pod before the pod's Events are asked why.
const MAY_BE_CREATED: SignedDuration = SignedDuration::from_mins(2);

/// What a container ends with that was killed (128 and SIGKILL).
const KILLED: i32 = 137;
/// Why the kernel kills a container.
const OUT_OF_MEMORY: &str = "it used more memory than its limit allows";

/// Whether a pod is of `component`.
pub fn is_of(pod: &Pod, component: Component) -> bool {
    pod.labels().get(COMPONENT).map(String::as_str) == Some(component.as_str())
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

/// Whether the containers of a pod run.
pub fn runs(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// Whether a container of a pod that stays ended with this code the last time that one did. One that runs since is past that;
/// not at once, since it may be about to end like that again.
pub fn ended_with(pod: &Pod, code: i32, now: Timestamp) -> bool {
    let runs = |status: &ContainerStatus| {
        let running = status.state.as_ref().and_then(|state| state.running.as_ref());
        let has_run = |since: &Time| now.duration_since(since.0) >= MAY_START;
        running.is_some_and(|running| running.started_at.as_ref().is_none_or(has_run))
    };
    let ended_so = |status| ended(status).is_some_and(|ended| ended.exit_code == code);
    pod.metadata.deletion_timestamp.is_none()
        && statuses(pod).any(|status| ended_so(status) && !runs(status))
}

/// The address of a pod that runs and has not been ready for a while: one that only starts is not
/// asked why.
pub fn unready_ip(pod: &Pod, now: Timestamp) -> Option<IpAddr> {
    let ready = condition(pod, "Ready")?;
    if !runs(pod) || pod.metadata.deletion_timestamp.is_some() || ready.status == "True" {
        return None;
    }
    let since = ready.last_transition_time.as_ref()?.0;
    if now.duration_since(since) < MAY_START {
        return None;
    }
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// Whether a pod has a node that has not started its containers for long. What keeps it from that only Events tell.
pub fn is_stuck(pod: &Pod, now: Timestamp) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let scheduled = condition(pod, "PodScheduled").filter(|c| c.status == "True");
    let since = scheduled.and_then(|c| c.last_transition_time.as_ref());
    let waits = |status: &ContainerStatus| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
        matches!(reason, Some("ContainerCreating" | "PodInitializing"))
    };
    phase == Some("Pending")
        && since.is_some_and(|since| now.duration_since(since.0) >= MAY_BE_CREATED)
        && statuses(pod).all(waits)
}

/// The names of the volume claims that a pod without a node brings along, which go with it.
pub fn claims(pod: &Pod) -> impl Iterator<Item = String> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let spec = pod.spec.as_ref().filter(|_| matches!(phase, None | Some("Pending")));
    let volumes = spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let of_its_own = volumes.filter(|volume| volume.ephemeral.is_some());
    of_its_own.map(|volume| format!("{}-{}", pod.name_any(), volume.name))
}

/// What keeps one of `pods` from running, if anything is known; `said` is what Kubernetes says of those that are stuck, by
/// their names. Pods that leave are not asked.
pub fn failure(pods: &[&Pod], said: &BTreeMap<String, String>) -> Option<Failure> {
    pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none() && !is_ready(pod)).find_map(
        |pod| {
            unschedulable(pod)
                .or_else(|| statuses(pod).find_map(container_failure))
                .or_else(|| Some(not_started(said.get(&pod.name_any())?)))
        },
    )
}

/// That `pod` lacks labels of `component`, so that neither its workload nor its Service finds it, where it does.
pub fn unlabelled(pod: &Pod, owner: &Owner, component: Component) -> Option<Failure> {
    let wanted = owner.labels(component);
    let missing: Vec<String> = wanted
        .iter()
        .filter(|(key, value)| pod.labels().get(*key) != Some(*value))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if missing.is_empty() || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let (name, missing) = (pod.name_any(), missing.join(" "));
    Some(Failure::new(
        reasons::LABELS_MISSING,
        format!("The pod {name} is there and is not found, since it lacks the labels {missing}"),
        format!(
            "Put them back: kubectl label pod -n {} {name} --overwrite {missing}",
            owner.namespace
        ),
    ))
}

/// What Kubernetes says when it refuses to create a pod, without the pod's random name.
pub fn refusal(said: &str, of: PodsOf) -> Failure {
    let PodsOf { part, resources } = of;
    let why = said.split_once(" is forbidden: ").map_or(said, |(_, why)| why);
    let over_quota = why.contains("exceeded quota");
    let reason = if over_quota { reasons::QUOTA_EXCEEDED } else { reasons::PODS_REFUSED };
    let remedy = if over_quota {
        format!("Raise the ResourceQuota of the namespace, or ask for less in {resources}.")
    } else {
        format!(
            "Set what the sentence asks for in {resources}, or change what refuses them (a quota, a \
             LimitRange, an admission policy); the operator then continues by itself."
        )
    };
    let what = format!("Kubernetes refuses the pods of {part}: {}", without_full_stop(why));
    Failure::new(reason, what, remedy)
}

/// The sentence that a container which failed left behind: the last line of its termination
/// message, or of its log where that is what Kubernetes kept.
pub fn termination_message(pods: &[&Pod]) -> Option<String> {
    let newest = newest_end(pods, |ended| ended.exit_code != 0)?;
    let words = newest.message.as_deref().map(sentence).filter(|words| !words.is_empty());
    Some(match (newest.reason.as_deref(), newest.exit_code, words) {
        // What it said last is not why.
        (Some("OOMKilled"), ..) => OUT_OF_MEMORY.into(),
        (_, KILLED, Some(words)) => format!("it was killed, after it said: {words}"),
        (_, KILLED, None) => "it was killed".into(),
        (.., Some(words)) => words,
        (_, code, None) => format!("it exited with code {code}"),
    })
}

/// What the container that was the last to succeed left behind.
pub fn left_by_the_newest_success(pods: &[&Pod]) -> Option<String> {
    newest_end(pods, |ended| ended.exit_code == 0)?.message.clone()
}

/// What the container that was the last to fail left behind.
pub fn left_by_the_newest_failure(pods: &[&Pod]) -> Option<String> {
    newest_end(pods, |ended| ended.exit_code != 0)?.message.clone()
}

/// The code that it ended with.
pub fn code_of_the_newest_failure(pods: &[&Pod]) -> Option<i32> {
    newest_end(pods, |ended| ended.exit_code != 0).map(|ended| ended.exit_code)
}

/// Whether a pod is of the Job `name`.
pub fn is_of_job(pod: &Pod, name: &str) -> bool {
    pod.labels().get("batch.kubernetes.io/job-name").map(String::as_str) == Some(name)
}

/// The number of the port `name` of the containers of `pod`.
pub fn port(pod: &Pod, name: &str) -> Option<u16> {
    let containers = pod.spec.as_ref()?.containers.iter();
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(name))?;
    port.container_port.try_into().ok()
}

/// The newest end of a container that is as `wanted`.
fn newest_end<'a>(
    pods: &[&'a Pod],
    wanted: impl Fn(&ContainerStateTerminated) -> bool,
) -> Option<&'a ContainerStateTerminated> {
    pods.iter()
        .flat_map(|pod| statuses(pod).filter_map(ended))
        .filter(|ended| wanted(ended))
        .max_by_key(|ended| ended.finished_at.as_ref().map(|time| time.0))
}

/// How a container ended the last time that it did.
fn ended(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let last = || status.last_state.as_ref()?.terminated.as_ref();
    status.state.as_ref().and_then(|state| state.terminated.as_ref()).or_else(last)
}

/// The sentence of the report that a container left; where it left none, as servers before 0.2 and other programs do, the last
/// line of what it left, or its `message` where that is a JSON log line.
fn sentence(left: &str) -> String {
    if let Some(report) = Report::read(left) {
        return one_line(&report.message);
    }
    let line = left.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    let logged = serde_json::from_str::<serde_json::Value>(line).ok().and_then(|value| {
        ["/message", "/msg", "/fields/message"]
            .iter()
            .find_map(|at| value.pointer(at)?.as_str().map(str::to_owned))
    });
    one_line(logged.as_deref().unwrap_or(line))
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|s| s.init_container_statuses.as_ref()).into_iter().flatten();
    let main = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten();
    init.chain(main)
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn unschedulable(pod: &Pod) -> Option<Failure> {
    let scheduled = condition(pod, "PodScheduled")?;
    if scheduled.status != "False" || scheduled.reason.as_deref() != Some("Unschedulable") {
        return None;
    }
    let said = scheduled.message.as_deref().unwrap_or("no node takes it");
    // What follows the first sentence tells of preemption and is of no use to people.
    let said = said.split(". ").next().unwrap_or(said);
    if waits_for_volume(said) {
        return None;
    }
    Some(Failure::new(
        reasons::UNSCHEDULABLE,
        format!("A pod cannot be scheduled: {}", without_full_stop(said)),
        "Add a node, free one, or ask for less in the spec's resources.",
    ))
}

/// Whether a pod has no node since its volume is still being made, or made anew. What keeps the volume from that its own Events
/// tell.
fn waits_for_volume(said: &str) -> bool {
    let is_away = ["not found", "is being deleted"].iter().any(|away| said.contains(away));
    said.contains("unbound immediate PersistentVolumeClaims")
        || said.contains("waiting for ephemeral volume controller")
        || (said.contains("persistentvolumeclaim \"") && is_away)
}

fn not_started(said: &str) -> Failure {
    Failure::new(
        reasons::POD_NOT_STARTED,
        format!("A node does not start its pod: {}", without_full_stop(said)),
        "Fix what the message names (kubectl describe pod has all of its Events); the node retries by itself.",
    )
}

fn container_failure(status: &ContainerStatus) -> Option<Failure> {
    let waiting = status.state.as_ref().and_then(|s| s.waiting.as_ref());
    let image = &status.image;
    match waiting.and_then(|w| w.reason.as_deref()) {
        Some("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull") => {
            return Some(Failure::new(
                reasons::IMAGE_PULL_FAILED,
                format!("The image {image} cannot be pulled"),
                "Check its name and tag and that the nodes may pull it (kubectl describe pod shows \
                 the registry's answer).",
            ));
        }
        Some(
            reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError"),
        ) => {
            let said = waiting.and_then(|w| w.message.as_deref()).unwrap_or(reason);
            return Some(Failure::new(
                reasons::CONTAINER_REFUSED,
                format!(
                    "The container {} cannot be started: {}",
                    status.name,
                    without_full_stop(said)
                ),
                "Fix what the message names; the pod is retried by itself.",
            ));
        }
        _ => {}
    }
    let crashed = status.last_state.as_ref().and_then(|s| s.terminated.as_ref())?;
    if crashed.exit_code == 0 && status.restart_count == 0 {
        return None;
    }
    let words = crashed.message.as_deref().map(sentence).filter(|words| !words.is_empty());
    let why = match (words, crashed.reason.as_deref()) {
        (Some(words), _) => without_full_stop(&words),
        (None, Some("OOMKilled")) => OUT_OF_MEMORY.into(),
        (None, _) => format!("it exited with code {}", crashed.exit_code),
    };
    Some(Failure::new(
        reasons::CRASHING,
        format!("The container {} keeps exiting: {why}", status.name),
        format!(
            "kubectl logs --previous of the pod, container {}, tells more; it is started again by itself.",
            status.name
        ),
    ))
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)] // `json!` literals are handed over
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
    }

    fn failure_of(status: Value) -> Failure {
        failure(&[&pod(status)], &BTreeMap::new()).unwrap()
    }

    fn container(state: Value) -> Value {
        let mut status = json!({"name": "api", "image": "shop/api:1", "imageID": "", "ready": false,
                                "restartCount": 0});
        status.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        json!({"containerStatuses": [status]})
    }

    #[test]
    fn an_image_that_cannot_be_had_reads_the_same_while_kubernetes_backs_off() {
        let reasons = ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"];
        let mut seen = reasons.map(|reason| {
            failure_of(container(json!({"state": {"waiting": {"reason": reason,
                "message": "Back-off 40s pulling"}}})))
        });
        assert!(seen[0].what.contains("shop/api:1"));
        seen.sort_by_key(|t| t.what.clone());
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    }

    #[test]
    fn a_container_that_runs_since_is_past_its_end_and_so_is_a_pod_that_leaves() {
        let now: Timestamp = "2026-11-23T14:00:30Z".parse().unwrap();
        let last = json!({"terminated": {"exitCode": 66}});
        let ended = |state: Value| pod(container(json!({"state": state, "lastState": last})));
        let waits = ended(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        assert!(ended_with(&waits, 66, now));
        assert!(!ended_with(&waits, 1, now));
        let leaves = Pod {
            metadata: serde_json::from_value(json!({"deletionTimestamp": now.to_string()}))
                .unwrap(),
            ..waits
        };
        assert!(!ended_with(&leaves, 66, now));
        for (since, is_past) in [("2026-11-23T14:00:25Z", false), ("2026-11-23T14:00:20Z", true)] {
            let runs = ended(json!({"running": {"startedAt": since}}));
            assert_eq!(ended_with(&runs, 66, now), !is_past, "{since}");
        }
    }

    #[test]
    fn a_crash_is_told_in_the_containers_own_words_and_holds_no_counter() {
        let crashed = |count: i32| {
            failure_of(container(json!({"restartCount": count,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 2m40s"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error",
                    "message": "starting\n{\"level\":\"ERROR\",\"message\":\"PORT 99999 is no port.\"}\n"}}})))
        };
        let failure = crashed(3);
        assert_eq!(failure.reason, reasons::CRASHING);
        assert_eq!(failure.what, "The container api keeps exiting: PORT 99999 is no port");
        assert_eq!(failure, crashed(4));
    }

    #[test]
    fn a_refused_pod_is_told_without_its_random_name_and_with_its_part_and_field() {
        const OF: PodsOf = PodsOf { part: "the API", resources: "spec.api.resources" };
        let said = |name: &str| {
            let quota = "exceeded quota: small, requested: pods=1";
            refusal(&format!("pods \"{name}\" is forbidden: {quota}"), OF)
        };
        assert_eq!(said("memory-api-1-abcde"), said("memory-api-1-fghij"));
        assert_eq!(said("x").reason, reasons::QUOTA_EXCEEDED);
        assert_eq!(
            said("x").what,
            "Kubernetes refuses the pods of the API: exceeded quota: small, requested: pods=1"
        );
        let limits = refusal("must specify limits.cpu for: migrate", OF);
        assert_eq!(limits.reason, reasons::PODS_REFUSED);
        for failure in [said("x"), limits] {
            assert!(failure.remedy.contains("spec.api.resources"), "{}", failure.remedy);
        }
    }

    #[test]
    fn a_pod_without_a_node_says_why_without_the_preemption_story() {
        let failure = failure_of(json!({"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are"}]}));
        assert_eq!(
            failure.what,
            "A pod cannot be scheduled: 0/1 nodes are available: 1 Insufficient cpu"
        );
    }

    #[test]
    fn a_pod_that_waits_for_its_volume_has_not_failed() {
        for said in [
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1",
            "running PreBind plugin: persistentvolumeclaim \"data-memory-postgres-0\" not found",
            "0/3 nodes are available: persistentvolumeclaim \"memory-backups\" is being deleted.",
            "0/1 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim \"a-tmp\".",
        ] {
            let waits = pod(json!({"conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": said}]}));
            assert_eq!(failure(&[&waits], &BTreeMap::new()), None, "{said}");
        }
    }

    #[test]
    fn a_pod_that_is_ready_or_leaves_has_no_failure() {
        let ready = pod(json!({"conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "a", "image": "i", "imageID": "", "ready": true,
                "restartCount": 2, "lastState": {"terminated": {"exitCode": 1}}}]}));
        assert_eq!(failure(&[&ready], &BTreeMap::new()), None);
        let mut leaving = pod(container(json!({"state": {"waiting": {"reason": "ErrImagePull"}}})));
        leaving.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(failure(&[&leaving], &BTreeMap::new()), None);
    }

    #[test]
    fn a_pod_is_stuck_when_its_node_starts_nothing_for_long() {
        let since = "2026-11-23T14:00:00Z";
        let scheduled =
            json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": since}]);
        let creating = |state: Value| {
            let mut status = container(json!({"state": state}));
            status["phase"] = json!("Pending");
            status["conditions"] = scheduled.clone();
            pod(status)
        };
        let waiting = |reason: &str| creating(json!({"waiting": {"reason": reason}}));
        let at = |minutes: i64| {
            let since: Timestamp = since.parse().unwrap();
            since + SignedDuration::from_mins(minutes)
        };
        assert!(!is_stuck(&waiting("ContainerCreating"), at(1)));
        assert!(is_stuck(&waiting("ContainerCreating"), at(2)));
        // A node that is away says nothing of containers at all.
        assert!(is_stuck(
            &pod(json!({"phase": "Pending", "conditions": scheduled.clone()})),
            at(2)
        ));
        assert!(!is_stuck(&pod(json!({"phase": "Pending"})), at(2)), "it has no node");
        assert!(!is_stuck(&waiting("ImagePullBackOff"), at(9)));
        assert!(!is_stuck(&creating(json!({"running": {}})), at(9)));
    }

    #[test]
    fn last_words_are_those_of_the_newest_failure() {
        let ended = |at: &str, message: &str| {
            pod(container(json!({"state": {"terminated": {"exitCode": 1, "finishedAt": at,
                "message": message}}})))
        };
        let (old, new) =
            (ended("2026-11-23T14:00:00Z", "old"), ended("2026-11-23T15:00:00Z", "new"));
        assert_eq!(termination_message(&[&new, &old]).unwrap(), "new");
        let report = Report { message: "the database is away".into(), transient: true };
        let newest = ended("2026-11-23T16:00:00Z", &report.write());
        assert_eq!(termination_message(&[&new, &newest]).unwrap(), "the database is away");
    }
}
