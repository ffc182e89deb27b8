//! Errors of the use cases, as sentences for the client.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::MAX_BYTES;
use super::batch::MAX_OPERATIONS;
use super::edit::EditError;
use super::quota::Quota;
use super::search::MAX_QUERY;
use super::subtree::LONGEST;
use crate::domain::cursor::InvalidCursor;
use crate::domain::memory::agent_id::InvalidAgentId;
use crate::domain::memory::filter::InvalidFilter;
use crate::domain::memory::glob::InvalidGlob;
use crate::domain::memory::path::{InvalidPath, MAX_SEGMENTS};
use crate::domain::memory::subtree::{MAX_BYTES as MAX_MOVED, MAX_ENTRIES, Overlap};
use crate::domain::memory::tags::InvalidTags;
use crate::domain::memory::value::InvalidValue;
use crate::domain::page_size::InvalidLimit;
use crate::domain::rfc3339;
use crate::embedding::query_embeddings::QueryEmbeddingError;
use crate::group_commit::BatchError;
use crate::runtime::byte_budget::BudgetSpent;
use crate::runtime::fair_pool::FairPoolError;
use crate::store::StoreError;
use crate::store::connection::pool::READ_TIMEOUT;
use crate::store::entries::newest::MAX_SORTED;
use crate::store::search::{MAX_WRITTEN, MAX_WRITTEN_BYTES};

