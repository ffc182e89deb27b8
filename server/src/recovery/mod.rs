//! Backups that are proven: a dump by PostgreSQL's own program with a manifest of its contents, verified by a restore.
//!
//! A backup exists when its manifest does: that is written last and removed first. Each object is written once.

mod api;
mod archive;
mod backup;
pub mod catalogue;
pub mod check;
mod compare;
mod ddl;
pub mod drill;
mod dump;
mod encryption;
mod error;
mod fault_point;
mod fetch;
pub mod forget;
mod indexes;
mod instance;
pub mod lease;
mod loading;
mod location;
mod process;
pub mod programs;
pub mod progress;
pub mod record;
pub mod request;
pub mod restore;
pub mod retention;
mod sample;
mod scratch;
mod serve;
mod size;
mod steps;
pub mod storage;
mod sweep;
mod unless;
mod unnamed;
mod verify;

pub use backup::{BackupOptions, Report, back_up, newer_than};
pub use encryption::{Decrypting, EncryptionError, Identities, Recipients, decrypting};
pub use error::RecoveryError;
pub use fault_point::FaultPoint;
pub(crate) use fetch::grouped;
pub use instance::Instance;
pub use location::Location;
pub use retention::Retention;
pub use serve::SUBCOMMAND as SCRATCH_SERVE;
pub(crate) use size::size;
pub use verify::{Verified, VerifyOptions, verify};
