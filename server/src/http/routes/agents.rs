//! POST /v1/agents

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::Refusals;
use crate::http::response::raw_json;
use crate::memory::agents::AgentsRequest;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AgentsRequest)]
pub(crate) struct Request {
    /// The maximum number of results. Defaults to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentsAnswer)]
pub(crate) struct Answer {
    /// Agents, sorted by id.
    agents: Vec<Agent>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Agent {
    id: String,
    /// The number of its live entries.
    memory_count: i64,
}

/// List the agents that have entries
#[utoipa::path(post, path = "/v1/agents", operation_id = "list_agents", tag = "memory", request_body = Option<Request>,
    responses((status = 200, description = "A page of agents.", body = Answer), Refusals))]
pub(crate) async fn agents(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    request: Option<Json<Request>>,
) -> Result<Response, ApiError> {
    let Json(request) = request.unwrap_or_else(|| Json(Request::default()));
    let Request { limit, cursor } = request;
    let page = app.memory.agents(tenant, AgentsRequest { limit, cursor }).await?;
    let agents = page.agents.into_iter();
    let agents = agents.map(|agent| Agent { id: agent.id, memory_count: agent.entries }).collect();
    raw_json::written(&Answer { agents, next_cursor: page.next_cursor }, page.reserved)
}
