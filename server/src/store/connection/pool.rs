//! Pools the connections to one database, and notes what an error of one says of all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_stream::try_stream;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use futures::{FutureExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgConnection, PgPool, PgQueryResult, PgRow, PgStatement, PgTransaction, PgTypeInfo, Postgres,
};
use sqlx::{Connection as _, Describe, Either, Execute, Executor, SqlSafeStr as _, SqlStr};
use tokio::sync::watch;
use tokio::time::timeout;

use super::address::ACQUIRE_TIMEOUT;
use super::hosts::{Hosts, within};
use super::invalidation::Invalidation;
use super::liveness::PATIENCE;
use crate::store::StoreError;
use crate::store::error::is_lost;

/// The longest that a statement of a read takes, see [`Pool::begin_read`].
pub const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Begins a read. The timeout is the transaction's own, since a session's would stay on whichever connection of a pooler it hit.
const BEGIN_READ: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = '3s'";

/// Tries of work that meets a lock, each of which waits for a second (`lock_timeout`): the switch of a restore in place may keep the
/// tables for two on a busy machine, and a tenant's writers the row in which its searches are counted.
pub const LOCKED_TRIES: u32 = 3;

/// How long a read takes before its next statements get less time.
const SOON: Duration = Duration::from_millis(300);

/// Leaves the next statements of a read that began at `began` what is left of its time, so that all of them together take
/// little longer than one may.
pub async fn keep_within(read: &mut PgConnection, began: Instant) -> Result<(), sqlx::Error> {
    let taken = began.elapsed();
    if taken < SOON {
        return Ok(());
    }
    let rest = READ_TIMEOUT.saturating_sub(taken).as_millis().max(1);
    let set = sqlx::query("SELECT set_config('statement_timeout', $1, true)");
    set.bind(rest.to_string()).execute(read).await.map(drop)
}

/// Connections to one database. A statement on the pool itself reports its errors; work on a connection or in a transaction
/// of it does so by [`Self::noting`].
#[derive(Debug, Clone)]
pub struct Pool {
    connections: Arc<PgPool>,
    hosts: Hosts,
    /// The host that new connections lead to.
    host: watch::Sender<usize>,
    invalidation: Invalidation,
}

impl Pool {
    /// A pool of connections to the first of `hosts`, until another one is found.
    pub(super) fn new(connections: Arc<PgPool>, hosts: Hosts, invalidation: Invalidation) -> Self {
        Self { connections, hosts, host: watch::Sender::new(0), invalidation }
    }

    /// The connections; new ones lead to the right host.
    async fn connections(&self) -> Result<&Arc<PgPool>, sqlx::Error> {
        let host = match self.hosts.found() {
            Some(found) => found,
            None => timeout(ACQUIRE_TIMEOUT, self.hosts.find())
                .await
                .unwrap_or(Err(sqlx::Error::PoolTimedOut))?,
        };
        self.host.send_if_modified(|leads_to| {
            // Whoever waited here may have been told of a former one.
            let host = self.hosts.found().unwrap_or(host);
            let is_another = *leads_to != host;
            if is_another {
                self.connections.set_connect_options(self.hosts.options(host));
                *leads_to = host;
            }
            is_another
        });
        Ok(&self.connections)
    }

