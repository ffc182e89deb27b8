//! The objects of the embedded PostgreSQL: one pod with one volume, its Service, and its credentials. The
//! Secret with these has no owner: the data it opens outlives the AgentFS as well.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ExecAction, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource,
    PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, Secret, SecretProjection, Service,
    Volume, VolumeMount, VolumeProjection,
};
use secrecy::ExposeSecret as _;

use super::identity::{EXPECTED, Identity};
use super::plan::EmbeddedPlan;
use crate::agentfs::database::credentials::Credentials;
use crate::agentfs::database::{DATABASE_READY, DatabasePlan};
use crate::agentfs::names::{Names, POSTGRES_PORT, SECRET_HASH};
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::plan::Plan;
use crate::agentfs::status_inputs::CREDENTIALS_READY;
use crate::kit::blockers::OwnershipFilter;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::env::env;
use crate::kit::labels::Component;
use crate::kit::pods::PodsOf;
use crate::kit::reads::{Reader, read};
use crate::kit::secrets::data;
use crate::kit::writer::{Error, Writer};
use crate::kit::{pod, volumes};

/// The component of the embedded database.
pub const COMPONENT: Component = Component::new("database");
/// Its pods, in words for a condition.
pub const PODS: PodsOf =
    PodsOf { part: "the database", resources: "spec.database.embedded.resources" };
/// The user of the PostgreSQL image.
const USER: i64 = 999;
/// Where the password is seen in the pod.
const SECRETS: &str = "/etc/agentfs/credentials";

/// The embedded database's objects that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its credentials.
    pub credentials: Option<Secret>,
    /// The claim of its volume.
    pub volume: Option<PersistentVolumeClaim>,
    /// The same, where it is being deleted: it holds the data as long as its pod runs.
    pub leaving: Option<Box<PersistentVolumeClaim>>,
    /// PostgreSQL.
    pub postgres: Option<StatefulSet>,
    /// PostgreSQL's Service.
    pub service: Option<Service>,
}

impl Seen {
    /// Reads them.
    pub async fn read(reader: Reader<'_>, names: &Names) -> Result<Self, kube::Error> {
        Ok(read!(Self {
            credentials: reader.get(names.credentials()),
            volume: reader.get(names.volume()),
            postgres: reader.get(names.postgres()),
            service: reader.get(names.postgres()),
            leaving: std::future::ready(Ok(None)),
        }))
    }

    /// Those of them that are ours.
    #[must_use]
    pub fn owned(self, filter: &mut OwnershipFilter<'_>) -> Self {
        let (volume, leaving) = filter.owned_or_leaving(DATABASE_READY, self.volume);
        Self {
            credentials: filter.owned(CREDENTIALS_READY, self.credentials),
            volume,
            leaving: leaving.map(Box::new),
            postgres: filter.owned(DATABASE_READY, self.postgres),
            service: filter.owned(DATABASE_READY, self.service),
        }
    }
}

/// The embedded database's objects.
#[derive(Clone, Debug)]
pub struct Objects<S: Stage> {
    /// Its credentials.
    pub credentials: S::Of<Secret>,
    /// The claim of its volume.
    pub volume: S::Of<PersistentVolumeClaim>,
    /// PostgreSQL's Service.
    pub service: S::Of<Service>,
    /// PostgreSQL.
    pub postgres: S::Of<StatefulSet>,
    /// How many pods of it there are to be; `None`: however many there are.
    pub replicas: Option<i32>,
}

