//! The address of a database, and the pools and connections to it.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection as _, Executor as _};

use super::invalidation::Invalidation;
use super::pool::Pool;
use crate::settings::{DatabaseUrl, InvalidDatabaseUrl};
use crate::store::StoreError;

/// Longest wait for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a connection of the pool; while the database is away, each request waits this long.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a pooled connection is idle before it is tested.
const MAY_BE_CLOSED: Duration = Duration::from_millis(100);

/// Set on every connection that serves requests: no lock or statement is waited for long, and JIT compilation never pays
/// off, though cost estimates of row-by-row statements are high.
const SESSION: &str = "SET lock_timeout = '1s'; SET statement_timeout = '15s'; SET jit = off";

/// The address of a database, with user and password.
/// Connections of an address and of its clones are invalidated together.
#[derive(Debug, Clone)]
pub struct DatabaseAddress {
    options: PgConnectOptions,
    invalidation: Invalidation,
}

impl DatabaseAddress {
    /// The address in a URL.
    pub fn of(url: &DatabaseUrl) -> Self {
        let options = url.options().clone();
        Self {
            options: options.application_name("agentfs-server").disable_statement_logging(),
            invalidation: Invalidation::default(),
        }
    }

    /// Parses a `postgres://` URL.
    pub fn parse(url: &SecretString) -> Result<Self, InvalidDatabaseUrl> {
        DatabaseUrl::parse(url).map(|url| Self::of(&url))
    }

    /// `host:port`, for messages.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.options.get_host(), self.options.get_port())
    }

    /// Connects with PostgreSQL's own timeouts, for migrations.
    pub async fn connect_unlimited(&self) -> Result<PgConnection, StoreError> {
        tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options))
            .await
            .map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?
            .map_err(Into::into)
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
            .after_connect(|conn, _| Box::pin(async move { conn.execute(SESSION).await.map(drop) }))
            .connect_lazy_with(self.options.clone());
        Pool::new(connections, self.invalidation.clone())
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
                let mut connection = self.address.connect_unlimited().await?;
                connection.execute(SESSION).await?;
                Ok(&mut slot.insert((connection, Instant::now())).0)
            }
        }
    }

    /// Drops the connection where `error` says that it is broken, and invalidates all of the database where it says that the
    /// connection is outdated.
    pub fn note(&mut self, error: &StoreError) {
        self.address.invalidation.note(error.cause().driver());
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
