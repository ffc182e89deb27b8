//! The ServiceAccount of the pods that make and try backups. They record what they did, also while the operator is away: its Role
//! lets them keep AgentFSBackups and AgentFSDrills, and nothing else. A restore they cannot ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use crate::agentfs::plan::Plan;
use crate::kit::labels::Component;

/// The component of the account, its Role and their binding.
const COMPONENT: Component = Component::new("recovery");

/// What the pods may do with which resources. The operator has to have these rights itself: nobody may grant what they do not have.
const RULES: [(&str, &[&str]); 4] = [
    ("agentfsbackups", &["get", "list", "create", "delete"]),
    ("agentfsbackups/status", &["patch"]),
    ("agentfsdrills", &["list", "create", "delete"]),
    ("agentfsdrills/status", &["patch"]),
];

/// Makes the account, with the annotations by which a cloud gives it an identity.
pub fn account(plan: &Plan, annotations: BTreeMap<String, String>) -> ServiceAccount {
    let mut metadata = plan.owner.owned(plan.names.recovery_account(), COMPONENT);
    metadata.annotations = Some(annotations).filter(|all| !all.is_empty());
    ServiceAccount {
        metadata,
        // Pods ask for the token themselves.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Makes the Role.
pub fn role(plan: &Plan) -> Role {
    let rule = |(resource, verbs): (&str, &[&str])| PolicyRule {
        api_groups: Some(vec!["agentfs.io".into()]),
        resources: Some(vec![resource.into()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    Role {
        metadata: plan.owner.owned(plan.names.recovery_account(), COMPONENT),
        rules: Some(RULES.map(rule).into()),
    }
}

/// Makes what gives the Role to the account.
pub fn binding(plan: &Plan) -> RoleBinding {
    let name = plan.names.recovery_account();
    RoleBinding {
        metadata: plan.owner.owned(name.clone(), COMPONENT),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "Role".into(),
            name: name.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name,
            namespace: Some(plan.owner.namespace.clone()),
            api_group: None,
        }]),
    }
}
