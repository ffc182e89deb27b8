//! The router: all routes.

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get, post};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::mcp;
use super::observed::Observed;
use super::openapi;
use super::routes::{
    agents, batch, create_key, create_tenant, delete, docs, dump, glob, health, history, list,
    list_keys, list_tenants, metrics, move_subtree, put, requeue, revoke_key, root, search, touch,
    usage,
};
use super::state::App;

/// The description of the API, as /openapi.json answers it.
pub fn description() -> OpenApi {
    described().1
}

/// The routes that are described, and their description.
fn described() -> (Router<App>, OpenApi) {
    let routes = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(put::put))
        .routes(routes!(super::routes::get::get))
        .routes(routes!(delete::delete))
        .routes(routes!(move_subtree::move_subtree))
        .routes(routes!(touch::touch))
        .routes(routes!(batch::batch))
        .routes(routes!(history::history))
        .routes(routes!(list::list))
        .routes(routes!(glob::glob))
        .routes(routes!(agents::agents))
        .routes(routes!(dump::dump))
        .routes(routes!(search::search))
        .routes(routes!(create_key::create_key))
        .routes(routes!(list_keys::list_keys))
        .routes(routes!(revoke_key::revoke_key))
        .routes(routes!(create_tenant::create_tenant))
        .routes(routes!(list_tenants::list_tenants))
        .routes(routes!(usage::usage))
        .routes(routes!(requeue::requeue))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz));
    let (routes, mut description) = routes.split_for_parts();
    openapi::add_headers(&mut description);
    (routes, description)
}

/// All routes, and what surrounds them.
pub fn router(app: App) -> Observed {
    let (routes, description) = described();
    let mut known: Vec<String> = description.paths.paths.keys().cloned().collect();
    known.extend(["/docs", "/mcp", "/openapi.json"].map(str::to_owned));
    let mut routes = routes
        .route("/", fixed(root::answer(&description.info, app.body_limit.0)))
        .route("/docs", get(docs::docs))
        .route("/mcp", post(mcp::of_any_agent))
        .route("/mcp/{agent_id}", post(mcp::of_one_agent))
        .route("/openapi.json", fixed(description.to_json().map(Bytes::from)));
    if app.metrics_access.token().is_some() || app.metrics_access.is_on() && app.monitoring_on_port
    {
        routes = routes.route("/metrics", get(metrics::metrics));
    }
    Observed::of_api(routes.with_state(app.clone()), known, app)
}

/// A route with one JSON text for all: an answer that is not taken costs no memory.
fn fixed<S: Clone + Send + Sync + 'static>(
    json: Result<Bytes, serde_json::Error>,
) -> MethodRouter<S> {
    let json = json.map_err(|_| ApiError::internal());
    get(async move || json.clone().map(|json| ([(CONTENT_TYPE, "application/json")], json)))
}
