//! Tells whoever asks how far a command is, on the port of AGENTFS_PROGRESS_PORT.

use std::net::Ipv6Addr;

use agentfs_contract::setting::PROGRESS_PORT;
use prometheus::IntGauge;

use super::setting;
use crate::listen;
use crate::recovery::progress::Board;

/// The board that a command tells how far it is. It is shown until the process ends, where there is a port for it; that this one is
/// taken keeps nothing from being done.
pub(super) fn board() -> Result<Board, String> {
    let board = Board::default();
    let Some(port) = setting(PROGRESS_PORT) else { return Ok(board) };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0);
    let port =
        port.ok_or_else(|| format!("{PROGRESS_PORT} is not valid: give a number from 1 to 65535"))?;
    let open = IntGauge::new("progress_connections", "Open connections.");
    match (listen::bind((Ipv6Addr::UNSPECIFIED, port).into()), open) {
        (Ok(listener), Ok(open)) => {
            let router = board.clone().router();
            tokio::spawn(listen::serve_operations(Some(listener), router, open));
        }
        (Err(error), _) => {
            tracing::warn!("nobody can follow this: it cannot listen on port {port}: {error}");
        }
        (_, Err(error)) => tracing::warn!("nobody can follow this: {error}"),
    }
    Ok(board)
}
