//! PostgreSQL: one pod with one volume.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ExecAction, KeyToPath, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec,
    Probe, Volume, VolumeMount,
};

use crate::agentfs::credentials::Credentials;
use crate::agentfs::names::{self, POSTGRES_PORT, SECRET_HASH};
use crate::agentfs::plan::{EmbeddedPlan, Plan};
use crate::kit::env::env;
use crate::kit::pod;

/// The user of the PostgreSQL image.
const USER: i64 = 999;
/// Where the password is seen in the pod.
const SECRETS: &str = "/etc/agentfs/credentials";

pub(super) fn build(
    plan: &Plan,
    database: &EmbeddedPlan,
    credentials: &Credentials,
) -> StatefulSet {
    let hashes = [(SECRET_HASH, credentials.hash())];
    let metadata = pod::metadata(&plan.owner, &database.pods, names::POSTGRES, hashes);
    StatefulSet {
        metadata: plan.owner.owned(plan.names.postgres(), names::POSTGRES),
        spec: Some(StatefulSetSpec {
            replicas: None,
            service_name: Some(plan.names.postgres()),
            // With Parallel a pod that never became ready is replaced by the next revision at once;
            // with OrderedReady a broken revision would have to be deleted by hand.
            pod_management_policy: Some("Parallel".into()),
            revision_history_limit: Some(3),
            selector: pod::selector(&plan.owner, names::POSTGRES),
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
            pod::secret_files(
                "credentials",
                &plan.names.credentials(),
                vec![KeyToPath { key: "password".into(), path: "password".into(), mode: None }],
            ),
            pod::scratch("run", None),
            pod::scratch("tmp", None),
            pod::scratch("shm", Some("256Mi")),
        ]),
        ..pod::spec(&plan.pod_account(), &database.pods, USER)
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

/// Whether PostgreSQL takes connections.
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
