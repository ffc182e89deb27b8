//! Restores a backup: into a new database beside whatever is live, or in place of the memory that is live.

mod contents;
mod error;
mod file;
pub mod in_place;
mod kept;
mod new_database;
pub mod rename;
mod source;
mod strategy_error;

pub use self::error::RestoreError;
pub use self::kept::{Kept, kept};
pub(super) use self::new_database::fill;
pub use self::new_database::{RestoreOptions, Restored, restore};
pub use self::source::Source;
pub(super) use self::source::{check, read};
pub use self::strategy_error::StrategyError;
pub use super::loading::LoadOptions;
