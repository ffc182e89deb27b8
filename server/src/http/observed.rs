//! What answers requests: the routes, and what surrounds every one of them.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::http::{Method, Uri};
use axum::middleware::map_request;
use axum::response::Response;
use futures::future::BoxFuture;
use tower::Service as _;

use super::error::{ApiError, Code};
use super::middleware::observe::{Observer, RequestContext, observe};
use super::routes::{get, put};
use super::state::App;
use crate::domain::nearest_name::nearest;
use crate::listen::RequestHandler;

/// Routes, each wrapped in the error envelope, request ids, a deadline, logs and metrics; a panic ends its request alone.
/// Benchmarks wrap their echo route in the same. Clones share them.
#[derive(Clone)]
pub struct Observed(Arc<Inner>);

struct Inner {
    routes: Router,
    frequent: Vec<Frequent>,
    observer: Observer,
}

/// A route that most requests are for. It is found without the router, and its handler called without the layers by which the
/// router calls one, which cost more than the handler does. All that surrounds it is the same.
struct Frequent {
    path: &'static str,
    call: Box<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>,
}

const GET: &str = "/v1/get";
const PUT: &str = "/v1/put";

impl Observed {
    /// Wraps `routes`.
    pub fn new(routes: Router, observer: impl Into<Observer>) -> Self {
        Self::wrap(routes, Vec::new(), Vec::new(), observer.into())
    }

    /// Wraps the routes of the API, which have the paths `known`.
    pub(super) fn of_api(routes: Router, known: Vec<String>, app: App) -> Self {
        let observer = app.observer.clone();
        let frequent =
            vec![Frequent::new(GET, get::get, app.clone()), Frequent::new(PUT, put::put, app)];
        Self::wrap(routes, known, frequent, observer)
    }

    fn wrap(
        routes: Router,
        known: Vec<String>,
        frequent: Vec<Frequent>,
        observer: Observer,
    ) -> Self {
        let known: Arc<[String]> = known.into();
        let routes = routes
            .fallback(move |uri: Uri| {
                ready(ApiError::new(Code::NotFound, no_such_route(uri.path(), &known)))
            })
            .method_not_allowed_fallback(async || {
                ApiError::new(
                    Code::MethodNotAllowed,
                    "this route does not take this method; see the Allow header",
                )
            })
            .layer(map_request(|request: Request| ready(matched(request))));
        Self(Arc::new(Inner { routes, frequent, observer }))
    }
}

impl RequestHandler for Observed {
    async fn handle(&self, request: Request) -> Response {
        let frequent = self.0.frequent.iter().find(|route| route.takes(&request));
        let answer = |request| match frequent {
            Some(route) => (route.call)(request),
            None => routed(self.0.routes.clone(), request),
        };
        observe(&self.0.observer, frequent.map(|route| route.path), request, answer).await
    }
}

impl Frequent {
    fn new<T, S, H>(path: &'static str, handler: H, state: S) -> Self
    where
        S: Clone + Send + Sync + 'static,
        H: Handler<T, S, Future = BoxFuture<'static, Response>>,
    {
        let call = move |request| handler.clone().call(request, state.clone());
        Self { path, call: Box::new(call) }
    }

    fn takes(&self, request: &Request) -> bool {
        request.method() == Method::POST && request.uri().path() == self.path
    }
}

/// The answer of the route that the router finds.
fn routed(mut routes: Router, request: Request) -> BoxFuture<'static, Response> {
    let answer = routes.call(request);
    Box::pin(async move {
        let Ok(response) = answer.await;
        response
    })
}

/// What is said of a `path` that no route has; with the route that may be meant, where those of the API are `known`.
fn no_such_route(path: &str, known: &[String]) -> String {
    let names: Vec<&str> = known.iter().map(|route| last_part(route)).collect();
    let meant = nearest(last_part(path), &names);
    let meant = meant.and_then(|name| known.iter().find(|route| last_part(route) == name));
    match meant {
        Some(route) => format!("no such route; did you mean {route}? GET /docs shows all routes"),
        None if known.is_empty() => "no such route".to_owned(),
        None => "no such route; GET /docs shows all routes".to_owned(),
    }
}

fn last_part(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

/// Tells the observer which route the router has found.
fn matched(request: Request) -> Request {
    let extensions = request.extensions();
    if let (Some(route), Some(context)) =
        (extensions.get::<MatchedPath>(), extensions.get::<RequestContext>())
    {
        context.matched(route.clone());
    }
    request
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::http::header::{ALLOW, CONTENT_LENGTH};
    use axum::routing;
    use serde_json::Value;

    use super::*;
    use crate::http::description;
    use crate::runtime::metrics::Metrics;

    #[test]
    fn frequent_routes_are_routes_of_the_router() {
        let description = description();
        for route in [GET, PUT] {
            let path = description.paths.paths.get(route);
            assert!(path.is_some_and(|path| path.post.is_some()), "{route}");
        }
    }

    #[tokio::test]
    async fn what_is_routed_is_surrounded_and_so_are_panics_and_what_is_no_route() {
        for (method, path, status, code, route) in [
            (Method::POST, "/panics/1", 500, "INTERNAL", "/panics/{id}"),
            (Method::GET, "/panics/1", 405, "METHOD_NOT_ALLOWED", "/panics/{id}"),
            (Method::POST, "/elsewhere", 404, "NOT_FOUND", "unknown"),
            // The router has no such route.
            (Method::POST, "/frequent", 500, "INTERNAL", "/frequent"),
            (Method::GET, "/frequent", 404, "NOT_FOUND", "unknown"),
            // Frequent at the API alone.
            (Method::POST, GET, 404, "NOT_FOUND", "unknown"),
        ] {
            let metrics = Metrics::new().unwrap();
            let panics = async || -> StatusCode { panic!("of a route") };
            let routes = Router::new().route("/panics/{id}", routing::post(panics));
            let frequent = vec![Frequent::new("/frequent", panics, ())];
            let routes = Observed::wrap(routes, Vec::new(), frequent, metrics.clone().into());
            let request = Request::builder().method(&method).uri(path);
            let request = request.header("x-request-id", "mine").body(Body::empty()).unwrap();
            let answer = routes.handle(request).await;
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()["x-request-id"], "mine");
            assert_eq!(answer.headers().contains_key(ALLOW), status == 405);
            // hyper announces the length of the body that it gets.
            assert!(!answer.headers().contains_key(CONTENT_LENGTH));
            let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["code"], code);
            assert_eq!(body["error"]["request_id"], "mine");
            let counted = format!(
                r#"agentfs_http_requests_total{{method="{method}",route="{route}",status="{status}"}} 1"#
            );
            let metrics = metrics.render().unwrap();
            assert!(metrics.contains(&counted), "{metrics}");
        }
    }
}
