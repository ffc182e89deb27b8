//! Entries and their versions: reads of the present and the past, the ways of writing, and tombstones of
//! expired versions.

pub mod agents;
pub mod as_of;
pub mod commit_lookup;
pub mod details;
pub mod dump;
pub mod fast_put;
pub mod filter;
pub mod get;
pub mod list;
pub mod list_as_of;
mod live_entries;
pub mod locked_write;
pub mod newest;
pub mod newest_day;
pub mod scan;
pub mod size;
pub mod stored_bytes;
pub mod subtree;
pub mod sweep;
pub mod touch;
pub mod versions;
