//! Extracts an administrator's request: who administers, and which tenants.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bearer::{Bearer, bearer};
use super::fields::{Fields, Part};
use super::json::{WHOLE, announced, body};
use super::refuse::{check_token, context};
use crate::access::authenticator::AuthError;
use crate::access::preauth::Guessed;
use crate::audit::{Actor, Who};
use crate::domain::access::api_key::ApiKey;
use crate::domain::access::scope::Scope;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::tenancy::Administrator;

/// An administrator's request. The bootstrap token comes in the body's field `token`, or as the bearer like a key; a
/// token in the body takes precedence, since clients may send a key of theirs with every request.
#[derive(Debug)]
pub struct AdminRequest<T> {
    /// The administrator.
    pub by: Administrator,
    /// The request.
    pub request: T,
}

const REQUEST: Part<'static> = Part { others: &["token"], ..WHOLE };

#[derive(Default, Deserialize)]
struct Token {
    token: Option<String>,
}

impl<T: DeserializeOwned> FromRequest<App> for AdminRequest<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        app.health.schema()?;
        let (mut parts, rest) = request.into_parts();
        let fields = Fields::of(&parts.extensions, app);
        let announced = announced(&parts.headers);
        // No token comes in what is not announced as JSON, so that is not read.
        let body = match &announced {
            Ok(()) => body(Request::from_parts(parts.clone(), rest), app).await?,
            Err(refusal) if bearer(&parts.headers).is_none() => return Err(refusal.clone()),
            Err(_) => Bytes::new(),
        };
        // What is no JSON has no token in it, and is refused for that once it is known who asks.
        let Token { token } = serde_json::from_slice(&body).unwrap_or_default();
        let by = match token {
            Some(token) => {
                let wrong = "token is not the server's ADMIN_BOOTSTRAP_TOKEN; with an admin key leave it out";
                let wrong = ApiError::new(Code::Unauthorized, wrong);
                check_bootstrap(&parts, app, &token, wrong).await?;
                bootstrap(&parts)
            }
            None if bearer_is_bootstrap(&parts, app).await? => bootstrap(&parts),
            None => {
                let caller = Bearer::from_request_parts(&mut parts, app).await?;
                let caller = caller.with(Scope::Admin)?;
                Administrator::of(caller.tenant, actor(&parts, Who::Key(caller.key)))
            }
        };
        fields.query(&parts.uri)?;
        announced?;
        Ok(Self { by, request: fields.parse(&body, REQUEST)? })
    }
}

/// Whether the bearer is the bootstrap token; refuses one that is neither that nor a key.
async fn bearer_is_bootstrap(parts: &Parts, app: &App) -> Result<bool, ApiError> {
    // What has the form of a key is tried as one, since keys are never refused for wrong tokens.
    let given = bearer(&parts.headers).filter(|given| ApiKey::parse(given).is_err());
    let (Some(given), Some(_)) = (given, &app.bootstrap_token) else { return Ok(false) };
    check_bootstrap(parts, app, given, AuthError::Invalid.into()).await.map(|()| true)
}

/// A bearer of the bootstrap token, whose use is recorded whatever comes of the request.
fn bootstrap(parts: &Parts) -> Administrator {
    let actor = actor(parts, Who::BootstrapToken);
    actor.begin("use_bootstrap_token", parts.uri.path(), None).done("");
    Administrator::of_all(actor)
}

fn actor(parts: &Parts, who: Who) -> Actor {
    let context = context(parts);
    Actor::request(who, context.client(), &context.request_id())
}

async fn check_bootstrap(
    parts: &Parts,
    app: &App,
    given: &str,
    wrong: ApiError,
) -> Result<(), ApiError> {
    let expected = app.bootstrap_token.as_deref();
    check_token(parts, app, Guessed::BootstrapToken, (expected, given), wrong).await
}
