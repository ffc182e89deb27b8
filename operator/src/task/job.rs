//! The Job of a task, made from a CronJob of its AgentFS.

use agentfs_contract::request::Request;
use agentfs_contract::{port, record, setting};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt as _;

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
    // As a value, whose keys are in order: what is hashed does not change with the order of fields here.
    let spec = serde_json::to_value(task.spec())?.to_string();
    Ok(Request {
        kind: owner.kind.clone(),
        namespace: owner.namespace.clone(),
        name: owner.name.clone(),
        spec: digest::hash([spec.as_str()]),
        uid: Some(owner.uid.clone()),
    })
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
