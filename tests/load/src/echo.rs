//! The server's HTTP stack around a route that does next to nothing: what HTTP itself costs, logs and metrics included.

use std::net::Ipv4Addr;

use agentfs_server::http::Observed;
use agentfs_server::http::extract::Json;
use agentfs_server::listen::{self, Limits};
use agentfs_server::runtime::byte_budget::ByteBudget;
use agentfs_server::runtime::logging;
use agentfs_server::runtime::metrics::Metrics;
use agentfs_server::settings::{BodyLimit, LogSettings, UnknownFields};
use anyhow::Context as _;
use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Request {
    /// Known and not looked at: a field that a route does not know is refused.
    #[serde(rename = "agent_id")]
    _agent_id: String,
    path: String,
    value: Option<Box<RawValue>>,
}

#[derive(Clone)]
struct State {
    budget: ByteBudget,
}

impl FromRef<State> for ByteBudget {
    fn from_ref(state: &State) -> Self {
        state.budget.clone()
    }
}

impl FromRef<State> for BodyLimit {
    fn from_ref(_: &State) -> Self {
        Self::default()
    }
}

impl FromRef<State> for UnknownFields {
    fn from_ref(_: &State) -> Self {
        Self::Refuse
    }
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    path: String,
    bytes: usize,
}

async fn echo(Json(Request { path, value, .. }): Json<Request>) -> axum::Json<Answer> {
    let bytes = value.map_or(0, |value| value.get().len());
    axum::Json(Answer { ok: true, path, bytes })
}

/// Serves POST /echo on the loopback at PORT until it is ended.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _logs =
        logging::start(LogSettings::from_env(LogSettings::SERVING)?).map_err(anyhow::Error::msg)?;
    let port = std::env::var("PORT").context("PORT is not set; set it to a free port")?;
    let port: u16 = port.parse().context("PORT must be a number from 1 to 65535")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let routes = Router::new().route("/echo", post(echo)).route("/readyz", get(async || "ready"));
    let metrics = Metrics::new()?;
    let budget = ByteBudget::new(u64::MAX >> 1, metrics.clone());
    let routes = Observed::new(routes.with_state(State { budget }), metrics.clone());
    let open = metrics.connections();
    listen::serve(listener, routes, Limits::default(), open, std::future::pending()).await;
    Ok(())
}
