//! Golden files: the whole of each child, for a minimal and for a full resource.

use agentfs_operator::agentfs::build::{Child, Children, Prepared, build};
use agentfs_operator::agentfs::observe::Observed;
use agentfs_operator::agentfs::validate::validate;
use serde::Serialize;
use serde_json::json;

use crate::fixtures::{agentfs, images, owner, secret, with_secrets};

/// The children of a fixture whose database is ready and whose schema is migrated.
pub(crate) fn children(file: &str) -> Children<Prepared> {
    let resource = agentfs(file);
    let mut observed = with_secrets();
    if resource.spec.database.external.is_some() {
        observed.credentials = None;
        let url = "postgres://app:hunter2@db.internal/memory?sslmode=disable";
        let secret = secret("memory-db", &[("uri", url)]);
        observed.references.secrets.insert("memory-db".into(), secret);
    }
    observed.postgres = serde_json::from_value(json!({
        "metadata": {"name": "memory-postgres"}, "spec": {"selector": {}, "template": {}},
        "status": {"replicas": 1, "readyReplicas": 1}}))
    .unwrap();
    let build_all =
        |observed: &Observed| build(&validate(&resource, owner(), observed, &images()).unwrap());
    let mut job = build_all(&observed).unwrap().migration.job.wanted().unwrap();
    job.status = serde_json::from_value(json!({"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T14:00:00Z"}]}))
    .unwrap();
    observed.jobs = vec![job];
    build_all(&observed).unwrap()
}

/// Holds a child to its golden file; one that is not wanted has none.
fn check(file: &str, child: &str, object: Child<impl Serialize>) {
    let Some(object) = object.wanted() else { return };
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_yaml_snapshot!(format!("{file}-{child}"), object));
}

fn check_all(file: &str) {
    let Children { admin_key, database, migration, api } = children(file);
    check(file, "admin-key", admin_key);
    check(file, "credentials", database.credentials);
    check(file, "volume", database.volume);
    check(file, "postgres", database.postgres);
    check(file, "postgres-service", database.service);
    check(file, "migration", migration.job);
    check(file, "api", api.deployment);
    check(file, "api-service", api.service);
    check(file, "api-autoscaler", api.autoscaler);
    check(file, "api-budget", api.budget);
}

#[test]
fn minimal() {
    check_all("minimal");
}

#[test]
fn full() {
    check_all("full");
}

#[test]
fn external() {
    check_all("external");
    let children = children("external");
    assert!(matches!(children.database.postgres, Child::Unwanted));
    assert!(matches!(children.database.service, Child::Unwanted));
    assert!(matches!(children.database.volume, Child::Left), "data is never removed");
    assert!(matches!(children.database.credentials, Child::Left));
}

#[test]
fn the_same_plan_builds_the_same_objects() {
    let yaml = |children: Children<Prepared>| {
        serde_yaml_ng::to_string(&(
            children.api.deployment.wanted(),
            children.database.postgres.wanted(),
            children.migration.job.wanted(),
        ))
        .unwrap()
    };
    assert_eq!(yaml(children("full")), yaml(children("full")));
}
