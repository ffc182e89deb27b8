//! A pool whose connections are shared out fairly among tenants.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::fair_semaphore::{FairSemaphore, Permits};
use crate::domain::TenantId;
use crate::store::StoreError;
use crate::store::connection::pool::{Pool, READ_TIMEOUT};

/// The longest that a tenant waits for its turn. Longer than a statement of a read may take, so that a tenant whose reads do
/// not wait for its own always gets it.
pub const PATIENCE: Duration = Duration::from_secs(4);
const _: () = assert!(PATIENCE.as_secs() > READ_TIMEOUT.as_secs());

/// Most of one tenant that may wait, for each connection.
const MAX_WAITING: usize = 100;

/// Connections to a database. A tenant that holds most of them leaves one free for others, and of those that wait, the one
/// that holds the fewest comes first.
#[derive(Debug, Clone)]
pub struct FairPool {
    pool: Pool,
    shares: FairSemaphore<Sharer>,
    max_waiting: usize,
    longest: Duration,
}

/// A tenant; none is the server itself, which works for all of them.
type Sharer = Option<TenantId>;

/// A tenant's turn at a connection, until it is dropped.
pub type Share = Permits<Sharer>;

/// Why work on a [`FairPool`] is not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FairPoolError {
    /// The tenant has too much waiting, or has waited for too long. The database was not asked.
    #[error("all connections to the database are taken by other requests")]
    Busy,
    /// The database failed; shared, since many may wait for the same.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl From<StoreError> for FairPoolError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl FairPool {
    /// Shares out `connections` of `pool`, whose statements take `longest` at most. Whoever uses the pool itself may use those
    /// that it has besides.
    pub fn new(pool: Pool, connections: u32, longest: Duration) -> Self {
        let shares = FairSemaphore::keeping_back(connections.into(), 1);
        Self { pool, shares, max_waiting: MAX_WAITING * connections as usize, longest }
    }

    /// Does `work` of `tenant` that may be done twice, as [`Pool::retrying`] does, when it is the tenant's turn. The work
    /// holds one connection at a time.
    pub async fn retrying<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        tenant: TenantId,
        work: impl Fn(Pool) -> F,
    ) -> Result<T, FairPoolError> {
        self.work(Some(tenant), |pool| async move { pool.retrying(work).await }).await
    }

    /// The same as [`Pool::reconnecting`] does: for work that others do where it meets a lock.
    pub async fn reconnecting<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        tenant: TenantId,
        work: impl Fn(Pool) -> F,
    ) -> Result<T, FairPoolError> {
        self.work(Some(tenant), |pool| async move { pool.reconnecting(work).await }).await
    }

    /// Does `work` of `tenant` when it is the tenant's turn.
    pub async fn once<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        tenant: TenantId,
        work: impl FnOnce(Pool) -> F,
    ) -> Result<T, FairPoolError> {
        self.work(Some(tenant), work).await
    }

    /// Does `work` that is of use to all tenants, when it is the turn of the server itself: none of them stands for the others.
    pub async fn for_all<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl FnOnce(Pool) -> F,
    ) -> Result<T, FairPoolError> {
        self.work(None, work).await
    }

    /// Waits for a connection as a tenant that has none would, for measuring how long that takes.
    pub async fn wait(&self) {
        // Who waits in vain has waited for as long as anybody.
        if let Ok(turn) = self.turn(None).await {
            drop(self.pool.acquire().await);
            turn.end();
        }
    }

    /// The turn of `tenant` at a connection of [`Self::pool`], for work that is done to its end in any case.
    pub async fn share(&self, tenant: TenantId) -> Result<Share, FairPoolError> {
        self.permits(Some(tenant)).await
    }

    /// The connections, for what is no tenant's.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn work<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        sharer: Sharer,
        work: impl FnOnce(Pool) -> F,
    ) -> Result<T, FairPoolError> {
        let turn = self.turn(sharer).await?;
        let done = work(self.pool.clone()).await;
        turn.end();
        Ok(done?)
    }

    async fn turn(&self, sharer: Sharer) -> Result<Turn, FairPoolError> {
        let permits = self.permits(sharer).await?;
        Ok(Turn { permits: Some(permits), longest: self.longest })
    }

    async fn permits(&self, sharer: Sharer) -> Result<Permits<Sharer>, FairPoolError> {
        if self.shares.waiting(&sharer) >= self.max_waiting {
            return Err(FairPoolError::Busy);
        }
        let permits = timeout(PATIENCE, self.shares.acquire(sharer, 1)).await;
        permits.map_err(|_| FairPoolError::Busy)
    }
}

/// A tenant's turn. Where the work was abandoned, its statement still runs: the turn lasts until that has ended too.
struct Turn {
    permits: Option<Permits<Sharer>>,
    longest: Duration,
}

impl Turn {
    fn end(mut self) {
        self.permits = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(permits) = self.permits.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let longest = self.longest;
            runtime.spawn(async move {
                sleep(longest).await;
                drop(permits);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use futures::FutureExt as _;
    use secrecy::SecretString;
    use uuid::Uuid;

    use super::*;
    use crate::store::connection::address::DatabaseAddress;

    /// Of a database that nobody asks.
    fn pool(connections: u32) -> FairPool {
        let nowhere = SecretString::from("postgres://nobody@127.0.0.1:1/none");
        let pool = DatabaseAddress::parse(&nowhere).unwrap().pool(connections);
        FairPool::new(pool, connections, Duration::from_millis(50))
    }

    #[tokio::test]
    async fn whoever_hangs_up_keeps_its_turn_until_its_statement_has_ended() {
        let pool = pool(2);
        let [one, other] = [1, 2].map(|n| TenantId(Uuid::from_u128(n)));
        let hangs = |_| pending::<Result<(), StoreError>>();
        assert!(pool.retrying(one, hangs).now_or_never().is_none());
        let at_once = |_| async { Ok(()) };
        let mut again = pin!(pool.retrying(one, at_once));
        assert!(again.as_mut().now_or_never().is_none(), "the last one is kept back");
        assert!(pool.retrying(other, at_once).now_or_never().is_some());
        again.await.unwrap();
    }

    #[tokio::test]
    async fn a_queue_has_an_end() {
        let pool = pool(1);
        let tenant = TenantId(Uuid::nil());
        let hangs = |_| pending::<Result<(), StoreError>>();
        let mut held = Box::pin(pool.retrying(tenant, hangs));
        assert!(held.as_mut().now_or_never().is_none());
        let waits = || Box::pin(pool.retrying(tenant, hangs));
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| waits()).collect();
        assert!(waiting.iter_mut().all(|waits| waits.now_or_never().is_none()));
        let refused = waits().now_or_never();
        assert!(matches!(refused, Some(Err(FairPoolError::Busy))));
    }
}
