//! Extracts the header Idempotency-Key.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;

use crate::domain::memory::idempotency::{IdempotencyKey, InvalidIdempotencyKey};
use crate::http::error::{ApiError, Code};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The request's idempotency key, if it has one.
#[derive(Debug, Clone)]
pub struct IdempotencyHeader(pub Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyHeader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut keys = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        match (keys.next(), keys.next()) {
            (None, _) => Ok(Self(None)),
            (Some(key), None) => {
                let key = key.to_str().map_err(|_| InvalidIdempotencyKey)?;
                Ok(Self(Some(IdempotencyKey::parse(key)?)))
            }
            (Some(_), Some(_)) => Err(InvalidIdempotencyKey.into()),
        }
    }
}

/// No idempotency key, of a request that takes none.
#[derive(Debug, Clone, Copy)]
pub struct NoIdempotencyHeader;

impl<S: Send + Sync> FromRequestParts<S> for NoIdempotencyHeader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if parts.headers.contains_key(IDEMPOTENCY_KEY) {
            return Err(ApiError::new(
                Code::InvalidIdempotencyKey,
                "a batch takes no Idempotency-Key; give each of its puts and deletes a field idempotency_key",
            ));
        }
        Ok(Self)
    }
}
