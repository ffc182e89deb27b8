//! What answers the requests of connections.

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tower::Service as _;

/// Answers the requests of connections.
pub trait RequestHandler: Clone + Send + Sync + 'static {
    /// Answers one.
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send;
}

impl RequestHandler for Router {
    async fn handle(&self, request: Request) -> Response {
        let Ok(response) = self.clone().call(request).await;
        response
    }
}
