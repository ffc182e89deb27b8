//! Golden files: the whole of each child, for a minimal and for a full resource.

use agentfs_operator::agentfs::build::{Children, build};
use agentfs_operator::agentfs::observe::Observed;
use agentfs_operator::agentfs::validate::validate;
use agentfs_operator::kit::desired::{Desired, Prepared};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::json;

use crate::fixtures::{agentfs, images, migrated, owner, secret, with_secrets};

/// The children of a fixture whose database is ready and whose schema is migrated.
pub(crate) fn children(file: &str) -> Children<Prepared> {
    let resource = agentfs(file);
    let mut observed = with_secrets();
    if resource.spec.database.external.is_some() {
        observed.parts.database.credentials = None;
        let url = "postgres://app:it%27s%20%22hunter2%22@db.internal/memory?sslmode=verify-full";
        let secret = secret("memory-db", &[("uri", url)]);
        observed.references.secrets.insert("memory-db".into(), secret);
    }
    if resource.spec.embeddings.open_ai.is_some() {
        let secret = secret("provider", &[("token", "sk-example")]);
        observed.references.secrets.insert("provider".into(), secret);
    }
    for (name, key, text) in [
        ("memory-s3", "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("storage", "ca.crt", "-----BEGIN CERTIFICATE-----"),
        ("memory-age", "identity.txt", "AGE-SECRET-KEY-1EXAMPLE"),
    ] {
        let secret = secret(name, &[(key, text), ("AWS_SECRET_ACCESS_KEY", "example")]);
        observed.references.secrets.insert(name.into(), secret);
    }
    observed.parts.database.volume = serde_json::from_value(json!({
        "metadata": {"name": "data-memory-postgres-0", "uid": "99999999-8888-7777-6666-555555555555"}}))
    .unwrap();
    observed.parts.database.postgres = serde_json::from_value(json!({
        "metadata": {"name": "memory-postgres"}, "spec": {"selector": {}, "template": {}},
        "status": {"replicas": 1, "readyReplicas": 1}}))
    .unwrap();
    let build_all =
        |observed: &Observed| build(&validate(&resource, owner(), observed, &images()).unwrap());
    let mut job = build_all(&observed).unwrap().migration.job.into_object().unwrap();
    job.status = serde_json::from_value(json!({"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T14:00:00Z"}]}))
    .unwrap();
    observed.pods.push(migrated(&job.name_any()));
    observed.parts.migration.jobs = vec![job];
    build_all(&observed).unwrap()
}

/// Holds a child to its golden file; one that is not wanted has none.
fn check(file: &str, child: &str, object: Desired<impl Serialize>) {
    let Some(object) = object.into_object() else { return };
    bound(|| insta::assert_yaml_snapshot!(format!("{file}-{child}"), object));
}

/// Runs a check against a golden file that is named as it says.
pub(crate) fn bound(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(check);
}

/// Holds an entry of a Secret to its golden file.
fn check_text(file: &str, child: &str, secret: &Desired<Secret>, key: &str) {
    let Desired::Apply(secret) = secret else { return };
    let text = String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap();
    bound(|| insta::assert_snapshot!(format!("{file}-{child}"), text));
}

fn check_all(file: &str) {
    let Children { account, admin_key, database, pooler, migration, api, workers, backup } =
        children(file);
    check(file, "account", account);
    check(file, "admin-key", admin_key);
    check(file, "credentials", database.credentials);
    check(file, "volume", database.volume);
    check(file, "postgres", database.postgres);
    check(file, "postgres-service", database.service);
    check(file, "pooler", pooler.deployment);
    check(file, "pooler-service", pooler.service);
    check(file, "pooler-budget", pooler.budget);
    check_text(file, "pooler-ini", &pooler.config, "pgbouncer.ini");
    check_text(file, "pooler-userlist", &pooler.config, "userlist.txt");
    check(file, "pooler-config", pooler.config);
    check(file, "migration", migration.job);
    check(file, "api", api.deployment);
    check(file, "api-service", api.service);
    check(file, "api-autoscaler", api.autoscaler);
    check(file, "api-budget", api.budget);
    check(file, "workers", workers.deployment);
    check(file, "backups", backup.volume);
    check(file, "backup", backup.cronjob);
    check(file, "verify", backup.verify);
    check(file, "drill", backup.drill);
}

#[test]
fn minimal() {
    check_all("minimal");
    let Children { backup, .. } = children("minimal");
    check("minimal", "recovery-account", backup.account);
    check("minimal", "recovery-role", backup.role);
    check("minimal", "recovery-binding", backup.binding);
}

#[test]
fn bucket() {
    let Children { backup, .. } = children("bucket");
    check("bucket", "recovery-account", backup.account);
    check("bucket", "backup", backup.cronjob);
    check("bucket", "verify", backup.verify);
    check("bucket", "drill", backup.drill);
    assert!(matches!(backup.volume, Desired::Keep), "backups are never removed");
}

#[test]
fn full() {
    check_all("full");
}

#[test]
fn external() {
    check_all("external");
    let children = children("external");
    assert!(matches!(children.database.postgres, Desired::Delete));
    assert!(matches!(children.database.service, Desired::Delete));
    assert!(matches!(children.database.volume, Desired::Keep), "data is never removed");
    assert!(matches!(children.database.credentials, Desired::Keep));
}

#[test]
fn external_pooled() {
    check_all("external-pooled");
}

#[test]
fn the_same_plan_builds_the_same_objects() {
    let yaml = |children: Children<Prepared>| {
        serde_yaml_ng::to_string(&(
            children.api.deployment.into_object(),
            children.database.postgres.into_object(),
            children.migration.job.into_object(),
        ))
        .unwrap()
    };
    assert_eq!(yaml(children("full")), yaml(children("full")));
}
