//! POST /v1/glob

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{Json, MemoryReader};
use super::{App, page};
use crate::domain::agent_id::AgentId;
use crate::domain::glob::Glob;
use crate::store::scan::live_paths;

/// Paths looked at by one statement.
const STEP: usize = 1000;
/// Statements of one request; one that has found less by then goes on with its cursor.
const MAX_STEPS: usize = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    pattern: String,
    limit: Option<i32>,
    cursor: Option<String>,
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
    let limit = usize::try_from(page::limit(request.limit)?).unwrap_or_default();
    let read = |place: &str| {
        let ours = place.starts_with(glob.literal()) && !place.contains('\0');
        ours.then(|| place.to_owned())
    };
    let mut after =
        request.cursor.as_deref().map(|cursor| page::place(cursor, read)).transpose()?;

    let mut paths = Vec::new();
    for _ in 0..MAX_STEPS {
        let prefix = glob.literal();
        let scanned =
            live_paths(&app.pool, tenant, &agent, prefix, after.as_deref(), STEP as i64).await?;
        let is_last = scanned.len() < STEP;
        after = scanned.last().cloned().or(after);
        paths.extend(scanned.into_iter().filter(|path| glob.matches(path)));
        // One path more than fits tells whether there is more.
        if paths.len() > limit {
            paths.truncate(limit);
            let next_cursor = paths.last().map(|last| page::cursor(last));
            return Ok(Answer(Response { paths, next_cursor }));
        }
        if is_last {
            return Ok(Answer(Response { paths, next_cursor: None }));
        }
    }
    Ok(Answer(Response { paths, next_cursor: after.as_deref().map(page::cursor) }))
}
