//! The ServiceAccount of all pods of an AgentFS. It has no rights, and no pod is given its token: none talks to the API server. It
//! is there so that rights, and Secrets of registries, that somebody gives to the namespace's `default` are not the pods' as well.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::owned;
use crate::agentfs::names::Component;
use crate::agentfs::plan::Plan;

pub(super) fn build(plan: &Plan) -> ServiceAccount {
    ServiceAccount {
        metadata: owned(plan, plan.names.account(), Component::Account),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
