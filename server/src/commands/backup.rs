//! `agentfs-server backup`: runs a backup until it is done or a signal asks for the end.

use std::process::ExitCode;

use agentfs_contract::termination::BackupReport;

use crate::commands::in_runtime;
use crate::recovery::{BackupArgs, BackupError, back_up};
use crate::runtime::exit::{failed, failed_for_all_to_see, write_termination_message};
use crate::runtime::logging;
use crate::runtime::signals::shutdown;

/// Runs the command.
pub fn run(args: BackupArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: BackupArgs) -> ExitCode {
    if let Err(sentence) = logging::start_beside_output() {
        return failed(sentence);
    }
    let shutdown = match shutdown() {
        Ok(shutdown) => shutdown,
        Err(sentence) => return failed(sentence),
    };
    let made = tokio::select! {
        made = back_up(&args) => made,
        () = shutdown => Err(BackupError::Interrupted),
    };
    match made {
        Ok(report) => {
            write_termination_message(
                &BackupReport { database_bytes: report.database_bytes }.write(),
            );
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => failed_for_all_to_see(&error, error.is_transient()),
    }
}
