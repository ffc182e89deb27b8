//! PostgreSQL on one machine: finds its programs, and, with the feature `instance`, runs one.

pub mod cache;
#[cfg(feature = "instance")]
pub mod instance;
mod programs;
mod version;

pub use programs::{client_programs, folders_of_programs};
pub use version::Version;
