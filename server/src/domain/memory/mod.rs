//! Entries: agent ids, paths, values and tags, and how changes apply to them.

pub mod agent_id;
pub mod apply_changes;
mod canonical;
pub mod change;
pub mod glob;
pub mod idempotency;
pub mod path;
mod request_hash;
pub mod tags;
pub mod usage;
pub mod value;
