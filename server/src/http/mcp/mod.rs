//! MCP, the Model Context Protocol, over streamable HTTP without sessions: POST /mcp and /mcp/{agent_id}.
//!
//! The library speaks the protocol in all its versions. What is before it is what every route has: authentication, limits, the budget of
//! bytes, deadlines, logs. Tools call the use cases that the routes call.

mod prompt;
mod resources;
mod server;
mod shown;
mod tools;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use self::server::Server;
use crate::domain::memory::agent_id::AgentId;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Bearer, UnparsedJson};
use crate::http::response::held_body;
use crate::memory::MemoryError;
use crate::runtime::byte_budget::{Purpose, Reservation};
use crate::settings::{BodyLimit, McpSettings};

/// How many more times a message is in memory while it is parsed.
const COPIES: usize = 3;
/// Most members and items of a message in all: each costs much more memory than its bytes, and no tool takes so many.
const MAX_MEMBERS: usize = 4096;

/// POST /mcp: each tool is told the agent.
pub(super) async fn of_any_agent(
    State(app): State<App>,
    bearer: Bearer,
    message: UnparsedJson,
) -> Result<Response, ApiError> {
    answer(app, bearer, None, message).await
}

/// POST /`mcp/{agent_id}`: all tools work on that agent's memory.
pub(super) async fn of_one_agent(
    State(app): State<App>,
    bearer: Bearer,
    agent: Result<Path<String>, PathRejection>,
    message: UnparsedJson,
) -> Result<Response, ApiError> {
    let Path(agent) = agent.map_err(|rejection| {
        ApiError::new(Code::ValidationError, format!("the agent's id: {rejection}"))
    })?;
    let agent = AgentId::parse(&agent).map_err(MemoryError::from)?;
    answer(app, bearer, Some(agent), message).await
}

async fn answer(
    app: App,
    bearer: Bearer,
    agent: Option<AgentId>,
    UnparsedJson { head, body, reserved }: UnparsedJson,
) -> Result<Response, ApiError> {
    if !app.mcp.enabled {
        let off = "MCP is turned off on this server (ENABLE_MCP=false)";
        return Err(ApiError::new(Code::NotFound, off));
    }
    if members(&body) > MAX_MEMBERS {
        let sentence = format!("the message has more than {MAX_MEMBERS} members and items");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let owner = Some(bearer.0.tenant);
    let _parsed = app.budget.reserve(owner, COPIES * body.len(), Purpose::Body).await?;
    let config = config(&app.mcp, app.body_limit);
    let kept = Kept::default();
    kept.hold(reserved);
    let server = Server::new(app, bearer, agent, head.clone(), kept.clone());
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let response = service.handle(Request::from_parts(head, Body::from(body))).await;
    let (head, body) = response.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.map_err(|_| ApiError::internal())?;
    Ok(finished(head.status, head.headers, body, kept.take()))
}

fn config(settings: &McpSettings, BodyLimit(most): BodyLimit) -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(most)
        .with_allowed_hosts(settings.hosts.clone())
        .with_allowed_origins(settings.origins.clone())
        .enforce_origin_validation()
}

/// How many commas a JSON text has outside of its strings.
fn members(json: &[u8]) -> usize {
    let (mut in_string, mut is_escaped, mut commas) = (false, false, 0);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b',' if !in_string => commas += 1,
            _ => {}
        }
    }
    commas
}

/// The library's answer, whose bytes hold their share of the budget. What it refuses in plain text becomes an error like all others.
fn finished(
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    reserved: Reservation,
) -> Response {
    let is_json =
        headers.get(CONTENT_TYPE).is_some_and(|announced| announced == "application/json");
    if is_json || status.is_success() {
        return (status, headers, held_body::of(body, reserved)).into_response();
    }
    refusal(status, &String::from_utf8_lossy(&body)).into_response()
}

fn refusal(status: StatusCode, said: &str) -> ApiError {
    let remedy = match status {
        StatusCode::FORBIDDEN => {
            "; have an operator add it to MCP_ALLOWED_HOSTS or MCP_ALLOWED_ORIGINS"
        }
        // What is not announced as JSON does not come so far.
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "; send one JSON-RPC message",
        status if status.is_client_error() => "",
        _ => {
            tracing::error!("MCP failed: {said}");
            return ApiError::internal();
        }
    };
    let code =
        if status == StatusCode::FORBIDDEN { Code::Forbidden } else { Code::ValidationError };
    ApiError::new(code, format!("{said}{remedy}"))
}

/// Bytes of the budget that the request keeps until its answer is written.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Reservation>>);

impl Kept {
    /// Holds these as well.
    fn hold(&self, reserved: Reservation) {
        self.lock().merge(reserved);
    }

    /// All that is kept.
    fn take(&self) -> Reservation {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Reservation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_counted_outside_of_strings() {
        assert_eq!(members(br#"{"a":[1,2,"x,\",y"],"b":"\\",  "c":{}}"#), 4);
        assert_eq!(members(b"not, json"), 1);
    }
}
