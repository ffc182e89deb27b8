//! Health of the process and its database, for the health routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentfs_contract::health::NotReadyReason;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::store::StoreError;
use crate::store::connection::address::{DatabaseAddress, Link};
use crate::store::connection::read_only::is_read_only;
use crate::store::schema::{self, SchemaMismatch};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// A shorter loss of the database, or of one that takes writes, fails single requests; removing the pod from its service would
/// not help.
const LOSS_TOLERATED: Duration = Duration::from_secs(30);

/// Why the process is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The process is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// The database cannot be used.
    #[error("{loss}")]
    Database {
        /// Since when.
        since: Timestamp,
        /// What is wrong with it.
        loss: Loss,
    },
    /// The database's schema does not match this program.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
}

/// Why a database cannot be used. The endpoint is `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// It does not answer.
    #[error("cannot reach the database at {endpoint}: {cause}")]
    Unreachable {
        /// Where it is.
        endpoint: Arc<str>,
        /// The driver's message.
        cause: String,
    },
    /// It takes no writes.
    #[error(
        "the database at {endpoint} is read-only: after a failover lead DATABASE_URL to the primary; if it is the primary, look for default_transaction_read_only"
    )]
    ReadOnly {
        /// Where it is.
        endpoint: Arc<str>,
    },
}

impl NotReady {
    /// The reason for programs: the operator derives condition reasons from it.
    pub fn reason(&self) -> NotReadyReason {
        match self {
            Self::Draining => NotReadyReason::Draining,
            Self::Database { loss: Loss::Unreachable { .. }, .. } => {
                NotReadyReason::DatabaseUnreachable
            }
            Self::Database { loss: Loss::ReadOnly { .. }, .. } => NotReadyReason::DatabaseReadOnly,
            Self::Schema(SchemaMismatch::TooOld { .. }) => NotReadyReason::SchemaTooOld,
            Self::Schema(SchemaMismatch::TooNew { .. }) => NotReadyReason::SchemaTooNew,
            Self::Schema(SchemaMismatch::NotUtf8(_)) => NotReadyReason::DatabaseNotUtf8,
        }
    }
}

/// The health of the process and its database.
#[derive(Debug, Clone)]
pub struct Health {
    draining: Arc<AtomicBool>,
    seen: watch::Receiver<LastCheck>,
}

/// The result of the last check of the database.
#[derive(Debug, Clone)]
struct LastCheck {
    result: Result<(), NotReady>,
    /// The database could be used at least once.
    ever: bool,
}

impl Health {
    /// Starts to check the database once a second, until the process ends.
    pub fn watch(address: &DatabaseAddress) -> Self {
        // A connection of its own: a busy pool, or one that waits to reconnect, says nothing about the database.
        let link = Link::new(address.clone());
        let endpoint: Arc<str> = address.endpoint().into();
        let cause = "not yet connected".to_owned();
        let loss = Loss::Unreachable { endpoint: endpoint.clone(), cause };
        let not_yet = NotReady::Database { since: Timestamp::now(), loss };
        let (sender, seen) = watch::channel(LastCheck { result: Err(not_yet), ever: false });
        tokio::spawn(keep_looking(link, endpoint, sender));
        Self { draining: Arc::default(), seen }
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

    /// Whether a request would be served right now, by the last look: whoever asks costs the database nothing.
    pub fn now(&self) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        self.seen.borrow().result.clone()
    }
}

async fn keep_looking(mut link: Link, endpoint: Arc<str>, sender: watch::Sender<LastCheck>) {
    while !sender.is_closed() {
        let result = look(&mut link, &endpoint).await;
        let seen = sender.borrow().clone();
        // Connections to a former primary may stay open, and what is read there is out of date.
        if is_read_only_loss(&seen.result) || is_read_only_loss(&result) {
            link.renew_all();
        }
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
        (NotReady::Database { loss: a, .. }, NotReady::Database { loss: b, .. }) => a == b,
        _ => a == b,
    }
}

fn is_read_only_loss(result: &Result<(), NotReady>) -> bool {
    matches!(result, Err(NotReady::Database { loss: Loss::ReadOnly { .. }, .. }))
}

/// Keeps the beginning of an ongoing loss.
fn keep_since(before: &Result<(), NotReady>, now: Result<(), NotReady>) -> Result<(), NotReady> {
    match (before, now) {
        (Err(NotReady::Database { since, .. }), Err(NotReady::Database { loss, .. })) => {
            Err(NotReady::Database { since: *since, loss })
        }
        (_, now) => now,
    }
}

async fn look(link: &mut Link, endpoint: &Arc<str>) -> Result<(), NotReady> {
    let lost = |loss| NotReady::Database { since: Timestamp::now(), loss };
    let unreachable = |cause| lost(Loss::Unreachable { endpoint: endpoint.clone(), cause });
    let read = async {
        let connection = link.connection().await?;
        let read_only = is_read_only(&mut *connection).await?;
        Ok((read_only, schema::read(connection).await?))
    };
    let read: Result<Result<_, StoreError>, _> = tokio::time::timeout(LOOK_TIMEOUT, read).await;
    match &read {
        Ok(Err(error)) => link.note(error),
        Err(_) => link.note_silence(),
        Ok(Ok(_)) => {}
    }
    // A new connection may lead to the primary.
    if !matches!(read, Ok(Ok((false, _)))) {
        link.disconnect();
    }
    match read {
        Ok(Ok((true, _))) => Err(lost(Loss::ReadOnly { endpoint: endpoint.clone() })),
        Ok(Ok((false, version))) => version.fits().map_err(Into::into),
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
        let loss = Loss::Unreachable { endpoint: "db:5432".into(), cause: cause.into() };
        NotReady::Database { since, loss }
    }

    #[test]
    fn a_loss_keeps_its_beginning() {
        let kept = keep_since(&Err(lost(0, "refused")), Err(lost(9, "timed out"))).unwrap_err();
        assert_eq!(kept, lost(0, "timed out"));
    }
}
