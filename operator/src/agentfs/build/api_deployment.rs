//! The API: stateless pods that are replaced without a failed request.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, HTTPGetAction, PodSpec, PodTemplateSpec, Probe,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{owned, pod};
use crate::agentfs::names::{API_PORT, Component, DATABASE, ENVIRONMENT_HASH, SECRET_HASH};
use crate::agentfs::plan::{Plan, Way};

/// How long a pod that leaves may take to answer what is under way: the server's own 20 s, and some to spare.
const DRAIN_SECONDS: i64 = 35;

pub(super) fn build(plan: &Plan, way: &Way, image: &str) -> Deployment {
    let hashes = [(SECRET_HASH, way.hash.clone()), (DATABASE, way.mark.clone())];
    let mut metadata = pod::metadata(plan, &plan.api.pods, Component::Api, hashes);
    if let Some(hash) = &plan.api.environment {
        metadata.annotations.get_or_insert_default().insert(ENVIRONMENT_HASH.into(), hash.clone());
    }
    Deployment {
        metadata: owned(plan, plan.names.api(), Component::Api),
        spec: Some(DeploymentSpec {
            // Never here: an apply would take the number back from whoever scales.
            replicas: None,
            revision_history_limit: Some(3),
            selector: pod::selector(plan, Component::Api),
            strategy: Some(pod::one_more_then_one_less(IntOrString::String("25%".into()))),
            template: PodTemplateSpec {
                metadata: Some(metadata),
                spec: Some(pod_spec(plan, way, image)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(plan: &Plan, way: &Way, image: &str) -> PodSpec {
    PodSpec {
        termination_grace_period_seconds: Some(pod::LEAVE_SLOWLY_SECONDS + DRAIN_SECONDS),
        containers: vec![container(plan, way, image)],
        volumes: Some(vec![pod::scratch("tmp", None)]),
        topology_spread_constraints: Some(pod::spread(plan, &plan.api.pods, Component::Api)),
        ..pod::spec(plan, &plan.api.pods, pod::SERVER_USER)
    }
}

fn container(plan: &Plan, way: &Way, image: &str) -> Container {
    Container {
        name: "api".into(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec!["serve".into()]),
        ports: Some(vec![pod::port("http", API_PORT)]),
        env: Some(environment(plan, way)),
        resources: Some(pod::resources(plan.api.resources.as_ref(), ["100m", "128Mi", "512Mi"])),
        security_context: Some(pod::confined()),
        startup_probe: Some(probe("/livez", 1, 60)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        lifecycle: Some(pod::leave_slowly()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
        ..Container::default()
    }
}

fn environment(plan: &Plan, way: &Way) -> Vec<EnvVar> {
    let mut variables = vec![
        pod::secret_env("DATABASE_URL", &way.secret, &way.key),
        pod::env("PORT", API_PORT.to_string()),
    ];
    variables.extend(plan.api.extra_env.iter().cloned());
    variables
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("http".into()),
            scheme: Some("HTTP".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
