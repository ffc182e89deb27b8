//! POST /v1/admin/embeddings/requeue

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, Code};
use super::extract::Administered;
use super::{App, page};
use crate::store::embedding_jobs;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    status: String,
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    ok: bool,
    requeued: u64,
}

/// A tenant's administrator reaches the tenant's own jobs.
pub(super) async fn requeue(
    State(app): State<App>,
    Administered { by, request }: Administered<Request>,
) -> Result<Answer<Response>, ApiError> {
    if request.status != "failed" {
        let given: String = request.status.chars().take(80).collect();
        let sentence =
            format!("status is {given:?}; only failed jobs can be queued again: send \"failed\"");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let limit = page::NAMES.limit(request.limit)? as i64;
    let requeued = embedding_jobs::requeue_failed(&app.pool, by.bound_to(), Some(limit)).await?;
    Ok(Answer(Response { ok: true, requeued }))
}
