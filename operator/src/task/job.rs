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
/// release adds a field, and without the time after which the resource is deleted, which is nothing that is carried out.
fn essence<S>(spec: &S) -> Result<Value, serde_json::Error>
where
    S: Serialize + DeserializeOwned + PartialEq,
{
    let mut value = serde_json::to_value(spec)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("ttlSecondsAfterFinished");
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
    let Some(mut spec) = cronjob.spec.clone().and_then(|spec| spec.job_template.spec) else {
        return Ok(None);
    };
    let component = Component::new(T::WHAT);
    let request = request(task, owner)?.write();
    let mut labels = owner.labels(component);
    labels.insert(record::OF.into(), task.agentfs().into());

    let metadata = spec.template.metadata.get_or_insert_default();
    // Those of the CronJob's pods are the AgentFS's, which must not take these for its own.
    metadata.labels.get_or_insert_default().extend(labels.clone());
    // How long a pod may take. The Job itself may wait for a node, a volume or a quota for as long as it takes.
    let deadline = spec.active_deadline_seconds.take();
    let Some(container) = container(&mut spec) else { return Ok(None) };
    let ends = deadline.map(|deadline| deadline - ENDS_BEFORE_SECONDS).filter(|ends| *ends > 0);
    let ends = ends.map(|seconds| format!("--deadline={seconds}"));
    container.args = Some(work.arguments.iter().cloned().chain(ends).collect());
    let mut set = |name: &str, value: &str| {
        let variables = container.env.get_or_insert_default();
        variables.retain(|variable| variable.name != name);
        variables.push(env(name, value));
    };
    set(setting::REQUEST, &request);
    set(setting::PROGRESS_PORT, &port::PROGRESS.to_string());
    for (name, value) in &work.variables {
        set(name, value);
    }
    let ports = container.ports.get_or_insert_default();
    ports.retain(|port| port.name.as_deref() != Some(PORT));
    ports.push(pod::port(PORT, port::PROGRESS));
    let policy = jobs::failure_policy(&container.name);

    if let Some(pod) = spec.template.spec.as_mut() {
        pod.active_deadline_seconds = deadline;
    }
    let mut metadata = owner.owned(name(task), component);
    metadata.labels = Some(labels);
    Ok(Some(Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(jobs::TRIES),
            pod_failure_policy: Some(policy),
            // It is deleted once its report was read, and not before.
            ttl_seconds_after_finished: None,
            ..spec
        }),
        status: None,
    }))
}

/// The container of the server.
fn container(spec: &mut JobSpec) -> Option<&mut Container> {
    spec.template.spec.as_mut()?.containers.first_mut()
}
