//! Runs a command that listens on the port: reads all settings, starts logging, binds, and ends at a signal.

use std::fmt::Display;
use std::process::ExitCode;

use tokio::net::TcpListener;

use crate::listen;
use crate::runtime::exit::{failed, finish};
use crate::runtime::logging;
use crate::runtime::signals::{Shutdown, shutdown};
use crate::settings::Settings;

/// Runs `program` with settings from the environment, on their port, until SIGTERM or SIGINT.
pub(super) async fn run_listening<F, E>(
    program: impl FnOnce(Settings, TcpListener, Shutdown) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => return failed(error),
    };
    let _logs = match logging::start(settings.logs) {
        Ok(guard) => guard,
        Err(sentence) => return failed(sentence),
    };
    listen::allow_open_files(settings.connections.limits.connections);
    let address = settings.listen.address;
    let listener = match listen::bind(address).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let port = address.port();
            return failed(format!(
                "port {port} is in use by another program; end it or set PORT to a free port"
            ));
        }
        Err(error) => return failed(format!("cannot listen on {address}: {error}")),
    };
    tracing::info!("serving on {address}, database {}", settings.database.url.endpoint());
    match shutdown() {
        Ok(shutdown) => finish(program(settings, listener, shutdown).await),
        Err(sentence) => failed(sentence),
    }
}
