//! The audit log: who changed keys, tenants, quotas, models and jobs, and who was refused.
//!
//! All lines have the target [`TARGET`], which no log level turns off. Acts have the level info and are never dropped
//! (`runtime/logging.rs`); refusals have the level warn, and where there are many of one network, they are counted. No line has
//! a secret, a label or another text that a client chose freely.

mod act;
mod refusals;

pub use act::{Act, Actor, Who};
pub use refusals::{Refusal, Refusals, Refused};

use tracing::{Level, Metadata};

/// The target of the audit log's lines.
pub const TARGET: &str = "agentfs_server::audit";

/// Whether a log line tells of an act, which must not be dropped.
pub fn is_act(line: &Metadata<'_>) -> bool {
    line.target() == TARGET && *line.level() == Level::INFO
}
