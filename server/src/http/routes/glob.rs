//! POST /v1/glob

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::as_of::past_moment;
use super::page;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::glob::Glob;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::Refusals;
use crate::runtime::replica;
use crate::store::entries::scan::Range;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = GlobRequest)]
pub(crate) struct Request {
    /// The agent whose memory it is.
    #[schema(min_length = 1, max_length = 128)]
    agent_id: String,
    /// `*` and `?` stay within a segment, `**` crosses segments, `[a-z]` is a class, `\\` takes the next character as it is.
    #[schema(min_length = 1, max_length = 512, pattern = "^/", example = "/notes/**")]
    pattern: String,
    /// At most this many; 1000 without it.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Read as it was at this moment (RFC 3339).
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// See at least this version, and all that was committed before it: the `version_id` of a put or delete. It matters
    /// where reads may go to a replica.
    min_version: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GlobAnswer)]
pub(crate) struct Response {
    /// Sorted.
    paths: Vec<String>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The paths that fit a pattern
#[utoipa::path(post, path = "/v1/glob", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of paths; it may be empty and not the last.", body = Response), Refusals))]
pub(crate) async fn glob(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let agent = AgentId::parse(&request.agent_id)?;
    let glob = Glob::parse(&request.pattern)?;
    let limit = page::NAMES.limit(request.limit)?;
    let read = |place: &str| {
        let ours = place.starts_with(glob.literal()) && !place.contains('\0');
        ours.then(|| place.to_owned())
    };
    let after = request.cursor.as_deref().map(|cursor| page::place(cursor, read)).transpose()?;
    let as_of = past_moment(&app, request.as_of.as_deref()).await?;
    let range = Range { tenant, agent: &agent, prefix: glob.literal(), as_of };
    let (range, after, glob) = (&range, after.as_deref(), &glob);
    let read = |pool: PgPool| async move {
        range.find(&pool, after, limit, |path| glob.matches(path)).await
    };
    // The past is asked of the primary, whose clock dates the versions.
    let replica = app.replica.as_ref().filter(|_| as_of.is_none());
    let found = replica::read(replica, &app.pool, tenant, request.min_version, read).await?;
    Ok(Answer(Response {
        paths: found.shown.into_iter().map(|(path, _)| path).collect(),
        next_cursor: found.rest.as_deref().map(page::cursor),
    }))
}
