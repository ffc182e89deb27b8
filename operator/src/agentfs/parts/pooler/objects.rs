//! The objects of PgBouncer, the connection pool: its configuration, with the URL by which the API
//! reaches it, its Service, its pods and their disruption budget.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, KeyToPath, PodSpec, PodTemplateSpec, Probe, Secret, Service, TCPSocketAction,
    Volume, VolumeMount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use secrecy::ExposeSecret as _;

use super::condition::POOLER_READY;
use super::config::{FOLDER, INI, USERLIST, ini, userlist};
use super::plan::PoolerPlan;
use crate::agentfs::database::access::Access;
use crate::agentfs::database::trust;
use crate::agentfs::names::{Names, POOLER_PORT, SECRET_HASH};
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::plan::{Part, Plan};
use crate::kit::blockers::OwnershipFilter;
use crate::kit::conditions::PROGRESSING;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::digest::hash;
use crate::kit::labels::Component;
use crate::kit::pods::PodsOf;
use crate::kit::reads::{Reader, read};
use crate::kit::secrets::data;
use crate::kit::writer::{Error, Writer};
use crate::kit::{budgets, pod};

/// The component of the connection pool.
pub const COMPONENT: Component = Component::new("pooler");
/// Its pods, in words for a condition.
pub const PODS: PodsOf = PodsOf { part: "the connection pool", resources: "spec.pooler.resources" };

/// How long transactions under way may take when a pod leaves: the statement timeout, and some to
/// spare. The image's stop signal lets them end, and connections without one are closed at once.
const DRAIN_SECONDS: i64 = 25;

/// The connection pool's objects that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its configuration.
    pub config: Option<Secret>,
    /// Its Service.
    pub service: Option<Service>,
    /// Its pods.
    pub deployment: Option<Deployment>,
    /// How many pods may be away at once.
    pub budget: Option<PodDisruptionBudget>,
}

impl Seen {
    /// Reads them.
    pub async fn read(reader: Reader<'_>, names: &Names) -> Result<Self, kube::Error> {
        Ok(read!(Self {
            config: reader.get(names.pooler()),
            service: reader.get(names.pooler()),
            deployment: reader.get(names.pooler()),
            budget: reader.get(names.pooler()),
        }))
    }

    /// Those of them that are ours.
    #[must_use]
    pub fn owned(self, filter: &mut OwnershipFilter<'_>) -> Self {
        Self {
            config: filter.owned(POOLER_READY, self.config),
            service: filter.owned(POOLER_READY, self.service),
            deployment: filter.owned(POOLER_READY, self.deployment),
            budget: filter.owned(PROGRESSING, self.budget),
        }
    }
}

/// The connection pool's objects.
#[derive(Clone, Debug)]
pub struct Objects<S: Stage> {
    /// Its configuration.
    pub config: S::Of<Secret>,
    /// Its Service.
    pub service: S::Of<Service>,
    /// Its pods.
    pub deployment: S::Of<Deployment>,
    /// How many pods there are to be; `None`: however many there are.
    pub replicas: Option<i32>,
    /// How many pods may be away at once.
    pub budget: S::Of<PodDisruptionBudget>,
}

impl Objects<Prepared> {
    /// Makes them. While the API that runs works on another database, or is not to leave it before its
    /// schema is there, the pool is left before that one.
    pub fn build(plan: &Plan, next: Next) -> Self {
        let left = Self {
            config: Desired::Keep,
            service: Desired::Keep,
            deployment: Desired::Keep,
            replicas: None,
            budget: Desired::Keep,
        };
        let pooler = match &plan.parts.pooler {
            Part::Enabled(pooler) => pooler,
            Part::Blocked => return left,
            Part::Disabled if !plan.has_moved() => return left,
            Part::Disabled => {
                return Self {
                    config: Desired::Delete,
                    service: Desired::Delete,
                    deployment: Desired::Delete,
                    replicas: None,
                    budget: Desired::Delete,
                };
            }
        };
        let replicas = plan.unless_suspended(pooler.spec.replicas);
        let access = plan.access_once_migrated(next);
        Self {
            config: Desired::apply_or_keep(access.map(|access| secret(plan, pooler, access))),
            service: Desired::Apply(service(plan)),
            deployment: Desired::apply_or_keep(
                access.map(|access| deployment(plan, pooler, access)),
            ),
            replicas: Some(replicas),
            budget: budgets::build(&plan.owner, plan.names.pooler(), COMPONENT, replicas),
        }
    }

    /// Writes what differs from what was `seen`; `has_credentials` tells whether the Secrets of the
    /// database are there.
    pub async fn write(
        self,
        writer: &mut Writer<'_>,
        seen: &Seen,
        has_credentials: bool,
    ) -> Result<Objects<Applied>, Error> {
        let Self { config, service, deployment, replicas, budget } = self;
        let config = config.only_if(has_credentials);
        let config = writer.child(POOLER_READY, config, seen.config.as_ref()).await?;
        let service = writer.child(POOLER_READY, service, seen.service.as_ref()).await?;
        let budget = writer.child(PROGRESSING, budget, seen.budget.as_ref()).await?;
        let deployment = deployment.only_if(config.is_some());
        let deployment = writer.child(POOLER_READY, deployment, seen.deployment.as_ref()).await?;
        let deployment = writer.scale(POOLER_READY, deployment, replicas).await?;
        Ok(Objects { config, service, deployment, replicas, budget })
    }
}

fn secret(plan: &Plan, pooler: &PoolerPlan, access: &Access) -> Secret {
    let credentials = &pooler.credentials;
    let url = credentials.url(&plan.names.pooler_host(&plan.owner.namespace), POOLER_PORT);
    Secret {
        metadata: plan.owner.owned(plan.names.pooler(), COMPONENT),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([
            data(INI, ini(pooler, access).expose_secret()),
            data(USERLIST, userlist(credentials).expose_secret()),
            data("password", credentials.password.expose_secret()),
            data("DATABASE_URL", url.expose_secret()),
        ])),
        ..Secret::default()
    }
}

fn service(plan: &Plan) -> Service {
    Service {
        metadata: plan.owner.owned(plan.names.pooler(), COMPONENT),
        spec: Some(pod::service(&plan.owner, COMPONENT, "pgbouncer", POOLER_PORT)),
        status: None,
    }
}

fn deployment(plan: &Plan, pooler: &PoolerPlan, access: &Access) -> Deployment {
    let (ini, userlist) = (ini(pooler, access), userlist(&pooler.credentials));
    // The certificates of the database's authority are in neither; the hash of the access has them.
    let authority = access.authority.as_ref().map(|_| access.hash.as_str());
    let hash = hash([ini.expose_secret(), userlist.expose_secret()].into_iter().chain(authority));
    let metadata = pod::metadata(&plan.owner, &pooler.pods, COMPONENT, [(SECRET_HASH, hash)]);
    Deployment {
        metadata: plan.owner.owned(plan.names.pooler(), COMPONENT),
        spec: Some(DeploymentSpec {
            replicas: None,
            revision_history_limit: Some(3),
            selector: pod::selector(&plan.owner, COMPONENT),
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
        topology_spread_constraints: Some(pod::spread(&plan.owner, &pooler.pods, COMPONENT)),
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
