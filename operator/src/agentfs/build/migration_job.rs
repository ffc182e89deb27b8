//! The Job that brings the schema to what the server's image needs and makes the first API key valid.

use super::trust;
use crate::kit::digest;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec};

use crate::agentfs::credentials::AdminKey;
use crate::agentfs::names::{self, ATTEMPT, MIGRATION};
use crate::agentfs::plan::{Access, Plan};
use crate::kit::env::secret_env;
use crate::kit::{jobs, pod};

/// The container's name.
const CONTAINER: &str = "migrate";

/// What a migration is made of: the pod that runs it, the key that it makes valid, and the database
/// that it runs on. When one of them changes, it runs again.
pub(super) fn hash(
    access: &Access,
    admin_key: &AdminKey,
    template: &PodTemplateSpec,
) -> Result<String, serde_json::Error> {
    let template = serde_json::to_string(template)?;
    Ok(digest::hash([template.as_str(), admin_key.hash().as_str(), access.identity.as_str()]))
}

/// The Job of one try; `runs` tells whether it is not over.
pub(super) fn build(
    plan: &Plan,
    template: PodTemplateSpec,
    hash: &str,
    attempt: u32,
    runs: bool,
) -> Job {
    let mut metadata = plan.owner.owned(plan.names.migration(hash, attempt), names::MIGRATE);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(MIGRATION.into(), hash.to_owned());
    annotations.insert(ATTEMPT.into(), attempt.to_string());
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(4),
            suspend: Some(plan.suspended && runs),
            pod_failure_policy: Some(jobs::failure_policy(CONTAINER)),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

pub(super) fn template(plan: &Plan, access: &Access) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(pod::metadata(&plan.owner, &plan.api.pods, names::MIGRATE, [])),
        spec: Some(trust::trusting(
            access.authority.as_ref(),
            PodSpec {
                restart_policy: Some("Never".into()),
                termination_grace_period_seconds: Some(30),
                containers: vec![container(plan, access)],
                volumes: Some(vec![pod::scratch("tmp", None)]),
                ..pod::spec(&plan.pod_account(), &plan.api.pods, pod::SERVER_USER)
            },
        )),
    }
}

fn container(plan: &Plan, access: &Access) -> Container {
    Container {
        name: CONTAINER.into(),
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
        secret_env("DATABASE_URL", &access.secret, &access.key),
        secret_env("AGENTFS_ADMIN_KEY", &plan.names.admin_key(), "key"),
    ];
    variables.extend(plan.api.migration_environment.iter().cloned());
    variables
}
