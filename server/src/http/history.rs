//! POST /v1/history

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ApiError;
use super::extract::{Json, MemoryReader};
use super::{App, page, splice};
use crate::domain::agent_id::AgentId;
use crate::domain::path::EntryPath;
use crate::domain::{EntryKey, rfc3339};
use crate::store::versions::{self, Version};

const SIZE: page::Size = page::Size { default: 20, max: 100 };

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    path: String,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// What surrounds the value of a version.
#[derive(Serialize)]
struct Fields {
    version_id: Uuid,
    created_at: String,
    expires_at: Option<String>,
    deleted_at: Option<String>,
}

#[derive(Serialize)]
struct Rest {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub(super) async fn history(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let key = EntryKey {
        tenant,
        agent: AgentId::parse(&request.agent_id)?,
        path: EntryPath::parse(&request.path)?,
    };
    let limit = SIZE.limit(request.limit)?;
    let before = request
        .cursor
        .as_deref()
        .map(|cursor| page::place(cursor, |place| place.parse().ok().filter(|n: &i64| *n > 0)))
        .transpose()?;
    // One version more than fits tells whether there is more.
    let mut ids = versions::history(&app.pool, &key, before, limit + 1).await?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let read = versions::read(&app.pool, tenant, &ids, page::MAX_BYTES).await?;
    let last = read.versions.last().filter(|_| more || read.cut);
    let rest = Rest { next_cursor: last.map(|last| page::cursor(&last.number.to_string())) };
    let items = read.versions.iter().map(|version| (value(version), fields(version)));
    Ok(splice::answer(splice::list("versions", items, &rest)?))
}

fn value(version: &Version) -> &str {
    version.value.as_deref().unwrap_or("null")
}

fn fields(version: &Version) -> Fields {
    Fields {
        version_id: version.id,
        created_at: rfc3339(version.created_at),
        expires_at: version.expires_at.map(rfc3339),
        deleted_at: version.deleted_at.map(rfc3339),
    }
}
