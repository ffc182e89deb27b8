//! What processes end with.

use std::process::ExitCode;

use agentfs_contract::exit_code::TRY_AGAIN;

/// 75 where the same command may succeed later, 1 where somebody has to mend something.
pub fn after_failure(is_transient: bool) -> ExitCode {
    if is_transient { TRY_AGAIN.into() } else { ExitCode::FAILURE }
}
