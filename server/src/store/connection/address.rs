//! The address of a database, and the pools and connections to it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use agentfs_contract::session;
use secrecy::SecretString;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _};

pub(crate) use super::hosts::is_no_host;
use super::hosts::{CONNECT_TIMEOUT, Hosts, within};
use super::invalidation::Invalidation;
use super::liveness::{KEEPALIVE, answers};
use super::pool::Pool;
use crate::settings::{DatabaseUrl, InvalidDatabaseUrl};
use crate::store::StoreError;

/// Longest wait for a connection of the pool; while the database is away, each request waits this long.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for the end of a statement that nobody waits for any more; then its connection is dropped.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a pool is looked through for idle connections that are outdated, where any may be.
const LEAVE_EVERY: Duration = Duration::from_secs(1);

/// Pause between two tries to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How long a pooled connection is idle before it is asked whether it is there.
const POOLED_MAY_BE_GONE: Duration = Duration::from_millis(100);
/// The same of a link. It is longer, since what is lost on a link is done again, and a lone write is to cost no round trip more.
const LINK_MAY_BE_GONE: Duration = Duration::from_secs(1);

/// The address of a database, with user and password.
/// Connections of an address and of its clones are invalidated together.
#[derive(Debug, Clone)]
pub struct DatabaseAddress {
    hosts: Hosts,
    invalidation: Invalidation,
    /// What connections that serve requests are set to.
    serving: &'static str,
}

impl DatabaseAddress {
    /// The address in a URL.
    pub fn of(url: &DatabaseUrl) -> Self {
        Self::serving(url, session::SERVING)
    }

    /// The address of a replica in a URL.
    pub fn of_replica(url: &DatabaseUrl) -> Self {
        Self::serving(url, session::READING)
    }

    fn serving(url: &DatabaseUrl, serving: &'static str) -> Self {
        let invalidation = Invalidation::default();
        Self { hosts: Hosts::of(url, invalidation.clone()), invalidation, serving }
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

    /// The major version of the server.
    pub async fn major(&self) -> Result<u32, StoreError> {
        let version = self.connect_unlimited().await?.server_version_num();
        Ok(version.unwrap_or_default() / 10_000)
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
        let connected = self.hosts.connect().await;
        let (mut connection, host) =
            connected.map_err(|error| StoreError::from(error).at(self.endpoint()))?;
        within(CONNECT_TIMEOUT, set_up(&mut connection, session))
            .await
            .inspect_err(|error| self.hosts.note(error))?;
        Ok((connection, host))
    }

    /// A pool of at most `size` connections; connects on first use.
    pub fn pool(&self, size: u32) -> Pool {
        let (address, invalidation, serving) =
            (self.clone(), self.invalidation.clone(), self.serving);
        let connections = PgPoolOptions::new()
            .max_connections(size)
            // As long as any other connection of ours: who asked for it has gone by then, and it is there for the next.
            .acquire_timeout(CONNECT_TIMEOUT)
            // That would be a round trip before each use.
            .test_before_acquire(false)
            .before_acquire(move |connection, held| {
                let address = address.clone();
                Box::pin(async move {
                    let may_be_gone = held.idle_for >= POOLED_MAY_BE_GONE
                        || address.invalidation.doubts(held.idle_for);
                    Ok(!address.invalidation.outdates(held.age)
                        && (!may_be_gone || address.answers(connection).await))
                })
            })
            // sqlx asks without end, so that a statement whose connection vanished would hold its place for a quarter of an hour.
            .after_release(move |connection, held| {
                let is_outdated = invalidation.outdates(held.age);
                Box::pin(async move {
                    // sqlx would log an error of this with words of its own; who uses the next connection hears of it.
                    Ok(within(RELEASE_TIMEOUT, connection.ping()).await.is_ok() && !is_outdated)
                })
            })
            .after_connect(move |connection, _| Box::pin(set_up(connection, serving)))
            .connect_lazy_with(self.hosts.options(0));
        let connections = Arc::new(connections);
        tokio::spawn(leave_outdated(Arc::downgrade(&connections), self.invalidation.clone()));
        Pool::new(connections, self.hosts.clone(), self.invalidation.clone())
    }

    /// Asks a connection whether it is there, and notes what its silence says of the others and of the host.
    async fn answers(&self, connection: &mut PgConnection) -> bool {
        let answers = answers(connection, &self.invalidation).await;
        if !answers {
            self.hosts.doubt();
        }
        answers
    }
}

/// Closes idle connections that are outdated, for as long as there is the pool: those that nobody uses would stay with a former
/// primary.
async fn leave_outdated(connections: Weak<PgPool>, invalidation: Invalidation) {
    let mut before = invalidation.outdated();
    loop {
        tokio::time::sleep(LEAVE_EVERY).await;
        let Some(connections) = connections.upgrade() else { return };
        let outdated = invalidation.outdated();
        if outdated != before {
            before = outdated;
            // Whether it is outdated is looked at when it is given back.
            (0..connections.num_idle()).for_each(|_| drop(connections.try_acquire()));
        }
    }
}

/// Sets a new connection up before its first use.
async fn set_up(connection: &mut PgConnection, session: &'static str) -> Result<(), sqlx::Error> {
    connection.execute(KEEPALIVE).await?;
    connection.execute(session).await.map(drop)
}

/// One task's connection, made on first use and again after it was lost.
#[derive(Debug)]
pub struct Link {
    address: DatabaseAddress,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    connection: PgConnection,
    made: Instant,
    used: Instant,
}

impl Held {
    async fn is_usable(&mut self, address: &DatabaseAddress) -> bool {
        let idle_for = self.used.elapsed();
        let may_be_gone = idle_for >= LINK_MAY_BE_GONE || address.invalidation.doubts(idle_for);
        !address.invalidation.outdates(self.made.elapsed())
            && (!may_be_gone || address.answers(&mut self.connection).await)
    }
}

impl Link {
    /// A link to `address`; does not connect yet.
    pub fn new(address: DatabaseAddress) -> Self {
        Self { address, held: None }
    }

