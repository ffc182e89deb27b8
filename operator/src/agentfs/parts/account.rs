//! The ServiceAccount of all pods of an AgentFS but those that make and try backups. It has no rights, and no pod is given its token:
//! none talks to the API server. It is there so that rights, and Secrets of registries, that somebody gives to the namespace's
//! `default` are not the pods' as well.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::agentfs::plan::Plan;
use crate::kit::labels::Component;

/// The component of the account.
const COMPONENT: Component = Component::new("account");

/// Makes it.
pub fn build(plan: &Plan) -> ServiceAccount {
    ServiceAccount {
        metadata: plan.owner.owned(plan.names.account(), COMPONENT),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
