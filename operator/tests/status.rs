//! What is said of an AgentFS, from what was seen: validate, and the statuses that follow.

use agentfs_operator::agentfs::database::DatabasePlan;
use agentfs_operator::agentfs::status::{render, report_invalid};
use agentfs_operator::agentfs::validate::validate;
use agentfs_operator::kit::ownership::Owner;
use agentfs_operator::kit::validation::Invalid;
use serde_json::json;

use crate::fixtures::{agentfs, images, now, owner, secret, with_secrets};

#[test]
fn parts_that_were_not_looked_at_wait_for_a_correct_spec() {
    let invalid = Invalid { field: "spec.image", problem: "is not an image".into() };
    let status = render(&report_invalid(&invalid, &owner(), &with_secrets()), None, Some(1), now());
    let said: Vec<_> =
        status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
    assert_eq!(
        said,
        [
            ("Ready", "False"),
            ("Available", "False"),
            ("Progressing", "False"),
            ("Stalled", "True"),
            ("CredentialsReady", "Unknown"),
            ("DatabaseReady", "Unknown"),
            ("SchemaReady", "Unknown"),
            ("APIReady", "Unknown"),
        ]
    );
    assert_eq!(
        status.conditions[0].message,
        "spec.image: is not an image (since 2026-11-23 14:02:11 UTC). Correct the field; nothing is \
         changed until then."
    );
    for condition in &status.conditions[4..] {
        assert_eq!(condition.reason, "AwaitingSpec", "{}", condition.type_);
    }
}

#[test]
fn a_secret_that_cannot_be_used_is_named() {
    let mut observed = with_secrets();
    observed.parts.database.credentials =
        Some(secret("memory-credentials", &[("username", "agentfs")]));
    let plan = validate(&agentfs("minimal"), owner(), &observed, &images()).unwrap();
    assert!(plan.parts.database.access.is_none() && plan.parts.admin_key.is_some());
    let told: Vec<_> = plan.blockers.iter().map(|o| o.problem.to_string()).collect();
    assert_eq!(told, ["Secret memory-credentials lacks the key password"]);
}

#[test]
fn an_existing_volume_keeps_its_class_and_never_shrinks() {
    let mut observed = with_secrets();
    let labels = observed.parts.database.credentials.as_ref().unwrap().metadata.labels.clone();
    observed.parts.database.volume = serde_json::from_value(json!({
        "metadata": {"name": "data-memory-postgres-0", "uid": "v", "labels": labels},
        "spec": {"storageClassName": "slow", "resources": {"requests": {"storage": "100Gi"}}}}))
    .unwrap();
    let plan = validate(&agentfs("full"), owner(), &observed, &images()).unwrap();
    let DatabasePlan::Embedded(database) = plan.parts.database.kind else {
        panic!("it is embedded")
    };
    assert_eq!(database.volume.size.as_str(), "100Gi");
    assert_eq!(database.volume.storage_class.as_deref(), Some("slow"));
    assert_eq!(plan.parts.database.access.unwrap().identity, "v");
}

#[test]
fn a_name_that_fits_no_service_is_refused_without_the_api_server() {
    for name in ["", "-a", "a-", "A", "a.b", "1a", &"a".repeat(41)] {
        let owner = Owner { name: name.into(), ..owner() };
        assert!(
            matches!(
                validate(&agentfs("minimal"), owner, &with_secrets(), &images()),
                Err(Invalid { field: "metadata.name", .. })
            ),
            "{name:?} was taken"
        );
    }
}