    /// A connection of its own.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.acquire_in_time().await.inspect_err(|error| self.saw(error))
    }

    /// A connection within the patience of a request. One that takes longer to make is made to its end all the same and is there
    /// for the next: given up each time, a database that is slow to connect to would never be reached.
    async fn acquire_in_time(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let connections = Arc::clone(self.connections().await?);
        let mut host = self.host.subscribe();
        let acquired = tokio::spawn(async move {
            loop {
                tokio::select! {
                    acquired = connections.acquire() => break acquired,
                    // One that was to lead to the former host holds the place of one that leads to the new one.
                    Ok(()) = host.changed() => {}
                }
            }
        });
        match timeout(ACQUIRE_TIMEOUT, acquired).await {
            Ok(Ok(acquired)) => acquired,
            Ok(Err(_)) => Err(sqlx::Error::WorkerCrashed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// A connection of its own that is there at this moment, at the price of a round trip.
    pub async fn acquire_alive(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.acquire().await?;
        match within(PATIENCE, connection.ping()).await {
            Err(error) if is_lost(&error) => {
                self.saw(&error);
                self.acquire().await
            }
            _ => Ok(connection),
        }
    }

    /// A transaction. Whoever finds the connection lost when it begins has lost nothing.
    pub async fn begin(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        match self.begin_by(None).await {
            Err(error) if is_lost(&error) => self.begin_by(None).await,
            begun => begun,
        }
    }

    /// A transaction that only reads, all at one moment. Each of its statements is cancelled after [`READ_TIMEOUT`], with
    /// [`StoreError::TimedOut`].
    pub async fn begin_read(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.begin_with(BEGIN_READ).await
    }

    /// A transaction that `statement` begins.
    pub async fn begin_with(
        &self,
        statement: &'static str,
    ) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.begin_by(Some(statement.into_sql_str())).await
    }

    async fn begin_by(
        &self,
        statement: Option<SqlStr>,
    ) -> Result<PgTransaction<'static>, sqlx::Error> {
        let begun = PgTransaction::begin(self.acquire().await?, statement).await;
        begun.inspect_err(|error| self.saw(error))
    }

    /// Does `work` that may be done twice, and again where it met a lock, or as [`Self::reconnecting`] does.
    pub async fn retrying<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn(Self) -> F,
    ) -> Result<T, StoreError> {
        let mut tries = 1;
        loop {
            match self.reconnecting(&work).await {
                Err(error @ StoreError::Contended(_)) if tries < LOCKED_TRIES => {
                    tracing::debug!("others hold a lock, which is waited for again: {error}");
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Does `work` that may be done twice, and once more where it lost its connection: one that was in use a moment ago is
    /// not asked whether it is there. So it is too where one that gave no answer has left no time to connect anew.
    pub async fn reconnecting<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn(Self) -> F,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        match work(self.clone()).await {
            Err(error @ StoreError::Unreachable(_))
                if error.is_connection_lost() || self.invalidation.was_silent_since(begun) =>
            {
                self.note(&error);
                tracing::debug!("a connection was lost, another one is asked: {error}");
                work(self.clone()).await
            }
            done => done,
        }
    }

    /// Does `work` on a connection of the pool. What its error says of all connections is noted.
    pub fn noting<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        // Not an async fn, whose future would hold the work twice.
        work.inspect_err(|error| self.note(error))
    }

    /// Does `work` as [`Self::noting`] does. A connection on which it takes longer than `longest` counts as lost.
    pub fn noting_within<T>(
        &self,
        longest: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.noting(within(longest, work))
    }

    /// Notes what `error`, of one connection, says of all of them.
    pub fn note(&self, error: &StoreError) {
        self.saw(error.cause().driver());
    }

    fn saw(&self, error: &sqlx::Error) {
        self.invalidation.note(error);
        self.hosts.note(error);
        // Where there was room for one, it is the host that gave none; sqlx waits for one that refuses connections.
        let had_room = || self.size() < self.connections.options().get_max_connections();
        if matches!(error, sqlx::Error::PoolTimedOut) && had_room() {
            self.hosts.doubt();
        }
    }

    /// How many connections there are.
    pub fn size(&self) -> u32 {
        self.connections.size()
    }

    /// How many of them are idle.
    pub fn num_idle(&self) -> usize {
        self.connections.num_idle()
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = try_stream! {
            let mut connection = self.acquire_in_time().await?;
            let mut rows = connection.fetch_many(query);
            while let Some(row) = rows.try_next().await? {
                yield row;
            }
        };
        rows.inspect_err(|error| self.saw(error)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let row = async move { self.acquire_in_time().await?.fetch_optional(query).await };
        row.inspect_err(|error| self.saw(error)).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let statement =
            async move { self.acquire_in_time().await?.prepare_with(sql, parameters).await };
        statement.inspect_err(|error| self.saw(error)).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire_in_time().await?.describe(sql).await }.boxed()
    }
}
