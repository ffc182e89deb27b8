//! The program's commands, one module each.

pub mod admin;
pub mod backup;
#[cfg(feature = "dev")]
pub mod dev;
#[cfg(not(feature = "dev"))]
#[path = "dev/absent.rs"]
pub mod dev;
mod listening;
pub mod migrate;
pub mod openapi;
pub mod serve;
pub mod worker;
