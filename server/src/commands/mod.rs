//! The commands of the program.

#[cfg(feature = "dev")]
pub mod dev;
#[cfg(not(feature = "dev"))]
#[path = "dev/absent.rs"]
pub mod dev;
