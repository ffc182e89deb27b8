//! Use cases of memory: what may be asked of an agent's entries, by whatever protocol. Checks what is given, chooses
//! where it is read, and says in plain types what was found or done.

pub mod agents;
mod as_of;
pub mod batch;
mod cursor;
pub mod delete;
pub mod dump;
mod error;
pub mod get;
pub mod glob;
pub mod history;
pub mod list;
pub mod put;
mod quota;
mod routing;
pub mod search;
mod write;

pub use self::error::MemoryError;
pub use self::quota::Quota;
pub use self::write::NewVersion;
/// Bytes of values after which a page ends, whatever its limit: an answer holds at most one value more.
pub use crate::store::entries::get::MAX_BYTES;

use sqlx::postgres::PgPool;

use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::EntryPath;
use crate::domain::{EntryKey, TenantId};
use crate::embedding::query_embeddings::QueryEmbeddings;
use crate::group_commit::Backlog;
use crate::group_commit::queue::Queue;
use crate::group_commit::reads::Reader;
use crate::group_commit::writes::Writer;
use crate::runtime::replica::Replica;

/// What the use cases work with.
#[derive(Debug)]
pub struct Memory {
    /// Connections to the primary, for all but gets and writes.
    pub pool: PgPool,
    /// Where gets go.
    pub reads: Queue<Reader>,
    /// A replica that reads may go to.
    pub replica: Option<Replica>,
    /// Where puts and deletes go.
    pub writes: Queue<Writer>,
    /// Makes vectors of queries; `None` where no embeddings are configured.
    pub query_embeddings: Option<QueryEmbeddings>,
    /// Searches of a day and tenant; `None` is without limit.
    pub searches_per_day: Option<i64>,
}

/// How much the use cases have to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections of the pool.
    pub connections: u32,
    /// Those of them that do nothing.
    pub idle: usize,
    /// What waits, by the name of its queue.
    pub queues: [(&'static str, Backlog); 2],
}

impl Memory {
    /// How much there is to do at this moment.
    pub fn load(&self) -> Load {
        Load {
            connections: self.pool.size(),
            idle: self.pool.num_idle(),
            queues: [("reads", self.reads.backlog()), ("writes", self.writes.backlog())],
        }
    }
}

/// The entry of `agent_id` at `path`, both checked.
fn entry_key(tenant: TenantId, agent_id: &str, path: &str) -> Result<EntryKey, MemoryError> {
    let agent = AgentId::parse(agent_id)?;
    Ok(EntryKey { tenant, agent, path: EntryPath::parse(path)? })
}
