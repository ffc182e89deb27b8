//! The Job that brings the schema to what the server's image needs and makes the first API key valid.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec};

use super::{owned, pod};
use crate::agentfs::credentials::{self, AdminKey};
use crate::agentfs::names::{ATTEMPT, Component, MIGRATION};
use crate::agentfs::plan::{Access, Plan};

/// The exit code of `agentfs-server migrate` that means: try again.
const TRY_AGAIN: i32 = 75;

/// What a migration is made of: the pod that runs it, the key that it makes valid, and the database
/// that it runs on. When one of them changes, it runs again.
pub(super) fn hash(
    access: &Access,
    admin_key: &AdminKey,
    template: &PodTemplateSpec,
) -> Result<String, serde_json::Error> {
    let template = serde_json::to_string(template)?;
    Ok(credentials::hash([template.as_str(), admin_key.hash().as_str(), access.identity.as_str()]))
}

/// The Job of one try; `runs` tells whether it is not over.
pub(super) fn build(
    plan: &Plan,
    template: PodTemplateSpec,
    hash: &str,
    attempt: u32,
    runs: bool,
) -> Job {
    let mut metadata = owned(plan, plan.names.migration(hash, attempt), Component::Migration);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(MIGRATION.into(), hash.to_owned());
    annotations.insert(ATTEMPT.into(), attempt.to_string());
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(4),
            suspend: Some(plan.suspended && runs),
            pod_failure_policy: Some(failure_policy()),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

pub(super) fn template(plan: &Plan, access: &Access) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(pod::metadata(plan, &plan.api.pods, Component::Migration, [])),
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            termination_grace_period_seconds: Some(30),
            containers: vec![container(plan, access)],
            volumes: Some(vec![pod::scratch("tmp", None)]),
            ..pod::spec(plan, &plan.api.pods, pod::SERVER_USER)
        }),
    }
}

fn container(plan: &Plan, access: &Access) -> Container {
    Container {
        name: "migrate".into(),
        image: Some(plan.images.server.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec!["migrate".into()]),
        env: Some(environment(plan, access)),
        resources: Some(pod::resources(None, ["100m", "128Mi", "512Mi"])),
        security_context: Some(pod::confined()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
        ..Container::default()
    }
}

fn environment(plan: &Plan, access: &Access) -> Vec<EnvVar> {
    let mut variables = vec![
        pod::secret_env("DATABASE_URL", &access.secret, &access.key),
        pod::secret_env("AGENTFS_ADMIN_KEY", &plan.names.admin_key(), "key"),
    ];
    variables.extend(plan.api.extra_env.iter().cloned());
    variables
}

/// A pod that a node lost does not count; one that says "try again" counts as one of the few tries of
/// this Job; any other failure ends the Job at once, and the operator makes the next one later.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "FailJob".into(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some("migrate".into()),
                    operator: "NotIn".into(),
                    values: vec![TRY_AGAIN],
                }),
                on_pod_conditions: None,
            },
        ],
    }
}
