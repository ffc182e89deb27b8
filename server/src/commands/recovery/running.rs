//! Runs a command that needs no deadline, and prints its result.

use std::fmt::Display;
use std::process::ExitCode;

use serde::Serialize;

use super::{ended, start_logging};
use crate::commands::in_runtime;
use crate::commands::output::Output;
use crate::recovery::RecoveryError;
use crate::runtime::exit::{after_failure, failed};

/// An error of a command.
pub(super) trait Failure: Display + From<RecoveryError> {
    /// Whether a retry may succeed.
    fn is_transient(&self) -> bool;
}

impl Failure for RecoveryError {
    fn is_transient(&self) -> bool {
        self.is_transient()
    }
}

/// Runs a command until it is done or a signal asks for the end, and prints its result. `work` says as well whether all is well;
/// where it is not, the exit code is 1 and the result says why.
pub(super) fn run_to_its_end<T: Serialize + Display, E: Failure>(
    what: &'static str,
    output: Output,
    work: impl Future<Output = Result<(T, bool), E>>,
) -> ExitCode {
    in_runtime(async {
        if let Err(sentence) = start_logging() {
            return failed(sentence);
        }
        let ended = match ended(what, None) {
            Ok(ended) => ended,
            Err(sentence) => return failed(sentence),
        };
        let done = tokio::select! {
            done = Box::pin(work) => done,
            error = ended => Err(error.into()),
        };
        match done {
            Ok((result, is_well)) => match output.print(&result) {
                Ok(()) if is_well => ExitCode::SUCCESS,
                Ok(()) => ExitCode::FAILURE,
                Err(error) => failed(error),
            },
            Err(error) => {
                failed(&error);
                after_failure(error.is_transient())
            }
        }
    })
}
