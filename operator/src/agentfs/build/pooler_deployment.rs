//! PgBouncer, the connection pool.

use super::trust;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, KeyToPath, PodSpec, PodTemplateSpec, Probe, TCPSocketAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use secrecy::ExposeSecret as _;

use crate::agentfs::names::{self, POOLER_PORT, SECRET_HASH};
use crate::agentfs::plan::{Access, Plan, PoolerPlan};
use crate::agentfs::pooler::{FOLDER, INI, USERLIST, ini, userlist};
use crate::kit::digest::hash;
use crate::kit::pod;

/// How long transactions under way may take when a pod leaves: the statement timeout, and some to
/// spare. The image's stop signal lets them end, and connections without one are closed at once.
const DRAIN_SECONDS: i64 = 25;

pub(super) fn build(plan: &Plan, pooler: &PoolerPlan, access: &Access) -> Deployment {
    let (ini, userlist) = (ini(pooler, access), userlist(&pooler.credentials));
    // The certificates of the database's authority are in neither; the hash of the access has them.
    let authority = access.authority.as_ref().map(|_| access.hash.as_str());
    let hash = hash([ini.expose_secret(), userlist.expose_secret()].into_iter().chain(authority));
    let metadata = pod::metadata(&plan.owner, &pooler.pods, names::POOLER, [(SECRET_HASH, hash)]);
    Deployment {
        metadata: plan.owner.owned(plan.names.pooler(), names::POOLER),
        spec: Some(DeploymentSpec {
            replicas: None,
            revision_history_limit: Some(3),
            selector: pod::selector(&plan.owner, names::POOLER),
            strategy: Some(pod::one_more_then_one_less(IntOrString::Int(1))),
            template: PodTemplateSpec {
                metadata: Some(metadata),
                spec: Some(trust::trusting(access.authority.as_ref(), pod_spec(plan, pooler))),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(plan: &Plan, pooler: &PoolerPlan) -> PodSpec {
    PodSpec {
        termination_grace_period_seconds: Some(pod::LEAVE_SLOWLY_SECONDS + DRAIN_SECONDS),
        containers: vec![container(plan, pooler)],
        volumes: Some(vec![configuration(plan)]),
        topology_spread_constraints: Some(pod::spread(&plan.owner, &pooler.pods, names::POOLER)),
        ..pod::spec(&plan.pod_account(), &pooler.pods, pod::SERVER_USER)
    }
}

fn configuration(plan: &Plan) -> Volume {
    let item = |key: &str| KeyToPath { key: key.into(), path: key.into(), mode: None };
    pod::secret_files("configuration", &plan.names.pooler(), vec![item(INI), item(USERLIST)])
}

fn container(plan: &Plan, pooler: &PoolerPlan) -> Container {
    Container {
        name: "pgbouncer".into(),
        image: Some(plan.images.pgbouncer.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec![format!("{FOLDER}/{INI}")]),
        ports: Some(vec![pod::port("pgbouncer", POOLER_PORT)]),
        resources: Some(pod::resources(pooler.spec.resources.as_ref(), ["20m", "32Mi", "128Mi"])),
        security_context: Some(pod::confined()),
        readiness_probe: Some(probe(5, 2)),
        liveness_probe: Some(probe(10, 6)),
        lifecycle: Some(pod::leave_slowly()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![VolumeMount {
            read_only: Some(true),
            ..pod::mount("configuration", FOLDER)
        }]),
        ..Container::default()
    }
}

/// It says whether PgBouncer listens; whether PostgreSQL behind it answers the API pods tell.
fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String("pgbouncer".into()),
            host: None,
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
