//! Extracts JSON bodies.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRef, FromRequest, OptionalFromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::fields::{Fields, Part};
use crate::http::error::{ApiError, Code};
use crate::listen::Connection;
use crate::runtime::cpu::compute;
use crate::settings::UnknownFields;

/// Largest request body in bytes.
const MAX_BODY: usize = 1 << 20;
/// A byte order mark, which some programs put before a text.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A JSON body of type `T`, with a JSON content type.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T>
where
    UnknownFields: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let fields = Fields::of(request.extensions(), state);
        fields.query(request.uri())?;
        announced(request.headers())?;
        let body = body(request).await?;
        compute(body.len(), || fields.parse(&body, WHOLE)).map(Self)
    }
}

/// Clients may omit the body where a route has no required field.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T>
where
    UnknownFields: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let fields = Fields::of(request.extensions(), state);
        fields.query(request.uri())?;
        let announced = announced(request.headers());
        if request.body().size_hint().lower() > 0 {
            announced.clone()?;
        }
        let body = body(request).await?;
        if body.is_empty() {
            return Ok(None);
        }
        announced?;
        compute(body.len(), || fields.parse(&body, WHOLE)).map(|request| Some(Self(request)))
    }
}

/// The whole body of a request.
pub(super) const WHOLE: Part<'static> =
    Part { wrong: "the body is not what this route takes", operation: None, others: &[] };

pub(super) fn announced(headers: &HeaderMap) -> Result<(), ApiError> {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    if codings.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "the body must not be compressed or coded otherwise; send it as it is, without the header Content-Encoding",
        ));
    }
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

async fn body(request: Request) -> Result<Bytes, ApiError> {
    let within = Connection::times(request.extensions()).body;
    received(request.into_body(), MAX_BODY, within).await
}

/// Receives a body of at most `most` bytes, without its byte order mark. Of one that is too large nothing is read where
/// its head says so.
pub(super) async fn received(body: Body, most: usize, within: Duration) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let body = timeout(within, Limited::new(body, most).collect())
        .await
        .map_err(|_| too_slow(within))?
        .map_err(|error| of_body(&*error, most))?
        .to_bytes();
    Ok(if body.starts_with(MARK) { body.slice(MARK.len()..) } else { body })
}

fn too_large(most: usize) -> ApiError {
    ApiError::new(Code::BodyTooLarge, format!("the body is larger than {} KiB", most >> 10))
}

fn of_body(error: &(dyn Error + 'static), most: usize) -> ApiError {
    if error.is::<LengthLimitError>() {
        too_large(most)
    } else {
        ApiError::new(Code::ValidationError, "the body was not received whole")
    }
}
