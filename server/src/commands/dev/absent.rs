//! Refuses `agentfs-server dev` in programs built without it, such as those in images.

use std::ffi::OsString;

/// The command in name alone.
#[derive(Debug, clap::Subcommand)]
pub enum DevCommand {
    /// Not included in this build
    #[command(hide = true)]
    Dev {
        /// Whatever else is said.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Why it does nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "this program is built without the command dev, as in every image of AgentFS: use `make dev` in a checkout, or the program of \
     `cargo build --release -p agentfs-server`. On a server, use `migrate`, `serve` and `worker`."
)]
pub struct DevError;

impl DevCommand {
    /// Refuses.
    pub fn run(&self) -> Result<(), DevError> {
        Err(DevError)
    }
}
