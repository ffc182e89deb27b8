//! Listens for the signals that ask the process to end.

use std::pin::Pin;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves on SIGTERM or SIGINT.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves on SIGTERM or SIGINT.
pub fn shutdown() -> Result<Shutdown, String> {
    let heard = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
    let (mut term, mut int) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    Ok(Box::pin(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    }))
}
