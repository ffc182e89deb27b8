//! Extractors of requests; what does not fit is an [`super::error::ApiError`].

mod administrator;
mod bearer;
mod idempotency;
mod json;
mod refuse;

pub use administrator::AdminRequest;
pub use bearer::{Bearer, MemoryReader, MemoryWriter, Searcher, bearer, token_matches};
pub use idempotency::IdempotencyHeader;
pub use json::{Json, MAX_BODY, object};
pub use refuse::refuse;
