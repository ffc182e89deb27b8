//! Use cases of memory, whatever the protocol: validate a request on an agent's entries, route it to primary or
//! replica, and answer in plain types.

pub mod agents;
mod as_of;
pub mod batch;
pub mod delete;
pub mod dump;
pub mod edit;
mod error;
pub mod get;
pub mod glob;
pub mod history;
pub mod list;
pub mod put;
mod quota;
mod reserve;
mod routing;
pub mod search;
pub mod subtree;
pub mod touch;
mod write;

pub use self::error::MemoryError;
pub use self::quota::Quota;
pub use self::write::NewVersion;
/// Bytes of values after which a page ends, whatever its limit: an answer holds at most one value more.
pub use crate::store::entries::get::MAX_BYTES;

use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::EntryPath;
use crate::domain::memory::usage::WriteLimits;
use crate::domain::{EntryKey, TenantId};
use crate::embedding::query_embeddings::{self, QueryEmbeddings};
use crate::group_commit::Backlog;
use crate::group_commit::queue::Queue;
use crate::group_commit::reads::Reader;
use crate::group_commit::writes::Writer;
use crate::runtime::byte_budget::ByteBudget;
use crate::runtime::fair_pool::FairPool;
use crate::runtime::replica::Replica;

/// The dependencies of the use cases.
#[derive(Debug)]
pub struct Memory {
    /// Connections to the primary for reads other than gets.
    pub pool: FairPool,
    /// Connections to the primary for look-ups of one row, which wait for no reads.
    pub lookups: FairPool,
    /// The queue of gets.
    pub reads: Queue<Reader>,
    /// The read replica, if there is one.
    pub replica: Option<Replica>,
    /// The queue of puts and deletes.
    pub writes: Queue<Writer>,
    /// Connections to the primary for writes that are committed by themselves: moves, deletes of subtrees, and touches.
    pub changes: FairPool,
    /// The quotas of what is written by them.
    pub write_limits: WriteLimits,
    /// Embeds queries for semantic search; `None` without an embedding provider.
    pub query_embeddings: Option<QueryEmbeddings>,
    /// The budget of bytes.
    pub budget: ByteBudget,
    /// Most bytes of a value.
    pub largest_value: usize,
    /// Searches of a day and tenant; `None` is without limit.
    pub searches_per_day: Option<i64>,
}

/// The load of the use cases.
#[derive(Debug, Clone)]
pub struct Load {
    /// Connections of the pool of reads.
    pub connections: u32,
    /// Idle ones among them.
    pub idle: usize,
    /// Backlogs, by the name of their queue.
    pub queues: Vec<(&'static str, Backlog)>,
}

impl Memory {
    /// The load at this moment.
    pub fn load(&self) -> Load {
        let mut queues = vec![
            (self.reads.name(), self.reads.backlog()),
            (self.writes.name(), self.writes.backlog()),
        ];
        let of_replica = self.replica.as_ref().map(Replica::gets);
        queues.extend(of_replica.map(|gets| (gets.name(), gets.backlog())));
        let queries = self.query_embeddings.as_ref();
        queues.extend(queries.map(|queries| (query_embeddings::QUEUE, queries.backlog())));
        let pool = self.pool.pool();
        Load { connections: pool.size(), idle: pool.num_idle(), queues }
    }
}

/// The key of the entry of `agent_id` at `path`, both validated.
fn entry_key(tenant: TenantId, agent_id: &str, path: &str) -> Result<EntryKey, MemoryError> {
    let agent = AgentId::parse(agent_id)?;
    Ok(EntryKey { tenant, agent, path: EntryPath::parse(path)? })
}