    /// The connection; connects if necessary, and asks one that was idle for a while whether it is there.
    pub async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        if let Some(held) = &mut self.held
            && !held.is_usable(&self.address).await
        {
            self.disconnect();
        }
        let held = match &mut self.held {
            Some(held) => held,
            slot @ None => {
                // Where another host is found meanwhile, this connection is outdated too.
                let made = Instant::now();
                let (connection, _) = self.address.connect(self.address.serving).await?;
                slot.insert(Held { connection, made, used: Instant::now() })
            }
        };
        held.used = Instant::now();
        Ok(&mut held.connection)
    }

    /// Drops the connection where `error` says that another one may do better, and notes what that says of all others of the
    /// database. A server that takes no writes does so on a new connection too: one that was just made is kept.
    pub fn note(&mut self, error: &StoreError) {
        self.address.invalidation.note(error.cause().driver());
        self.address.hosts.note(error.cause().driver());
        let is_new = |held: &Held| !self.address.invalidation.outdates(held.made.elapsed());
        let is_kept =
            matches!(error, StoreError::ReadOnly(_)) && self.held.as_ref().is_some_and(is_new);
        if error.is_connection_broken() && !is_kept {
            self.disconnect();
        }
    }

    /// Whether there is a connection; false after one was dropped.
    pub fn is_connected(&self) -> bool {
        self.held.is_some()
    }

    /// Has all connections of the database made anew before their next use.
    pub fn renew_all(&self) {
        self.address.invalidation.renew_all();
        self.address.hosts.doubt();
    }

    /// Drops a connection that gave no answer in time, and notes what that says of all others of the database.
    pub fn note_silence(&mut self) {
        self.address.invalidation.note_silence();
        self.address.hosts.doubt();
        self.disconnect();
    }

    /// Drops the connection, so that the next use makes a new one.
    pub fn disconnect(&mut self) {
        self.held = None;
    }
}

/// Whether a connection failed because the database's certificate is of an unknown authority, or not for its host.
pub(crate) fn is_untrusted(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}
