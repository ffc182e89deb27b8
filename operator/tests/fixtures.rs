//! Resources and moments that the tests share.

use std::collections::BTreeMap;

use agentfs_contract::termination::MigrationReport;
use agentfs_operator::agentfs::observe::Observed;
use agentfs_operator::crd::AgentFS;
use agentfs_operator::kit::ownership::Owner;
use agentfs_operator::process::settings::Images;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ObjectMeta;
use serde_json::json;

/// An API key of the right form, known to the golden files.
pub(crate) const ADMIN_KEY: &str =
    "agfs_live_AAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password of the connection pool as one is generated, known to the golden files.
const POOLER_PASSWORD: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";

/// An `AgentFS` from a file of `tests/fixtures`.
pub(crate) fn agentfs(file: &str) -> AgentFS {
    let path = format!("{}/tests/fixtures/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The AgentFS of all fixtures, as an owner.
pub(crate) fn owner() -> Owner {
    Owner::of(&agentfs("minimal")).unwrap()
}

/// The images of an operator of version 1.
pub(crate) fn images() -> Images {
    Images {
        server: "agentfs/server:1.0.0".into(),
        postgres: "agentfs/postgres:17".into(),
        pgbouncer: "agentfs/pgbouncer:1.24".into(),
    }
}

/// The moment at which the tests look.
pub(crate) fn now() -> Timestamp {
    "2026-11-23T14:02:11Z".parse().unwrap()
}

/// A Secret of the AgentFS `memory` with these entries.
pub(crate) fn secret(name: &str, entries: &[(&str, &str)]) -> Secret {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Secret {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some("agents".into()),
            uid: Some(format!("uid-of-{name}")),
            labels: Some(BTreeMap::from([
                label("app.kubernetes.io/managed-by", "agentfs-operator"),
                label("app.kubernetes.io/instance", "memory"),
            ])),
            ..ObjectMeta::default()
        },
        data: Some(
            entries.iter().map(|(k, v)| ((*k).into(), ByteString(v.as_bytes().to_vec()))).collect(),
        ),
        ..Secret::default()
    }
}

/// What is seen of an AgentFS whose Secrets are there and nothing else.
pub(crate) fn with_secrets() -> Observed {
    let mut observed = Observed::nothing(now());
    observed.parts.database.credentials = Some(secret(
        "memory-credentials",
        &[("username", "agentfs"), ("password", "p@ss"), ("database", "agentfs")],
    ));
    observed.parts.admin_key = Some(secret("memory-admin-key", &[("key", ADMIN_KEY)]));
    observed.parts.pooler.config = Some(secret("memory-pooler", &[("password", POOLER_PASSWORD)]));
    observed
}

/// The pod of the migration Job `job` that has succeeded, with the report that servers of this release leave.
pub(crate) fn migrated(job: &str) -> Pod {
    migrated_without_backups(job, None)
}

/// The same where the report says why no backups can be made.
pub(crate) fn migrated_without_backups(job: &str, why: Option<&str>) -> Pod {
    let report = MigrationReport::write(why.map(str::to_owned));
    serde_json::from_value(json!({
        "metadata": {"name": format!("{job}-x"), "namespace": "agents", "labels": {
            "app.kubernetes.io/managed-by": "agentfs-operator",
            "app.kubernetes.io/instance": "memory", "app.kubernetes.io/component": "migration",
            "batch.kubernetes.io/job-name": job}},
        "status": {"phase": "Succeeded", "containerStatuses": [{
            "name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "message": report}}}]}}))
    .unwrap()
}
