//! The address of a database, and the pools and connections to it.

use std::time::{Duration, Instant};

use agentfs_contract::session;
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Connection as _, Executor as _};

use super::hosts::Hosts;
use super::invalidation::Invalidation;
use super::pool::Pool;
use crate::settings::{DatabaseUrl, InvalidDatabaseUrl};
use crate::store::StoreError;

/// Longest wait for a connection of the pool; while the database is away, each request waits this long.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two tries to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How long a pooled connection is idle before it is tested.
const MAY_BE_CLOSED: Duration = Duration::from_millis(100);

/// The address of a database, with user and password.
/// Connections of an address and of its clones are invalidated together.
#[derive(Debug, Clone)]
pub struct DatabaseAddress {
    hosts: Hosts,
    invalidation: Invalidation,
}

impl DatabaseAddress {
    /// The address in a URL.
    pub fn of(url: &DatabaseUrl) -> Self {
        Self { hosts: Hosts::of(url), invalidation: Invalidation::default() }
    }

    /// Parses a `postgres://` URL.
    pub fn parse(url: &SecretString) -> Result<Self, InvalidDatabaseUrl> {
        DatabaseUrl::parse(url).map(|url| Self::of(&url))
    }

    /// `host:port` of each host, for messages.
    pub fn endpoint(&self) -> String {
        self.hosts.endpoint()
    }

    /// Connects with PostgreSQL's own timeouts, for migrations.
    pub async fn connect_unlimited(&self) -> Result<PgConnection, StoreError> {
        self.connect(session::PATIENT).await.map(|(connection, _)| connection)
    }

    /// Waits until the database takes connections, for about `patience` at most. Why it does not is for the next to find who
    /// connects.
    pub async fn wait_until_reachable(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut is_told = false;
        while let Err(error) = self.connect_unlimited().await {
            if !error.may_be_starting() || Instant::now() + RETRY_PAUSE > deadline {
                return;
            }
            if !is_told {
                let (endpoint, cause) = (self.endpoint(), error.cause());
                tracing::info!("waiting for the database at {endpoint}: {cause}");
                is_told = true;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Connects, and returns which of the URL's hosts it is as well. `session` is what the connection is set to.
    pub(super) async fn connect(
        &self,
        session: &'static str,
    ) -> Result<(PgConnection, usize), StoreError> {
        let (mut connection, host) = self.hosts.connect().await?;
        connection.execute(session).await?;
        Ok((connection, host))
    }

    /// A pool of at most `size` connections; connects on first use.
    pub fn pool(&self, size: u32) -> Pool {
        let invalidation = self.invalidation.clone();
        let connections = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // That would be a round trip before each use. One that was idle for a while may have been closed meanwhile.
            .test_before_acquire(false)
            .before_acquire(move |connection, held| {
                let usable = !invalidation.outdates(held.age);
                let ask = usable && held.idle_for >= MAY_BE_CLOSED;
                Box::pin(async move {
                    if ask {
                        connection.ping().await?;
                    }
                    Ok(usable)
                })
            })
            .after_connect(|conn, _| {
                Box::pin(async move { conn.execute(session::SERVING).await.map(drop) })
            })
            .connect_lazy_with(self.hosts.options(0));
        Pool::new(connections, self.hosts.clone(), self.invalidation.clone())
    }
}

/// One task's connection, made on first use and again after it was lost.
#[derive(Debug)]
pub struct Link {
    address: DatabaseAddress,
    /// The connection, and when it was made.
    connection: Option<(PgConnection, Instant)>,
}

impl Link {
    /// A link to `address`; does not connect yet.
    pub fn new(address: DatabaseAddress) -> Self {
        Self { address, connection: None }
    }

    /// The connection; connects if necessary.
    pub async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let invalidation = &self.address.invalidation;
        self.connection.take_if(|(_, made)| invalidation.outdates(made.elapsed()));
        match &mut self.connection {
            Some((connection, _)) => Ok(connection),
            slot @ None => {
                let (connection, _) = self.address.connect(session::SERVING).await?;
                Ok(&mut slot.insert((connection, Instant::now())).0)
            }
        }
    }

    /// Drops the connection where `error` says that it is broken, and invalidates all of the database where it says that the
    /// connection is outdated.
    pub fn note(&mut self, error: &StoreError) {
        self.address.invalidation.note(error.cause().driver());
        self.address.hosts.note(error.cause().driver());
        if error.is_connection_broken() {
            self.disconnect();
        }
    }

    /// Drops the connection, so that the next use makes a new one.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }
}

/// Whether a connection failed because the database's certificate is of an unknown authority, or not for its host.
pub(crate) fn is_untrusted(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}
