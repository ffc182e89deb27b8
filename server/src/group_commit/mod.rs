//! Group commit: coalesces concurrent requests, so that writes share a commit, reads a statement, and queries
//! a request to the provider. Bounded queues give backpressure.

mod backlog;
mod fair_queue;
pub mod leases;
pub mod queries;
pub mod queue;
pub mod reads;
pub mod writes;

pub use self::backlog::Backlog;

use crate::store::StoreError;

/// Why a batched request has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BatchError {
    /// The database cannot be reached, or its tables are being replaced.
    #[error("the database cannot be reached")]
    Unavailable {
        /// Whether the statement had been sent, so that a write may have happened.
        unknown: bool,
    },
    /// The database takes no writes at this moment. Nothing was written.
    #[error("the database is read-only")]
    ReadOnly,
    /// The database has run out of disk, memory or another resource. Nothing was written.
    #[error("the database has run out of a resource")]
    Exhausted,
    /// Other writers held the same rows for too long. Nothing was written.
    #[error("the entry is being written by too many at once")]
    Busy,
    /// The database refused this request's data. Nothing was written.
    #[error("the database refused the data")]
    Refused,
    /// The database failed in a way that is logged and that the client cannot fix.
    #[error("the request failed")]
    Failed,
}

impl From<&StoreError> for BatchError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unreachable(_) | StoreError::Replaced(_) => {
                Self::Unavailable { unknown: false }
            }
            StoreError::ReadOnly(_) => Self::ReadOnly,
            StoreError::Exhausted(_) => Self::Exhausted,
            StoreError::Contended(_) => Self::Busy,
            StoreError::Refused(_) => Self::Refused,
            StoreError::TimedOut(_) | StoreError::Failed(_) => Self::Failed,
        }
    }
}