/// Why a use case failed. Says what is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The agent's id is invalid.
    #[error(transparent)]
    AgentId(#[from] InvalidAgentId),
    /// The path, or the path prefix, is invalid.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// The pattern is invalid.
    #[error(transparent)]
    Glob(#[from] InvalidGlob),
    /// The value is invalid.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// The tags of an entry are invalid.
    #[error(transparent)]
    Tags(#[from] InvalidTags),
    /// The tags of a search are invalid.
    #[error("tags_any: {0}")]
    TagsAny(#[source] InvalidTags),
    /// The limit of a page is out of range.
    #[error(transparent)]
    Limit(#[from] InvalidLimit),
    /// The importance is out of range.
    #[error("importance is {0}; it must be between 0 and 1")]
    Importance(f32),
    /// The time to live is out of range.
    #[error("ttl_seconds is {0}; it must be between 1 and {max} (68 years)", max = i32::MAX)]
    TtlSeconds(i64),
    /// The query is empty or too long.
    #[error("query has {0} characters; it must have 1 to {MAX_QUERY}")]
    Query(usize),
    /// The cursor is of another request, or invalid.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The moment to read at is invalid.
    #[error(
        "as_of is {0:?}; it must be a moment with its offset, such as 2026-01-31T12:00:00Z (RFC 3339)"
    )]
    AsOf(String),
    /// The moment to read at is in the future.
    #[error("as_of is {}, which is in the future; give a time up to now, {}", rfc3339(*.as_of), rfc3339(*.now))]
    AsOfInFuture {
        /// The moment.
        as_of: Timestamp,
        /// The database's present.
        now: Timestamp,
    },
    /// A list that is to be too deep, or not deep at all.
    #[error("depth is {0}; it must be between 1 and {MAX_SEGMENTS}")]
    Depth(i64),
    /// A deep list of the past.
    #[error(
        "the past is listed one directory at a time; leave depth out, or give as_of to /v1/glob with a pattern such as /notes/**"
    )]
    DepthOfPast,
    /// The filter is invalid.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// The newest entries of the past.
    #[error("the past is dumped by path alone; leave order out, or as_of")]
    NewestOfPast,
    /// Too many entries to find the newest among.
    #[error(
        "the newest entries are looked for among at most {MAX_SORTED}, and here are more; give a prefix that has fewer, or leave order out"
    )]
    TooManyToOrder,
    /// A search of the past after which too much was written.
    #[error(
        "a search of the past looks at no more than {MAX_WRITTEN} entries that were written or deleted after as_of, and at {} MiB of what they were, and here are more; give a path_prefix that has fewer, or a later as_of",
        MAX_WRITTEN_BYTES >> 20
    )]
    TooMuchSince,
    /// A get of the past within a batch.
    #[error("a batch reads what is there now; give as_of to /v1/get")]
    AsOfInBatch,
    /// A batch that is empty or too large.
    #[error("operations has {0} items; it must have between 1 and {MAX_OPERATIONS}")]
    Operations(usize),
    /// One operation of an atomic batch failed, so that none was done.
    #[error("operations[{index}]: {error}")]
    Operation {
        /// Its index, from 0.
        index: usize,
        /// Its error.
        #[source]
        error: Box<Self>,
    },
    /// The values that a batch reads are too large for one answer.
    #[error(
        "the values of this batch are more than {} MiB; get the rest by another request",
        MAX_BYTES >> 20
    )]
    BatchTooLarge,
    /// The entry is not what the change expected.
    #[error("{}", conflict(*.current))]
    Conflict {
        /// The live version there is.
        current: Option<Uuid>,
    },
    /// A move between paths of which one lies within the other.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// A move of nothing.
    #[error("there is nothing to move: no entry is at {0:?} or below it")]
    NothingToMove(String),
    /// A live entry is where a subtree is to be moved to.
    #[error(
        "there is an entry at {0:?} already; nothing was moved; move to another path, or send \"overwrite\": true to replace the entries that are in the way"
    )]
    DestinationExists(String),
    /// A subtree has too many entries to be moved or deleted at once.
    #[error("{}", too_many(*.entries, *.or_more))]
    TooManyEntries {
        /// The entries.
        entries: i64,
        /// Whether there may be more.
        or_more: bool,
    },
    /// A subtree has too large values to be moved at once.
    #[error(
        "the values at the path and below it have more than {} MiB; at most {} MiB are moved at once; nothing was moved; move the directories below it one by one",
        bytes_over(*.0), MAX_MOVED >> 20
    )]
    TooManyBytes(i64),
    /// A subtree takes too long.
    #[error(
        "this takes longer than {} s, as moves of very many searchable words do; nothing was done; take the directories below it one by one",
        LONGEST.as_secs()
    )]
    TooSlow,
    /// A precondition of one entry, for a subtree.
    #[error("if_version and if_sha256 are of one entry; leave them out with \"recursive\": true")]
    ConditionOfSubtree,
    /// The text cannot be edited so.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The version that a read must see is nowhere.
    #[error(
        "min_version {0} is not there: a restore or a failover has lost that write, or it is another tenant's; write again what must not be lost, and read without it"
    )]
    VersionGone(Uuid),
    /// The version that a read must see is not there yet.
    #[error(
        "min_version {0} is not there, and the database takes no writes at this moment, so it may be a standby that is behind; try again"
    )]
    VersionUnknown(Uuid),
    /// The idempotency key belongs to another request.
    #[error(
        "this Idempotency-Key was already used with a different request; give each request its own key"
    )]
    KeyReused,
    /// The request does not fit under a quota of the tenant.
    #[error("{}", .0.refusal())]
    QuotaUsedUp(Quota),
    /// A semantic search without an embedding provider.
    #[error(
        "this server has no embeddings for semantic search; leave mode out or send \"text\" for full-text search, or have an operator configure an embedding provider"
    )]
    EmbeddingsNotConfigured,
    /// A semantic search whose query cannot be embedded now.
    #[error(
        "semantic search is not possible now: {reason}; try again later, or leave mode out for full-text search meanwhile"
    )]
    SemanticSearchUnavailable {
        /// The reason.
        #[source]
        reason: QueryEmbeddingError,
        /// How much later a retry may succeed.
        after: Duration,
    },
    /// Too many reads of the tenant at once.
    #[error(
        "too many reads of this tenant wait for the database; nothing was done; try again later, with fewer at once"
    )]
    Busy,
    /// Too many writes of the tenant at once that are committed by themselves.
    #[error(
        "too many moves, deletes of subtrees and touches of this tenant wait for the database; nothing was done; try again later, with fewer at once"
    )]
    TooManyChanges,
    /// A read took too long, which may pass.
    #[error(
        "the database did not answer within {} s; ask for less at once by a lower limit or a longer prefix, or try again",
        READ_TIMEOUT.as_secs()
    )]
    TimedOut,
    /// A search that took too long.
    #[error(
        "this search takes longer than {} s; narrow path_prefix, or search for fewer words",
        READ_TIMEOUT.as_secs()
    )]
    SearchTooDear,
    /// A queued request failed.
    #[error(transparent)]
    GroupCommit(#[from] BatchError),
    /// There is no room in memory for what it reads.
    #[error(transparent)]
    BudgetSpent(#[from] BudgetSpent),
    /// The database failed; shared, since many may wait for the same.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// An inconsistent result: a fault of the server.
    #[error("the answer is not of the request")]
    Mismatched,
}

impl From<FairPoolError> for MemoryError {
    fn from(error: FairPoolError) -> Self {
        match error {
            FairPoolError::Busy => Self::Busy,
            FairPoolError::Store(error) => error.into(),
        }
    }
}

impl MemoryError {
    /// The error of a write that is committed by itself.
    pub(super) fn of_write(error: FairPoolError) -> Self {
        match error {
            FairPoolError::Busy => Self::TooManyChanges,
            FairPoolError::Store(error) => {
                let answer = BatchError::from(&*error);
                match answer {
                    BatchError::Busy => {}
                    // It may be tried once more.
                    BatchError::Unavailable { .. } => {
                        tracing::warn!("connection lost during a move, delete or touch: {error}");
                    }
                    _ => {
                        tracing::error!("a move, a delete of a subtree or a touch failed: {error}");
                    }
                }
                Self::GroupCommit(answer)
            }
        }
    }
}

impl From<Arc<StoreError>> for MemoryError {
    fn from(error: Arc<StoreError>) -> Self {
        if matches!(*error, StoreError::TimedOut(_)) { Self::TimedOut } else { Self::Store(error) }
    }
}

fn too_many(entries: i64, or_more: bool) -> String {
    let at_least = if or_more { "at least " } else { "" };
    format!(
        "{at_least}{entries} entries are at the path and below it; at most {MAX_ENTRIES} are moved or deleted at once; nothing was done; take the directories below it one by one"
    )
}

/// Whole MiB that so many bytes are more than.
fn bytes_over(bytes: i64) -> i64 {
    (bytes - 1) >> 20
}

fn conflict(current: Option<Uuid>) -> String {
    match current {
        Some(id) => format!(
            "the entry's latest version is {id}, not the one of if_version or if_sha256; nothing was written"
        ),
        None => {
            "the entry does not exist, and if_version or if_sha256 expects one; nothing was written"
                .to_owned()
        }
    }
}
