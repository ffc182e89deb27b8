//! POST /v1/glob

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::as_of::past_moment;
use super::error::ApiError;
use super::extract::{Json, MemoryReader};
use super::{App, page};
use crate::domain::agent_id::AgentId;
use crate::domain::glob::Glob;
use crate::store::scan::Range;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    pattern: String,
    limit: Option<i64>,
    cursor: Option<String>,
    as_of: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub(super) async fn glob(
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
    let found = range.find(&app.pool, after.as_deref(), limit, |path| glob.matches(path)).await?;
    Ok(Answer(Response {
        paths: found.shown.into_iter().map(|(path, _)| path).collect(),
        next_cursor: found.rest.as_deref().map(page::cursor),
    }))
}
