//! Taking requests apart; what does not fit is an [`super::error::ApiError`].

mod bearer;
mod json;

pub use bearer::{Bearer, MemoryReader, MemoryWriter, bearer, token_matches};
pub use json::Json;
