//! `agentfs-server dev`: an embedded PostgreSQL, migrations, the API and the worker in one process on one machine.

mod command;
mod env_file;
mod error;

pub use command::{DevArgs, run};
pub use error::DevError;
