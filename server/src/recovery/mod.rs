//! Backups: a dump by PostgreSQL's own program, with a manifest of its contents.
//!
//! A backup exists when its manifest does: that is written last, and a dump that is being made or removed has
//! another name.

mod backup;
mod catalog;
mod error;
mod programs;
mod retention;

pub use agentfs_contract::manifest::{Manifest, Scope};
pub use backup::{BackupArgs, Report, back_up};
pub use error::BackupError;
