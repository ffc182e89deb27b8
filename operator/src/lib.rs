//! The AgentFS operator: it turns `AgentFS` resources into running AgentFS services on Kubernetes.
//!
//! [`crd`] holds the resource types; [`agentfs`] is the controller of the kind `AgentFS`, five calls
//! (observe, validate, build, apply, status), one file each; [`process`] is what a controller process
//! needs around that: leader election, probes and metrics, settings, and the rights of its role. [`backup`], [`restore`]
//! and [`drill`] are the controllers of what is carried out once, by the reconcile of [`task`]. [`plugin`] is `kubectl agentfs`, which
//! knows the kinds alone.

pub mod agentfs;
pub mod backup;
pub mod crd;
pub mod drill;
pub mod kit;
pub mod plugin;
pub mod process;
pub mod restore;
pub mod task;
