//! What benchmarks that start servers have in common.

use std::path::Path;
use std::process::ExitCode;

use agentfs_postgres::instance::ending::signalled;
use anyhow::Context as _;

use crate::servers::Servers;

/// It was ended by a signal.
const INTERRUPTED: u8 = 130;

/// Runs `bench` with servers and a temporary folder of its own, which end with it, whatever becomes of it: by a signal as well. It
/// fails where a limit is missed, which is what `bench` answers, or on an error, which it tells in the name of `name`.
pub async fn run(
    name: &str,
    bench: impl AsyncFnOnce(&mut Servers, &Path) -> anyhow::Result<bool>,
) -> ExitCode {
    match unless_signalled(bench).await {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::FAILURE,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What `bench` answers; `None` where a signal came first.
async fn unless_signalled(
    bench: impl AsyncFnOnce(&mut Servers, &Path) -> anyhow::Result<bool>,
) -> anyhow::Result<Option<bool>> {
    // Before anything is made.
    let signalled = signalled()?;
    let folder = tempfile::Builder::new().prefix("agentfs-bench-").tempdir()?;
    let mut servers = Servers::default();
    let answer = tokio::select! {
        answer = bench(&mut servers, folder.path()) => answer.map(Some),
        () = signalled => Ok(None),
    };
    // The folder last: servers write into it as long as they run.
    servers.end_all().await;
    let removed = folder.close().context("the temporary folder cannot be removed");
    let answer = answer?;
    removed?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::path::PathBuf;

    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn a_signal_leaves_nothing_behind() {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let mut made = PathBuf::new();
            let ended = unless_signalled(async |_, folder| {
                made = folder.join("log");
                std::fs::write(&made, "begun")?;
                raise(signal)?;
                pending::<anyhow::Result<bool>>().await
            });
            assert_eq!(ended.await.unwrap(), None, "{signal}");
            assert!(made.is_absolute() && !made.parent().unwrap().exists(), "{signal}");
        }
    }
}
