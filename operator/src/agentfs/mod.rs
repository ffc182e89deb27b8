//! The controller of the kind `AgentFS`.
//!
//! A reconcile is five calls, one file each: [`observe`] reads what is there, [`validate`] turns the
//! resource and what was seen into a plan that can be carried out, [`build`] makes every object of
//! it without any I/O, [`apply`] writes what differs, [`status`] says how it is.

pub mod apply;
pub mod build;
pub mod controller;
pub mod database;
pub mod environment;
pub mod names;
pub mod observe;
pub mod parts;
pub mod plan;
pub mod reasons;
pub mod reconcile;
pub mod recovery;
pub mod references;
pub mod server_deployment;
pub mod status;
pub mod status_inputs;
pub mod validate;
pub mod watches;
