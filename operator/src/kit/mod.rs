//! What is true of resources of any kind: whose an object is, how it is written and compared, what pods
//! tell, how a condition comes about. It knows no kind.

pub mod blockers;
pub mod budgets;
pub mod conditions;
pub mod desired;
pub mod digest;
pub mod env;
mod equality;
pub mod events;
pub mod jobs;
pub mod labels;
pub mod ownership;
pub mod pod;
pub mod pod_client;
pub mod pods;
pub mod readiness;
pub mod reads;
pub mod reasons;
pub mod reconcile;
pub mod rollout;
pub mod schedule;
pub mod scratch;
pub mod secrets;
pub mod sentences;
pub mod validation;
pub mod volumes;
pub mod warnings;
pub mod watches;
pub mod writer;
