//! When a pod of a Job that failed is tried again.

use agentfs_contract::exit_code::TRY_AGAIN;
use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};

/// How often a pod that says "try again" or was killed is tried again, where it may be that another command has the database. The pauses grow to
/// minutes, so that it is for about an hour.
pub const TRIES: i32 = 12;

/// What a container ends with that was killed: 128 and SIGKILL or SIGTERM, or 255 where a node that was started anew did not see
/// how. The program had no say, and goes on with what it finds.
const KILLED: [i32; 3] = [137, 143, 255];

/// Whether a container that ended with `code` is tried again.
pub fn is_tried_again(code: i32) -> bool {
    code == i32::from(TRY_AGAIN) || KILLED.contains(&code)
}

/// A pod that a node lost does not count; one that says "try again", or was killed, counts as one of the tries of
/// its Job; any other failure of `container` ends the Job at once.
pub fn failure_policy(container: &str) -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "FailJob".into(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(container.into()),
                    operator: "NotIn".into(),
                    values: std::iter::once(TRY_AGAIN.into()).chain(KILLED).collect(),
                }),
                on_pod_conditions: None,
            },
        ],
    }
}
