//! The HTTP API: routes, extractors, middleware, responses and the error envelope.

pub mod error;
pub mod extract;
mod mcp;
pub mod middleware;
mod observed;
mod openapi;
mod operations;
mod response;
pub mod router;
mod routes;
pub mod state;

pub use self::middleware::observe::Observer;
pub use self::observed::Observed;
pub use self::operations::{WorkerState, operations_router, worker_router};
pub use self::router::{description, router};
pub(crate) use self::routes::list_tenants::ListedTenant;
pub(crate) use self::routes::usage::Usage;
pub use self::state::{App, AppState};
