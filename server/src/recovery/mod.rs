//! Backups that are proven: a dump by PostgreSQL's own program with a manifest of its contents, verified by a restore.
//!
//! A backup exists when its manifest does: that is written last and removed first. Each object is written once.

mod backup;
pub mod catalogue;
pub mod check;
mod dump;
mod encryption;
mod error;
mod fault_point;
pub mod forget;
mod instance;
pub mod lease;
mod location;
pub mod programs;
pub mod record;
pub mod retention;
mod steps;
pub mod storage;
mod sweep;

pub use backup::{BackupOptions, Report, back_up, newer_than};
pub use encryption::{Decrypting, EncryptionError, Identities, Recipients, decrypting};
pub use error::RecoveryError;
pub use fault_point::FaultPoint;
pub use instance::Instance;
pub use location::Location;
pub use retention::Retention;
