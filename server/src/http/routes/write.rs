//! What puts, deletes and batches share: conditions on the way in, refusals on the way out.

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::quota;
use crate::domain::memory::change::{Change, Expected, Outcome};
use crate::http::App;
use crate::http::error::{ApiError, Code};

/// The field `if_version`: a version, or null for "there must be none".
pub(crate) fn if_version<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Expected>, D::Error> {
    let expected = Option::<Uuid>::deserialize(deserializer)?;
    Ok(Some(expected.map_or(Expected::Absent, Expected::Version)))
}

/// Commits one change.
pub(crate) async fn write(app: &App, change: Change) -> Result<Outcome, ApiError> {
    let mut written = app.writes.submit(change.into()).await?;
    let done = written.pop().ok_or_else(ApiError::internal)??;
    refusal(done.outcome).map_or(Ok(done.outcome), Err)
}

/// The error that tells of an outcome by which nothing was done.
pub(crate) fn refusal(outcome: Outcome) -> Option<ApiError> {
    match outcome {
        Outcome::Written { .. } | Outcome::NothingToDelete | Outcome::Read(_) => None,
        Outcome::Conflict { current } => Some(ApiError::conflict(current)),
        Outcome::KeyReused => Some(ApiError::new(
            Code::IdempotencyKeyMismatch,
            "this Idempotency-Key came before with another request; give each request a key of its own",
        )),
        Outcome::QuotaExceeded => {
            Some(quota::used_up(Code::QuotaWritesPerDay, "writes", "WRITE_QUOTA_PER_DAY"))
        }
        // Only ever beside the refusal that is its reason.
        Outcome::Undone => Some(ApiError::internal()),
    }
}
