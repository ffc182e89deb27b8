//! PostgreSQL on one machine: finds its programs, runs them, and runs a server.
//!
//! Each program ends when this process does, however that ends. For that the program that starts one needs the subcommand
//! [`SUBCOMMAND`], which becomes the other program.

pub mod cache;
mod client;
mod complaints;
mod error;
mod exec;
pub mod instance;
mod process;
mod programs;
mod version;

pub use client::{Client, Pipes};
pub use error::PostgresError;
pub use exec::{ExecArgs, SUBCOMMAND, exec};
pub use programs::{ClientPrograms, folders_of_programs};
pub use version::{SUPPORTED, Version};
