//! The program's commands, one module each.
//!
//! Each starts its runtime here, in the library: where the program did, it would be compiled with all of the server once more.

pub mod admin;
#[cfg(feature = "dev")]
pub mod dev;
#[cfg(not(feature = "dev"))]
#[path = "dev/absent.rs"]
pub mod dev;
mod listening;
pub mod migrate;
pub mod openapi;
mod output;
pub mod postgres_exec;
pub mod recovery;
pub mod serve;
pub mod worker;

use std::process::ExitCode;

use crate::runtime::exit::failed;

/// Runs a command to its end.
fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => failed(format!("no threads to work with: {error}")),
    }
}
