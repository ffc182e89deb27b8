//! The HTTP API: routes, extractors, middleware, responses and the error envelope.

pub mod error;
pub mod extract;
pub mod middleware;
mod openapi;
mod response;
pub mod router;
mod routes;
pub mod state;
mod worker;

pub use self::router::{description, router, with_stack};
pub use self::state::{App, AppState};
pub use self::worker::worker_router;
