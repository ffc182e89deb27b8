//! POST /v1/dump

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::as_of::past_moment;
use super::error::ApiError;
use super::extract::{Json, MemoryReader};
use super::{App, page, splice};
use crate::domain::agent_id::AgentId;
use crate::domain::path::EntryPath;
use crate::domain::rfc3339;
use crate::store::dump::page as read;
use crate::store::scan::Range;
use crate::store::versions::Version;

const SIZE: page::Size = page::Size { default: 200, max: 500 };

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    limit: Option<i64>,
    cursor: Option<String>,
    as_of: Option<String>,
}

/// What surrounds the value of an entry.
#[derive(Serialize)]
struct Fields<'a> {
    path: &'a str,
    tags: &'a [String],
    importance: f32,
    searchable: bool,
    version_id: Uuid,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Rest {
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub(super) async fn dump(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let agent = AgentId::parse(&request.agent_id)?;
    let limit = SIZE.limit(request.limit)?;
    let after = request
        .cursor
        .as_deref()
        .map(|cursor| page::place(cursor, |place| EntryPath::parse(place).ok()))
        .transpose()?;
    let as_of = past_moment(&app, request.as_of.as_deref()).await?;
    let range = Range { tenant, agent: &agent, prefix: "", as_of };
    let after = after.as_ref().map(EntryPath::as_str);
    let page = read(&app.pool, &range, after, limit, page::MAX_BYTES).await?;
    let rest =
        Rest { count: page.versions.len(), next_cursor: page.rest.as_deref().map(page::cursor) };
    let items = page.versions.iter().map(|v| (v.value.as_deref().unwrap_or("null"), fields(v)));
    Ok(splice::answer(splice::list("entries", items, &rest)?))
}

fn fields(version: &Version) -> Fields<'_> {
    Fields {
        path: &version.path,
        tags: &version.tags,
        importance: version.importance,
        searchable: version.searchable,
        version_id: version.id,
        created_at: rfc3339(version.created_at),
        expires_at: version.expires_at.map(rfc3339),
    }
}
