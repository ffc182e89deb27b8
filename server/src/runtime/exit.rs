//! Exit codes and termination messages, for Kubernetes and people.

use std::fmt::Display;
use std::process::ExitCode;

use agentfs_contract::exit_code::TRY_AGAIN;
use agentfs_contract::termination::{self, Report};

/// 75 if a retry may succeed, 1 if somebody has to fix something.
pub fn after_failure(is_transient: bool) -> ExitCode {
    if is_transient { TRY_AGAIN.into() } else { ExitCode::FAILURE }
}

/// Writes a report to the file where Kubernetes reads a container's termination message; elsewhere that file does not exist.
pub fn write_termination_message(report: &str) {
    let file =
        std::env::var_os("AGENTFS_TERMINATION_LOG").unwrap_or_else(|| termination::FILE.into());
    if std::path::Path::new(&file).exists()
        && let Err(error) = std::fs::write(&file, report)
    {
        tracing::warn!("termination message not written: {error}");
    }
}

/// Success, or the sentence of the failure on standard error.
pub fn finish<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

/// Says on standard error why the process fails.
pub fn failed(error: impl Display) -> ExitCode {
    eprintln!("agentfs-server: {error}");
    ExitCode::FAILURE
}

/// A failure that Kubernetes tells of as well.
pub fn failed_for_all_to_see(error: &impl Display, is_transient: bool) -> ExitCode {
    let report = Report { message: error.to_string(), transient: is_transient };
    write_termination_message(&report.write());
    failed(error);
    after_failure(is_transient)
}
