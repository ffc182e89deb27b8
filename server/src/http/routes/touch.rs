//! POST /v1/touch

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryWriter};
use crate::http::openapi::Refusals;
use crate::memory::touch::TouchRequest;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TouchRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The path of the entry. Repeated slashes collapse, and a trailing slash is dropped.
    #[schema(min_length = 2, pattern = "^/", example = "/session/7")]
    path: String,
    /// Seconds from now until the value expires; null for never.
    #[serde(deserialize_with = "given")]
    #[schema(minimum = 1, maximum = 2_147_483_647, required = true)]
    ttl_seconds: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TouchAnswer)]
pub(crate) struct Response {
    ok: bool,
    /// False if there is no live entry; then nothing was done.
    touched: bool,
    /// The latest version, which stays the same.
    version_id: Option<Uuid>,
    /// When it expires; null if never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Set when an entry expires, without a new version
#[utoipa::path(post, path = "/v1/touch", operation_id = "touch_entry", tag = "memory", request_body = Request,
    responses((status = 200, description = "Committed, or there is no live entry.", body = Response), Refusals))]
pub(crate) async fn touch(
    State(app): State<App>,
    MemoryWriter(by): MemoryWriter,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { agent_id, path, ttl_seconds } = request;
    let request = TouchRequest { agent_id, path, ttl_seconds };
    let touched = app.memory.touch(by.tenant, request).await?;
    Ok(Answer(Response {
        ok: true,
        touched: touched.is_some(),
        version_id: touched.map(|(version, _)| version),
        expires_at: touched.and_then(|(_, at)| at).map(rfc3339),
    }))
}

/// A field that may be null, and must be there.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::deserialize(deserializer)
}
