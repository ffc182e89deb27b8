//! The product on a real Kubernetes. Run by `tests/e2e/run`, which brings up the cluster and installs the operator.

mod alone;
mod children;
mod gitops;
mod lost_volume;
mod manifests;
mod moves;
mod operations;
mod operations_port;
mod parts;
mod recipes;
mod recovery;
mod refusals;
mod rotation;
mod scaling;
mod thin_line;
mod troubles;
mod under_load;
mod worker_and_backup;
