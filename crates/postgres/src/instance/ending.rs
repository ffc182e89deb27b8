//! How this process is asked to end.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::PostgresError;

/// Resolves at the first SIGTERM, SIGINT (Ctrl-C) or SIGHUP (the terminal is gone). Listens from the call on.
pub fn signalled() -> Result<impl Future<Output = ()>, PostgresError> {
    let on = |kind| signal(kind).map_err(PostgresError::io("listen for", Path::new("signals")));
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut hangup = on(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
