//! The program's commands, one module each.
//!
//! Each starts its runtime here, in the library: where the program did, it would be compiled with all of the server once more.

pub mod admin;
mod api_args;
#[cfg(feature = "dev")]
pub mod dev;
#[cfg(not(feature = "dev"))]
#[path = "dev/absent.rs"]
pub mod dev;
pub mod export;
pub mod import;
mod listening;
pub mod mcp;
pub mod migrate;
pub mod openapi;
mod output;
pub mod postgres_exec;
pub mod recovery;
pub mod serve;
pub mod worker;

use std::process::ExitCode;
use std::time::Duration;

use crate::recovery::storage::settled;
use crate::runtime::exit::failed;

/// How long a command that ends may undo what it has begun elsewhere. Kubernetes kills it after 30 s.
const UNDOING: Duration = Duration::from_secs(10);

/// Runs a command to its end, and to that of what it has dropped on the way.
fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let code = runtime.block_on(async {
                let code = work.await;
                settled(UNDOING).await;
                code
            });
            // A file system that hangs keeps a thread for as long as it does.
            runtime.shutdown_timeout(Duration::from_secs(1));
            code
        }
        Err(error) => failed(format!("no threads to work with: {error}")),
    }
}
