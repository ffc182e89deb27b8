//! Taking requests apart; what does not fit is an [`super::error::ApiError`].

mod administrator;
mod bearer;
mod idempotency;
mod json;

pub use administrator::{Administered, Administrator};
pub use bearer::{Bearer, MemoryReader, MemoryWriter, bearer, token_matches};
pub use idempotency::Repeatable;
pub use json::Json;
