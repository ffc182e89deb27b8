//! What processes end with.

use std::process::ExitCode;

/// Exit code for what may go better by itself next time (EX_TEMPFAIL of sysexits.h).
const TRY_AGAIN: u8 = 75;

/// 75 where the same command may succeed later, 1 where somebody has to mend something.
pub fn after_failure(passes: bool) -> ExitCode {
    if passes { TRY_AGAIN.into() } else { ExitCode::FAILURE }
}
