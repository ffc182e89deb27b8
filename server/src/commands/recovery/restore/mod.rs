//! `agentfs-server restore`: restores a backup into a new database or in place, undoes that, and drops what was live before.

mod arguments;
mod asking;
mod in_place;
mod into_database;
mod previous;
mod printing;
mod progress;
mod strategies;
mod undo;

use std::process::ExitCode;

pub use self::arguments::RestoreArgs;
use self::arguments::What;
use super::ended;
use crate::commands::in_runtime;
use crate::recovery::RecoveryError;
use crate::runtime::exit::{failed, failed_for_all_to_see};
use crate::runtime::logging;

/// Why a restore did not do what was asked.
#[derive(Debug)]
struct Failure {
    sentence: String,
    is_transient: bool,
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Self {
        Self { sentence: error.to_string(), is_transient: error.is_transient() }
    }
}

impl Failure {
    /// One that somebody has to mend.
    fn said(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), is_transient: false }
    }

    /// What was done stands, but it could not be printed.
    fn of_output(error: &std::io::Error) -> Self {
        Self {
            sentence: format!("it is done, but its result cannot be printed: {error}"),
            is_transient: false,
        }
    }
}

/// Runs the command.
pub fn run(args: RestoreArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: RestoreArgs) -> ExitCode {
    if let Err(sentence) = logging::start_beside_output() {
        return failed(sentence);
    }
    let what = match args.what() {
        Ok(what) => what,
        Err(sentence) => return failed_for_all_to_see(&sentence, false),
    };
    let name = match what {
        What::InPlace | What::IntoDatabase => "restore",
        What::Undo => "undoing",
        What::DropPrevious => "removal",
    };
    let ended = match ended(name, args.deadline) {
        Ok(ended) => ended,
        Err(sentence) => return failed(sentence),
    };
    let done = match what {
        What::IntoDatabase => Box::pin(into_database::run(&args, ended)).await,
        What::InPlace => Box::pin(in_place::run(&args, ended)).await,
        What::Undo => Box::pin(undo::run(&args, ended)).await,
        What::DropPrevious => tokio::select! {
            done = Box::pin(previous::run(&args)) => done,
            error = ended => Err(error.into()),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { sentence, is_transient }) => failed_for_all_to_see(&sentence, is_transient),
    }
}
