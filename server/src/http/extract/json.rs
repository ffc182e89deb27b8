//! Extracts JSON bodies.

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRef, FromRequest, OptionalFromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::body::{body, owner, received};
use super::fields::{Fields, Part};
use crate::http::error::{ApiError, Code};
use crate::listen::Connection;
use crate::runtime::byte_budget::{ByteBudget, Reservation};
use crate::runtime::cpu::compute;
use crate::settings::{BodyLimit, UnknownFields};

/// A JSON body of type `T`, with a JSON content type.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// The same of a route that keeps what came in it, with its bytes of the budget.
#[derive(Debug)]
pub struct KeptJson<T>(pub T, pub Reservation);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for KeptJson<T>
where
    UnknownFields: FromRef<S>,
    BodyLimit: FromRef<S>,
    ByteBudget: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let fields = Fields::of(request.extensions(), state);
        fields.query(request.uri())?;
        announced(request.headers())?;
        let owner = owner(&request);
        let (body, reserved) =
            body(request, BodyLimit::from_ref(state), &ByteBudget::from_ref(state)).await?;
        let request = compute(owner, body.len(), || fields.parse(&body, WHOLE)).await?;
        Ok(Self(request, reserved))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T>
where
    UnknownFields: FromRef<S>,
    BodyLimit: FromRef<S>,
    ByteBudget: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let KeptJson(request, _) = KeptJson::<T>::from_request(request, state).await?;
        Ok(Self(request))
    }
}

/// The JSON body of a route that parses it itself, with the head of its request.
#[derive(Debug)]
pub struct UnparsedJson {
    /// The head.
    pub head: Parts,
    /// The body.
    pub body: Bytes,
    /// The body's bytes of the budget.
    pub reserved: Reservation,
}

impl<S: Send + Sync> FromRequest<S> for UnparsedJson
where
    UnknownFields: FromRef<S>,
    BodyLimit: FromRef<S>,
    ByteBudget: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Fields::of(request.extensions(), state).query(request.uri())?;
        announced(request.headers())?;
        let owner = owner(&request);
        let within = Connection::times(request.extensions()).body;
        let (head, body) = request.into_parts();
        let (BodyLimit(most), budget) = (BodyLimit::from_ref(state), ByteBudget::from_ref(state));
        let (body, reserved) = received(body, most, within, &budget, owner).await?;
        Ok(Self { head, body, reserved })
    }
}

/// Clients may omit the body where a route has no required field.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T>
where
    UnknownFields: FromRef<S>,
    BodyLimit: FromRef<S>,
    ByteBudget: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let fields = Fields::of(request.extensions(), state);
        fields.query(request.uri())?;
        let announced = announced(request.headers());
        if request.body().size_hint().lower() > 0 {
            announced.clone()?;
        }
        let owner = owner(&request);
        let (body, _reserved) =
            body(request, BodyLimit::from_ref(state), &ByteBudget::from_ref(state)).await?;
        if body.is_empty() {
            return Ok(None);
        }
        announced?;
        compute(owner, body.len(), || fields.parse(&body, WHOLE))
            .await
            .map(|request| Some(Self(request)))
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
