//! `agentfs-server postgres-exec`: becomes a program of PostgreSQL's that ends with the process that starts it.

use std::process::ExitCode;

pub use agentfs_postgres::{ExecArgs, SUBCOMMAND};

use crate::runtime::exit::failed;

/// Becomes the program; returns only when that failed.
pub fn run(args: &ExecArgs) -> ExitCode {
    failed(agentfs_postgres::exec(args))
}