impl Objects<Prepared> {
    /// Makes them. An embedded database that is no longer wanted is kept until the API has left it, and
    /// its volume and credentials for ever: the operator deletes no data.
    pub fn build(plan: &Plan, next: Next) -> Self {
        let kept = |name| plan.kept(plan.deletion_policy, name, COMPONENT);
        let claim = |volume| volumes::claim(kept(plan.names.volume()), volume);
        let kept = &plan.parts.database.kept;
        let DatabasePlan::Embedded(embedded) = &plan.parts.database.kind else {
            let moved = plan.has_moved();
            return Self {
                credentials: Desired::apply_or_keep(
                    kept.credentials.as_ref().map(|c| secret(plan, c, &kept.identity, None)),
                ),
                volume: Desired::apply_or_keep(kept.volume.as_ref().map(claim)),
                service: if moved { Desired::Delete } else { Desired::Keep },
                postgres: if moved { Desired::Delete } else { Desired::Keep },
                replicas: None,
            };
        };
        let credentials = embedded.credentials.as_ref();
        Self {
            credentials: Desired::apply_or_keep(
                credentials.map(|c| secret(plan, c, &kept.identity, Some(next))),
            ),
            volume: Desired::Apply(claim(&embedded.volume)),
            service: Desired::Apply(service(plan)),
            postgres: Desired::apply_or_keep(credentials.map(|c| postgres(plan, embedded, c))),
            // A pod that ends would take the data of a claim that is being deleted with it.
            replicas: Some(plan.unless_suspended(1)).filter(|_| !embedded.is_leaving),
        }
    }

    /// Writes what differs from what was `seen`; `has_account` tells whether the pods' account is there.
    pub async fn write(
        self,
        writer: &mut Writer<'_>,
        seen: &Seen,
        has_account: bool,
    ) -> Result<Objects<Applied>, Error> {
        let Self { credentials, volume, service, postgres, replicas } = self;
        let credentials =
            writer.child(CREDENTIALS_READY, credentials, seen.credentials.as_ref()).await?;
        let volume = writer.child(DATABASE_READY, volume, seen.volume.as_ref()).await?;
        let service = writer.child(DATABASE_READY, service, seen.service.as_ref()).await?;
        // Without a volume of ours PostgreSQL would wait, or use what is somebody else's.
        let postgres = postgres.only_if(has_account && volume.is_some() && credentials.is_some());
        let postgres = writer.child(DATABASE_READY, postgres, seen.postgres.as_ref()).await?;
        let postgres = writer.scale(DATABASE_READY, postgres, replicas).await?;
        Ok(Objects { credentials, volume, service, postgres, replicas })
    }
}

fn secret(
    plan: &Plan,
    credentials: &Credentials,
    identity: &Identity,
    next: Option<Next>,
) -> Secret {
    let url = credentials.url(&plan.names.postgres_host(&plan.owner.namespace), POSTGRES_PORT);
    let entries = [
        data("username", &credentials.username),
        data("password", credentials.password.expose_secret()),
        data("database", &credentials.database),
        data("DATABASE_URL", url.expose_secret()),
    ];
    Secret {
        metadata: plan.kept(plan.deletion_policy, plan.names.credentials(), COMPONENT),
        type_: Some("Opaque".into()),
        data: Some(entries.into_iter().chain(identity.entries(next)).collect()),
        ..Secret::default()
    }
}

fn service(plan: &Plan) -> Service {
    Service {
        metadata: plan.owner.owned(plan.names.postgres(), COMPONENT),
        spec: Some(pod::service(&plan.owner, COMPONENT, "postgres", POSTGRES_PORT)),
        status: None,
    }
}

