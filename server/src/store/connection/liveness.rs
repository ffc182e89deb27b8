//! Asks connections that were idle whether they are still there.
//!
//! Load balancers and firewalls forget connections on which nothing is sent, and PostgreSQL may end idle sessions. The first
//! to notice would be the request that uses the connection next: at once where the connection was reset, and after its whole
//! timeout where packets vanish.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::invalidation::Invalidation;

/// Keeps a connection known to all that is between here and the database, and lets either end notice within 90 s that the other
/// is gone. The database sends the probes, since the driver has no setting for those of this end.
pub(super) const KEEPALIVE: &str =
    "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// Longest wait for an answer, which takes a round trip.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Asks a connection whether it is there, and notes what that says of the others.
pub(super) async fn answers(connection: &mut PgConnection, invalidation: &Invalidation) -> bool {
    match tokio::time::timeout(PATIENCE, connection.ping()).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => {
            tracing::debug!("an idle connection to the database is gone: {error}");
            invalidation.note(&error);
        }
        Err(_) => {
            tracing::debug!("an idle connection to the database gives no answer");
            invalidation.note_silence();
        }
    }
    false
}
