//! POST /v1/admin/embeddings/requeue

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::page_size::NAMES;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::AdminRequest;
use crate::http::openapi::Refusals;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RequeueRequest)]
pub(crate) struct Request {
    /// The status of the jobs to requeue: `failed`.
    #[schema(pattern = "^failed$", example = "failed")]
    status: String,
    /// The maximum number of jobs, the oldest first. Defaults to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequeueAnswer)]
pub(crate) struct Response {
    ok: bool,
    /// How many jobs were requeued.
    requeued: u64,
}

/// Requeue failed embedding jobs
///
/// The administrator of a tenant requeues the jobs of that tenant.
#[utoipa::path(post, path = "/v1/admin/embeddings/requeue", operation_id = "requeue_embeddings", tag = "admin", request_body = Request,
    responses((status = 200, description = "The number of requeued jobs.", body = Response), Refusals))]
pub(crate) async fn requeue(
    State(app): State<App>,
    AdminRequest { by, request }: AdminRequest<Request>,
) -> Result<Answer<Response>, ApiError> {
    if request.status != "failed" {
        let given: String = request.status.chars().take(80).collect();
        let sentence =
            format!("status is {given:?}; only failed jobs can be queued again: send \"failed\"");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let limit = NAMES.limit(request.limit)? as i64;
    let requeued = app.tenancy.requeue_failed(by, None, Some(limit)).await?;
    Ok(Answer(Response { ok: true, requeued }))
}
