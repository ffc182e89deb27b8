//! Extractors of requests; what does not fit is an [`super::error::ApiError`].

mod administrator;
mod bearer;
mod body;
mod fields;
mod idempotency;
mod json;
mod refuse;
mod scraper;

pub use administrator::AdminRequest;
pub use bearer::{Bearer, MemoryReader, MemoryWriter, Searcher};
pub use fields::{Fields, Part, object};
pub use idempotency::{IdempotencyHeader, NoIdempotencyHeader};
pub use json::{Json, KeptJson, UnparsedJson};
pub use refuse::Gatekeeper;
pub use scraper::{Measured, Scraper};
