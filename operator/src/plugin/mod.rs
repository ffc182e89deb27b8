//! `kubectl agentfs`: creates the resources by which an AgentFS is backed up, verified, restored and drilled, follows them to
//! their end, and shows what is proven.
//!
//! It knows the kinds and nothing of their controllers: what it does can be done by `kubectl create -f` as well. A command has a
//! file of its own; [`cluster`] is all that speaks to the API server, [`follow`] waits, and [`screen`] writes.

mod backup;
mod backups;
mod choose;
mod cli;
mod cluster;
mod complete;
mod completion;
mod connect;
mod drill;
mod error;
mod follow;
mod output;
mod question;
mod restore;
mod screen;
mod status;
mod table;
mod verify;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

use self::cli::{Cli, Command};
use self::error::Error;

/// The whole program: 0 where it succeeded, 1 where it did not, 2 where it was called wrongly, 130 where Ctrl-C ended it.
pub fn main() -> ExitCode {
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == complete::COMMAND) {
        let words = words.split_off(2).into_iter().map(|word| word.to_string_lossy().into_owned());
        return in_runtime(complete::run(words.collect()));
    }
    // It ends by itself where it was called wrongly, with 2.
    let cli = Cli::parse_from(words);
    in_runtime(run(cli))
}

fn in_runtime(work: impl Future<Output = Result<(), Error>>) -> ExitCode {
    // The other thread looks after the connections while this one waits for an answer to be typed.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Error::Local(format!("cannot start: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<(), Error> {
    let flags = cli.flags;
    match cli.command {
        Command::Status(args) => status::run(&args, &flags.cluster().await?).await,
        Command::Backup(args) => Box::pin(backup::run(&args, &flags.cluster().await?)).await,
        Command::Backups(args) => backups::run(&args, &flags.cluster().await?).await,
        Command::Verify(args) => Box::pin(verify::run(&args, &flags.cluster().await?)).await,
        Command::Restore(args) => Box::pin(restore::run(&args, &flags.cluster().await?)).await,
        Command::Drill(args) => Box::pin(drill::run(&args, &flags.cluster().await?)).await,
        Command::Completion(args) => completion::run(&args),
    }
}
