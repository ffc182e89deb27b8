//! Runs a command that listens: reads all settings, starts logging, binds its ports, and ends at a signal.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;

use crate::listen;
use crate::runtime::exit::{failed, finish};
use crate::runtime::logging;
use crate::runtime::memory_limit::memory_limit;
use crate::runtime::signals::{Shutdown, shutdown};
use crate::settings::{Limits, ListenSettings, Settings, unknown_settings};

/// Runs `program` with settings from the environment, on what `bind` listens on, until SIGTERM or SIGINT.
pub(super) async fn run_listening<L, F, E>(
    bind: impl FnOnce(&ListenSettings) -> Result<L, String>,
    program: impl FnOnce(Settings, L, Shutdown) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let settings = match Settings::from_env(memory_limit()) {
        Ok(settings) => settings,
        Err(error) => {
            // What is missing may be misspelt.
            for sentence in misspelt() {
                failed(sentence);
            }
            return failed(error);
        }
    };
    let _logs = match logging::start(settings.logs) {
        Ok(guard) => guard,
        Err(sentence) => return failed(sentence),
    };
    warn_of_unknown_settings();
    let connections = settings.connections.limits.connections;
    listen::allow_open_files(connections.saturating_add(Limits::operations().connections));
    let listeners = match bind(&settings.listen) {
        Ok(listeners) => listeners,
        Err(sentence) => return failed(sentence),
    };
    tracing::info!("database {}", settings.database.url.endpoint());
    match shutdown() {
        Ok(shutdown) => finish(program(settings, listeners, shutdown).await),
        Err(sentence) => failed(sentence),
    }
}

/// Names variables of the environment that look like settings and are none.
pub(super) fn warn_of_unknown_settings() {
    for sentence in misspelt() {
        tracing::warn!("{sentence}");
    }
}

fn misspelt() -> Vec<String> {
    let pair = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().unwrap_or_default()))
    };
    unknown_settings(std::env::vars_os().filter_map(pair))
}

/// Listens on PORT, for `purpose`.
pub(super) fn port(settings: &ListenSettings, purpose: &str) -> Result<TcpListener, String> {
    let address = settings.address;
    let remedy = "set PORT to a free port (another agentfs-server takes its PORT + 1 as well, unless its PORT_OPERATIONS says otherwise)";
    let listener = listen_on(address, "", remedy)?;
    tracing::info!("{purpose} on {address}");
    Ok(listener)
}

/// Listens on PORT_OPERATIONS.
pub(super) fn operations(settings: &ListenSettings) -> Result<TcpListener, String> {
    let address = settings.operations;
    let remedy = "set PORT_OPERATIONS, the port of probes and metrics (PORT + 1 unless it is set), to a free port";
    let listener = listen_on(address, " for probes and metrics", remedy)?;
    tracing::info!("probes and metrics on {address}");
    Ok(listener)
}

/// Listens on `address`. The sentence of an error has `what` it is for, and the `remedy` where somebody else listens there.
fn listen_on(address: SocketAddr, what: &str, remedy: &str) -> Result<TcpListener, String> {
    listen::bind(address).map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            let port = address.port();
            format!("port {port} is in use by another program; end it or {remedy}")
        } else {
            format!("cannot listen on {address}{what}: {error}")
        }
    })
}
