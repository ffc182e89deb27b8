//! What benchmarks that start servers have in common.

use std::process::ExitCode;

use crate::servers::Servers;

/// Runs `bench` with servers of its own, which end with it, whatever becomes of it. It fails where a limit is missed, which is
/// what `bench` answers, or on an error, which it tells in the name of `name`.
pub async fn run(
    name: &str,
    bench: impl AsyncFnOnce(&mut Servers) -> anyhow::Result<bool>,
) -> ExitCode {
    let mut servers = Servers::default();
    let result = tokio::select! {
        result = bench(&mut servers) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    // Whatever happened: nothing is left behind.
    servers.end_all().await;
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
