//! `agentfs-server dev`: an embedded PostgreSQL, migrations, the API and the worker in one process on one machine.

mod command;
mod env_file;
mod error;
mod stage;

use agentfs_postgres::instance::{StandaloneArgs, run_standalone};

use self::command::DevArgs;
pub use self::error::DevError;
use self::stage::StageArgs;

/// The command, and those that it and tests start.
#[derive(Debug, clap::Subcommand)]
pub enum DevCommand {
    /// Run PostgreSQL, migrations, the API and a worker in one process, for development on one machine
    ///
    /// There are no rate limits and quotas unless the environment sets them, such as WRITE_QUOTA_PER_DAY=5000. All
    /// other settings of `serve` apply.
    Dev(DevArgs),
    /// A PostgreSQL alone, for tests and benchmarks
    #[command(hide = true)]
    DevPostgres(StandaloneArgs),
    /// The step of a restore in place that loads a backup, for tests
    #[command(hide = true)]
    DevStage(StageArgs),
}

impl DevCommand {
    /// Runs it to its end.
    pub fn run(&self) -> Result<(), DevError> {
        match self {
            Self::Dev(args) => command::run(args),
            Self::DevPostgres(args) => Ok(run_standalone(args)?),
            Self::DevStage(args) => stage::run(args),
        }
    }
}
