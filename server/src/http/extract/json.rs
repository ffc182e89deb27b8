//! Extracts JSON bodies.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::http::error::{ApiError, Code};
use crate::listen::Connection;

/// Largest request body in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// A JSON body of type `T`, with a JSON content type.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        announced(request.headers())?;
        parse(&body(request, state).await?)
    }
}

/// Clients may omit the body where a route has no required field.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let announced = announced(request.headers());
        let body = body(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        announced?;
        parse(&body).map(Some)
    }
}

pub(super) fn announced(headers: &HeaderMap) -> Result<(), ApiError> {
    let announced = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if announced.is_some_and(is_json) {
        Ok(())
    } else {
        Err(ApiError::new(
            Code::UnsupportedMediaType,
            "the body must be JSON; send the header Content-Type: application/json",
        ))
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Json<T>, ApiError> {
    object(body).map(Json).map_err(|e| {
        ApiError::new(Code::ValidationError, format!("the body is not what this route takes: {e}"))
    })
}

/// Parses a JSON object. Refuses arrays, though serde would take their items for the fields in order.
pub fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, serde_json::Error> {
    match json.trim_ascii_start().first() {
        Some(b'[') => Err(serde::de::Error::custom("expected an object, found a list")),
        _ => serde_json::from_slice(json),
    }
}

fn is_json(announced: &str) -> bool {
    let essence = announced.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Not 408: the contract has no such answer, and some clients send a request again on it.
fn too_slow(within: Duration) -> ApiError {
    let sentence =
        format!("the body was not received within {} s; send it faster", within.as_secs());
    ApiError::new(Code::ValidationError, sentence)
}

pub(super) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let within = Connection::times(request.extensions()).body;
    timeout(within, Bytes::from_request(request, state))
        .await
        .map_err(|_| too_slow(within))?
        .map_err(|rejection| of_body(&rejection))
}

fn of_body(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::new(Code::BodyTooLarge, format!("the body is larger than {} KiB", MAX_BODY >> 10))
    } else {
        ApiError::new(Code::ValidationError, "the body was not received whole")
    }
}
