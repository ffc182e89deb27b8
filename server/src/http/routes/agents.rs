//! POST /v1/agents

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::Refusals;
use crate::memory::agents::AgentsRequest;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AgentsRequest)]
pub(crate) struct Request {
    /// At most this many; 1000 without it.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentsAnswer)]
pub(crate) struct Response {
    /// Sorted by id.
    agents: Vec<Agent>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Agent {
    id: String,
    /// Its live entries.
    memory_count: i64,
}

/// The agents that have memories
#[utoipa::path(post, path = "/v1/agents", tag = "memory", request_body = Option<Request>,
    responses((status = 200, description = "A page of agents.", body = Response), Refusals))]
pub(crate) async fn agents(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    request: Option<Json<Request>>,
) -> Result<Answer<Response>, ApiError> {
    let Json(request) = request.unwrap_or_else(|| Json(Request::default()));
    let Request { limit, cursor } = request;
    let page = app.memory.agents(tenant, AgentsRequest { limit, cursor }).await?;
    Ok(Answer(Response {
        agents: page
            .agents
            .into_iter()
            .map(|agent| Agent { id: agent.id, memory_count: agent.entries })
            .collect(),
        next_cursor: page.next_cursor,
    }))
}
