//! Entries: agent ids, paths, values and tags, and how changes apply to them.

pub mod agent_id;
pub mod apply_changes;
pub mod by;
mod canonical;
pub mod change;
pub mod filter;
pub mod glob;
pub mod idempotency;
pub mod path;
mod request_hash;
pub mod sha256;
pub mod subtree;
pub mod tags;
pub mod usage;
pub mod value;
