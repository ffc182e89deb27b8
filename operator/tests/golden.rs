//! Golden files: the whole of each child, for a minimal and for a full resource.

use agentfs_operator::agentfs::build::{Children, Prepared, build};
use agentfs_operator::agentfs::validate::validate;
use serde::Serialize;
use serde_json::json;

use crate::fixtures::{agentfs, images, with_secrets};

/// The children of a fixture whose database is ready and whose schema is migrated.
fn children(file: &str) -> Children<Prepared> {
    let mut observed = with_secrets();
    observed.postgres = serde_json::from_value(json!({
        "metadata": {"name": "memory-postgres", "ownerReferences": [{"apiVersion": "agentfs.io/v1alpha1",
            "kind": "AgentFS", "name": "memory", "controller": true,
            "uid": "11111111-2222-3333-4444-555555555555"}]},
        "spec": {"selector": {}, "template": {}},
        "status": {"replicas": 1, "readyReplicas": 1}}))
    .unwrap();
    let resource = agentfs(file);
    let first = build(&validate(&resource, &observed, &images()).unwrap()).unwrap();
    let mut job = first.migration.job.unwrap();
    job.status = serde_json::from_value(json!({"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T14:00:00Z"}]}))
    .unwrap();
    observed.jobs = vec![job];
    build(&validate(&resource, &observed, &images()).unwrap()).unwrap()
}

fn check(file: &str, child: &str, object: &impl Serialize) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_yaml_snapshot!(format!("{file}-{child}"), object));
}

fn check_all(file: &str) {
    let children = children(file);
    check(file, "credentials", &children.credentials);
    check(file, "admin-key", &children.admin_key);
    check(file, "volume", &children.volume);
    check(file, "postgres", &children.postgres);
    check(file, "postgres-service", &children.postgres_service);
    check(file, "migration", &children.migration.job.unwrap());
    check(file, "api", &children.api.unwrap());
    check(file, "api-service", &children.api_service);
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
fn the_same_plan_builds_the_same_objects() {
    let yaml = |children: Children<Prepared>| {
        serde_yaml_ng::to_string(&(children.api, children.postgres, children.migration.job))
            .unwrap()
    };
    assert_eq!(yaml(children("full")), yaml(children("full")));
}
