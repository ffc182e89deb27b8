//! Routes reads: to the replica while it is fresh enough, and to the primary otherwise or when the replica fails.

use uuid::Uuid;

use super::{Memory, MemoryError};
use crate::domain::{EntryKey, TenantId};
use crate::group_commit::queue::Queue;
use crate::group_commit::reads::{Found, Get, NoRoom, Reader};
use crate::runtime::byte_budget::{Purpose, Reservation};
use crate::runtime::fair_pool::FairPoolError;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::connection::replica::has_version;

impl Memory {
    /// Gets the live entry of `key`; the read must see `min_version`, if given.
    pub(super) async fn get_live(
        &self,
        key: EntryKey,
        min_version: Option<Uuid>,
    ) -> Result<Option<Found>, MemoryError> {
        if let Some(replica) = &self.replica
            && let Some(replica) = replica.for_reading(key.tenant, min_version).await
        {
            match self.get_by(replica.gets(), key.clone()).await {
                Err(MemoryError::GroupCommit(_)) => {}
                got => return got,
            }
        }
        self.must_have(key.tenant, min_version).await?;
        self.get_by(&self.reads, key).await
    }

    /// Gets an entry by a queue.
    pub(super) async fn get_by(
        &self,
        queue: &Queue<Reader>,
        key: EntryKey,
    ) -> Result<Option<Found>, MemoryError> {
        let answer = queue.submit(Get { key, reserved: Reservation::default() }).await?;
        self.found(queue, answer).await
    }

    /// What a queue has answered. A large value for which there was no room at once is read again when there is.
    pub(super) async fn found(
        &self,
        queue: &Queue<Reader>,
        mut answer: Result<Option<Found>, NoRoom>,
    ) -> Result<Option<Found>, MemoryError> {
        loop {
            let NoRoom { key, bytes } = match answer {
                Ok(found) => return Ok(found),
                Err(no_room) => no_room,
            };
            let reserved = self.budget.reserve(Some(key.tenant), bytes, Purpose::Answer).await?;
            answer = queue.submit(Get { key, reserved }).await?;
        }
    }

    /// Runs `read` on the replica or the primary; it must see `min_version` of `tenant`, if given.
    pub(super) async fn read<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        tenant: TenantId,
        min_version: Option<Uuid>,
        read: impl Fn(Pool) -> F,
    ) -> Result<T, MemoryError> {
        if let Some(replica) = &self.replica
            && let Some(replica) = replica.for_reading(tenant, min_version).await
        {
            // Where a lock is in the way there, the primary need not have it.
            match replica.pool().reconnecting(tenant, &read).await {
                // A replica may cancel a statement that stands in the way of what it replays.
                Err(FairPoolError::Store(error)) if !matches!(*error, StoreError::TimedOut(_)) => {
                    tracing::debug!("the replica failed, the primary is asked: {error}");
                }
                read => return Ok(read?),
            }
        }
        self.read_primary(tenant, min_version, read).await
    }

    /// Runs `read` on the primary; it must see `min_version` of `tenant`, if given.
    pub(super) async fn read_primary<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        tenant: TenantId,
        min_version: Option<Uuid>,
        read: impl Fn(Pool) -> F,
    ) -> Result<T, MemoryError> {
        self.must_have(tenant, min_version).await?;
        Ok(self.pool.retrying(tenant, read).await?)
    }

    /// The primary has each version that was answered, unless a restore or a failover has lost it. Nothing can show it then.
    async fn must_have(
        &self,
        tenant: TenantId,
        min_version: Option<Uuid>,
    ) -> Result<(), MemoryError> {
        let Some(version) = min_version else { return Ok(()) };
        let has = |pool: Pool| async move { has_version(&pool, tenant, version).await };
        match self.lookups.retrying(tenant, has).await? {
            Some(true) => Ok(()),
            Some(false) => Err(MemoryError::VersionGone(version)),
            None => Err(MemoryError::VersionUnknown(version)),
        }
    }
}
