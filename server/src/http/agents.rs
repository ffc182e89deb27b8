//! POST /v1/agents

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{Json, MemoryReader};
use super::{App, page};
use crate::domain::agent_id::AgentId;
use crate::store::agents;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Request {
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    agents: Vec<Agent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Agent {
    id: String,
    memory_count: i64,
}

pub(super) async fn agents(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    request: Option<Json<Request>>,
) -> Result<Answer<Response>, ApiError> {
    let Json(request) = request.unwrap_or_else(|| Json(Request::default()));
    let limit = page::NAMES.limit(request.limit)?;
    let after = request
        .cursor
        .as_deref()
        .map(|cursor| page::place(cursor, |place| AgentId::parse(place).ok()))
        .transpose()?;
    let after = after.as_ref().map(AgentId::as_str);
    let page = agents::page(&app.pool, tenant, after, limit).await?;
    Ok(Answer(Response {
        agents: page
            .agents
            .into_iter()
            .map(|agent| Agent { id: agent.id, memory_count: agent.entries })
            .collect(),
        next_cursor: page.rest.as_deref().map(page::cursor),
    }))
}