fn postgres(plan: &Plan, database: &EmbeddedPlan, credentials: &Credentials) -> StatefulSet {
    let hashes = [(SECRET_HASH, plan.parts.database.kept.identity.pod_hash(credentials.hash()))];
    let metadata = pod::metadata(&plan.owner, &database.pods, COMPONENT, hashes);
    StatefulSet {
        metadata: plan.owner.owned(plan.names.postgres(), COMPONENT),
        spec: Some(StatefulSetSpec {
            replicas: None,
            service_name: Some(plan.names.postgres()),
            // With Parallel a pod that never became ready is replaced by the next revision at once;
            // with OrderedReady a broken revision would have to be deleted by hand.
            pod_management_policy: Some("Parallel".into()),
            revision_history_limit: Some(3),
            selector: pod::selector(&plan.owner, COMPONENT),
            template: PodTemplateSpec {
                metadata: Some(metadata),
                spec: Some(pod_spec(plan, database, credentials)),
            },
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(plan: &Plan, database: &EmbeddedPlan, credentials: &Credentials) -> PodSpec {
    PodSpec {
        // PostgreSQL ends a fast shutdown with a checkpoint, which may take a while.
        termination_grace_period_seconds: Some(60),
        containers: vec![container(plan, database, credentials)],
        volumes: Some(vec![
            Volume {
                name: "data".into(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: plan.names.volume(),
                    read_only: None,
                }),
                ..Volume::default()
            },
            credential_files(plan),
            pod::scratch("run", None),
            pod::scratch("tmp", None),
            pod::scratch("shm", Some("256Mi")),
        ]),
        ..pod::spec(&plan.pod_account(), &database.pods, USER)
    }
}

/// The password, and the database that is expected where there is one. The container reads it at each start, so it is in no
/// template, and no pod is replaced for it.
fn credential_files(plan: &Plan) -> Volume {
    let file = |key: &str, optional| VolumeProjection {
        secret: Some(SecretProjection {
            name: plan.names.credentials(),
            items: Some(vec![KeyToPath { key: key.into(), path: key.into(), mode: None }]),
            optional,
        }),
        ..VolumeProjection::default()
    };
    Volume {
        name: "credentials".into(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![file("password", None), file(EXPECTED, Some(true))]),
        }),
        ..Volume::default()
    }
}

fn container(plan: &Plan, database: &EmbeddedPlan, credentials: &Credentials) -> Container {
    Container {
        name: "postgres".into(),
        image: Some(plan.images.postgres.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        ports: Some(vec![pod::port("postgres", POSTGRES_PORT)]),
        env: Some(vec![
            env("POSTGRES_USER", &credentials.username),
            env("POSTGRES_DB", &credentials.database),
            env("POSTGRES_PASSWORD_FILE", format!("{SECRETS}/password")),
            env("POSTGRES_EXPECTED_DATABASE_FILE", format!("{SECRETS}/{EXPECTED}")),
        ]),
        resources: Some(pod::resources(database.resources.as_ref(), ["100m", "256Mi", "1Gi"])),
        security_context: Some(pod::confined()),
        // A recovery after a crash may take long, and PostgreSQL listens only after it.
        startup_probe: Some(probe(answers(credentials), 1, 3600)),
        readiness_probe: Some(probe(accepts(credentials), 5, 2)),
        liveness_probe: Some(probe(answers(credentials), 20, 6)),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![
            pod::mount("data", "/var/lib/postgresql"),
            VolumeMount { read_only: Some(true), ..pod::mount("credentials", SECRETS) },
            pod::mount("run", "/var/run/postgresql"),
            pod::mount("tmp", "/tmp"),
            pod::mount("shm", "/dev/shm"),
        ]),
        ..Container::default()
    }
}

fn probe(command: Vec<String>, period: i32, failures: i32) -> Probe {
    Probe {
        exec: Some(ExecAction { command: Some(command) }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// Whether PostgreSQL accepts connections.
fn accepts(credentials: &Credentials) -> Vec<String> {
    let words =
        ["pg_isready", "-q", "-h", "127.0.0.1", "-U", &credentials.username, "-d", "postgres"];
    words.map(str::to_owned).to_vec()
}

/// Whether PostgreSQL answers at all: one that refuses connections while it recovers is alive
/// (`pg_isready` ends with 1), one that does not answer is not (2).
fn answers(credentials: &Credentials) -> Vec<String> {
    let script = r#"pg_isready -q -h 127.0.0.1 -U "$1" -d postgres; [ $? -lt 2 ]"#;
    let words = ["sh", "-c", script, "sh", &credentials.username];
    words.map(str::to_owned).to_vec()
}
