//! What the end-to-end tests work with: kubectl, a namespace that ends with its test, and an agent's view of the API.
//! The cluster is that of KUBECONFIG, with the operator installed; `tests/e2e/run` sees to both.

pub mod agent;
pub mod audit;
pub mod fake_nodes;
pub mod forward;
pub mod kubectl;
pub mod load;
pub mod namespace;
pub mod node;
pub mod operator;
pub mod provider;
pub mod recovery;
pub mod s3;
pub mod step;
pub mod way;

/// The end of a test: a sentence on what did not happen.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
