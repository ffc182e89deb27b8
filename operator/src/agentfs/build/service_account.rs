//! The ServiceAccount of all pods of an AgentFS. It has no rights, and no pod is given its token: none talks to the API server. It
//! is there so that rights, and Secrets of registries, that somebody gives to the namespace's `default` are not the pods' as well.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::agentfs::names;
use crate::agentfs::plan::Plan;

pub(super) fn build(plan: &Plan) -> ServiceAccount {
    ServiceAccount {
        metadata: plan.owner.owned(plan.names.account(), names::ACCOUNT),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
