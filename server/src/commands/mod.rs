//! The commands of the program, a module each.

pub mod admin;
#[cfg(feature = "dev")]
pub mod dev;
#[cfg(not(feature = "dev"))]
#[path = "dev/absent.rs"]
pub mod dev;
pub mod migrate;
pub mod serve;
