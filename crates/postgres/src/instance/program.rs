//! The programs of a server: postgres and initdb.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::account::Account;
use crate::error::PostgresError;
use crate::exec;
use crate::process::Process;

/// Starts `program` as `account`, its output appended to `log`; `end` is the signal for it when this process dies.
pub(super) fn start(
    program: &Path,
    arguments: &[OsString],
    account: &Account,
    end: Signal,
    log: &File,
) -> Result<Process, PostgresError> {
    let mut command = exec::command(program, end, account.as_arguments());
    // The environment may hold keys, and PG* variables of another database.
    command.args(arguments).env_clear().env("LC_ALL", "C").current_dir("/");
    for kept in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let start = || {
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        Process::start(command, end)
    };
    start().map(|(process, _)| process).map_err(PostgresError::io("start", program))
}
