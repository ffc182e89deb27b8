//! The Job of a task, made from a CronJob of its AgentFS.

use agentfs_contract::request::Request;
use agentfs_contract::{port, record, setting};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::progress::PORT;
use super::{Task, Work};
use crate::kit::env::env;
use crate::kit::labels::Component;
use crate::kit::ownership::Owner;
use crate::kit::{digest, jobs, pod};

/// How much earlier than its pod is ended a command ends by itself, in seconds: then it says so, leaves nothing, and is not tried again.
const ENDS_BEFORE_SECONDS: i64 = 300;

/// The name of the Job of `task`.
pub fn name<T: Task>(task: &T) -> String {
    format!("{}-{}", task.name_any(), T::WHAT)
}

/// What the database remembers of `task`, so that it is carried out once for ever.
pub fn request<T: Task>(task: &T, owner: &Owner) -> Result<Request, serde_json::Error> {
    let spec = essence(task.spec())?.to_string();
    Ok(Request {
        kind: owner.kind.clone(),
        namespace: owner.namespace.clone(),
        name: owner.name.clone(),
        spec: digest::hash([spec.as_str()]),
        uid: Some(owner.uid.clone()),
    })
}

/// What a spec asks for, as JSON whose keys are in order: without what equals its default, so that it stays the same when a later
/// release adds a field, and without when the resource is deleted and what with it, which is nothing that is carried out.
fn essence<S>(spec: &S) -> Result<Value, serde_json::Error>
where
    S: Serialize + DeserializeOwned + PartialEq,
{
    let mut value = serde_json::to_value(spec)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("ttlSecondsAfterFinished");
        fields.remove("deletionPolicy");
    }
    let meant = S::deserialize(&value)?;
    for (parent, field) in fields(&value, "") {
        let whole = value.clone();
        let fields = value.pointer_mut(&parent).and_then(Value::as_object_mut);
        let is_default = fields.is_some_and(|fields| fields.remove(&field).is_some())
            && S::deserialize(&value).is_ok_and(|spec| spec == meant);
        if !is_default {
            value = whole;
        }
    }
    Ok(value)
}

/// All fields of an object, those within others first: the pointer of what has it, and its name.
fn fields(value: &Value, at: &str) -> Vec<(String, String)> {
    let of = value.as_object().into_iter().flatten().flat_map(|(name, value)| {
        let mut all = fields(value, &format!("{at}/{name}"));
        all.push((at.to_owned(), name.clone()));
        all
    });
    of.collect()
}

/// The Job that does the `work` of `task`, which is `owner`, like those of `cronjob`; `None` where that has no container.
pub fn job<T: Task>(
    task: &T,
    owner: &Owner,
    work: &Work,
    cronjob: &CronJob,
) -> Result<Option<Job>, serde_json::Error> {
    let request = request(task, owner)?.write();
    let Some(mut job) = like(owner, name(task), Component::new(T::WHAT), work, cronjob) else {
        return Ok(None);
    };
    let Some(spec) = job.spec.as_mut() else { return Ok(None) };
    for metadata in [&mut job.metadata, spec.template.metadata.get_or_insert_default()] {
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(record::OF.into(), task.agentfs().into());
    }
    let deadline = spec.template.spec.as_ref().and_then(|pod| pod.active_deadline_seconds);
    let Some(container) = container(spec) else { return Ok(None) };
    let ends = deadline.map(|deadline| deadline - ENDS_BEFORE_SECONDS).filter(|ends| *ends > 0);
    let ends = ends.map(|seconds| format!("--deadline={seconds}"));
    container.args.get_or_insert_default().extend(ends);
    set(container, setting::REQUEST, &request);
    set(container, setting::PROGRESS_PORT, &port::PROGRESS.to_string());
    let ports = container.ports.get_or_insert_default();
    ports.retain(|port| port.name.as_deref() != Some(PORT));
    ports.push(pod::port(PORT, port::PROGRESS));
    Ok(Some(job))
}

/// A Job of `owner` that does this `work` once, like those of `cronjob`; `None` where that has no container.
pub(super) fn like(
    owner: &Owner,
    name: String,
    component: Component,
    work: &Work,
    cronjob: &CronJob,
) -> Option<Job> {
    let mut spec = cronjob.spec.clone()?.job_template.spec?;
    let labels = owner.labels(component);
    let metadata = spec.template.metadata.get_or_insert_default();
    // Those of the CronJob's pods are the AgentFS's, which must not take these for its own.
    metadata.labels.get_or_insert_default().extend(labels);
    // How long a pod may take. The Job itself may wait for a node, a volume or a quota for as long as it takes.
    let deadline = spec.active_deadline_seconds.take();
    let container = container(&mut spec)?;
    container.args = Some(work.arguments.clone());
    for (name, value) in &work.variables {
        set(container, name, value);
    }
    let policy = jobs::failure_policy(&container.name);
    if let Some(pod) = spec.template.spec.as_mut() {
        pod.active_deadline_seconds = deadline;
    }
    Some(Job {
        metadata: owner.owned(name, component),
        spec: Some(JobSpec {
            backoff_limit: Some(jobs::TRIES),
            pod_failure_policy: Some(policy),
            // It is deleted once its report was read, and not before.
            ttl_seconds_after_finished: None,
            ..spec
        }),
        status: None,
    })
}

/// Sets an environment variable.
fn set(container: &mut Container, name: &str, value: &str) {
    let variables = container.env.get_or_insert_default();
    variables.retain(|variable| variable.name != name);
    variables.push(env(name, value));
}

/// The container of the server.
fn container(spec: &mut JobSpec) -> Option<&mut Container> {
    spec.template.spec.as_mut()?.containers.first_mut()
}
