//! Health of the process and its database, for the health routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentfs_contract::health::NotReadyReason;
use jiff::Timestamp;
use tokio::sync::{Mutex, watch};

use crate::store::connection::address::{DatabaseAddress, Link};
use crate::store::schema::{self, SchemaMismatch};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// A shorter loss of the database fails single requests; removing the pod from its service would not help.
const LOSS_TOLERATED: Duration = Duration::from_secs(30);

/// Why the process is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The process is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// The database does not answer.
    #[error("cannot reach the database at {endpoint}: {cause}")]
    Database {
        /// `host:port`.
        endpoint: String,
        /// Since when.
        since: Timestamp,
        /// The driver's message.
        cause: String,
    },
    /// The database's schema does not match this program.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
}

impl NotReady {
    /// The reason for programs: the operator derives condition reasons from it.
    pub fn reason(&self) -> NotReadyReason {
        match self {
            Self::Draining => NotReadyReason::Draining,
            Self::Database { .. } => NotReadyReason::DatabaseUnreachable,
            Self::Schema(SchemaMismatch::TooOld { .. }) => NotReadyReason::SchemaTooOld,
            Self::Schema(SchemaMismatch::TooNew { .. }) => NotReadyReason::SchemaTooNew,
            Self::Schema(SchemaMismatch::NotUtf8(_)) => NotReadyReason::DatabaseNotUtf8,
        }
    }
}

/// The health of the process and its database.
#[derive(Debug, Clone)]
pub struct Health {
    /// A connection of its own: a busy pool, or one that waits to reconnect, says nothing about the database.
    link: Arc<Mutex<Link>>,
    endpoint: Arc<str>,
    draining: Arc<AtomicBool>,
    seen: watch::Receiver<LastCheck>,
}

/// The result of the last check of the database.
#[derive(Debug, Clone)]
struct LastCheck {
    result: Result<(), NotReady>,
    /// The database has been reached at least once.
    ever: bool,
}

impl Health {
    /// Starts to check the database once a second, until the process ends.
    pub fn watch(address: &DatabaseAddress) -> Self {
        let link = Arc::new(Mutex::new(Link::new(address.clone())));
        let endpoint: Arc<str> = address.endpoint().into();
        let not_yet = NotReady::Database {
            endpoint: endpoint.to_string(),
            since: Timestamp::now(),
            cause: "not yet connected".to_owned(),
        };
        let (sender, seen) = watch::channel(LastCheck { result: Err(not_yet), ever: false });
        tokio::spawn(keep_looking(link.clone(), endpoint.clone(), sender));
        Self { link, endpoint, draining: Arc::default(), seen }
    }

    /// Makes the process not ready from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process should get traffic.
    pub fn ready(&self) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        let seen = self.seen.borrow();
        match &seen.result {
            Err(NotReady::Database { since, .. }) if seen.ever && age(*since) < LOSS_TOLERATED => {
                Ok(())
            }
            result => result.clone(),
        }
    }

    /// Whether the schema matched this program at the last check. In the middle of a restore it does not, and reads would
    /// not show what the database holds.
    pub fn schema(&self) -> Result<(), SchemaMismatch> {
        match &self.seen.borrow().result {
            Err(NotReady::Schema(mismatch)) => Err(mismatch.clone()),
            _ => Ok(()),
        }
    }

    /// Checks whether a request would be served right now.
    pub async fn now(&self) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        look(&self.link, &self.endpoint).await?;
        // Requests go by the last look: after a restore or migration they are refused until there was a new one.
        Ok(self.schema()?)
    }
}

async fn keep_looking(
    link: Arc<Mutex<Link>>,
    endpoint: Arc<str>,
    sender: watch::Sender<LastCheck>,
) {
    while !sender.is_closed() {
        let result = look(&link, &endpoint).await;
        let seen = sender.borrow().clone();
        let reached = !matches!(result, Err(NotReady::Database { .. }));
        match (&seen.result, &result) {
            (Err(_), Ok(())) => tracing::info!("database at {endpoint} reached, schema fits"),
            (Ok(()), Err(not_ready)) => tracing::error!("{not_ready}"),
            (Err(before), Err(not_ready)) if !same_cause(before, not_ready) => {
                tracing::error!("waiting: {not_ready}");
            }
            _ => {}
        }
        let result = keep_since(&seen.result, result);
        sender.send_replace(LastCheck { result, ever: seen.ever || reached });
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn same_cause(a: &NotReady, b: &NotReady) -> bool {
    match (a, b) {
        (NotReady::Database { cause: a, .. }, NotReady::Database { cause: b, .. }) => a == b,
        _ => a == b,
    }
}

/// Keeps the beginning of an ongoing loss.
fn keep_since(before: &Result<(), NotReady>, now: Result<(), NotReady>) -> Result<(), NotReady> {
    match (before, now) {
        (
            Err(NotReady::Database { since, .. }),
            Err(NotReady::Database { endpoint, cause, .. }),
        ) => Err(NotReady::Database { endpoint, since: *since, cause }),
        (_, now) => now,
    }
}

async fn look(link: &Mutex<Link>, endpoint: &str) -> Result<(), NotReady> {
    let unreachable = |cause: String| NotReady::Database {
        endpoint: endpoint.to_owned(),
        since: Timestamp::now(),
        cause,
    };
    let mut link = link.lock().await;
    let read = async { schema::read(link.connection().await?).await };
    let read = tokio::time::timeout(LOOK_TIMEOUT, read).await;
    if let Ok(Err(error)) = &read {
        link.note(error);
    }
    if !matches!(read, Ok(Ok(_))) {
        link.disconnect();
    }
    match read {
        Ok(Ok(version)) => version.fits().map_err(Into::into),
        Ok(Err(error)) => Err(unreachable(error.cause().to_string())),
        Err(_) => Err(unreachable(format!("no answer within {} s", LOOK_TIMEOUT.as_secs()))),
    }
}

fn age(since: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now() - since).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(second: i64, cause: &str) -> NotReady {
        let since = Timestamp::from_second(second).unwrap();
        NotReady::Database { endpoint: "db:5432".into(), since, cause: cause.into() }
    }

    #[test]
    fn a_loss_keeps_its_beginning() {
        let kept = keep_since(&Err(lost(0, "refused")), Err(lost(9, "timed out"))).unwrap_err();
        assert_eq!(kept, lost(0, "timed out"));
    }
}
