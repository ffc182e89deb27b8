//! Extracts an administrator's request: who administers, and which tenants.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bearer::{Bearer, authenticate, bearer, refuse_key};
use super::fields::{Fields, Part};
use super::json::{WHOLE, announced, received};
use super::refuse::{context, is_right, refuse};
use crate::access::authenticator::{AuthError, Caller};
use crate::access::preauth::Guessed;
use crate::audit::{Actor, Who};
use crate::domain::access::api_key::ApiKey;
use crate::domain::access::scope::Scope;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::listen::Connection;
use crate::tenancy::Administrator;

/// Largest body of an administrator's request in bytes.
const MAX_ADMIN_BODY: usize = 16 << 10;

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

/// Who is known by the bearer of a request.
enum Known {
    Bootstrap,
    Caller(Caller),
}

/// Why nobody is known by the bearer of a request.
enum Unknown {
    /// There is none, or it is no valid key.
    Key(AuthError),
    /// It has not the form of a key, and is not the bootstrap token.
    Token,
}

impl<T: DeserializeOwned> FromRequest<App> for AdminRequest<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        app.health.schema()?;
        let (parts, body) = request.into_parts();
        let fields = Fields::of(&parts.extensions, app);
        let announced = announced(&parts.headers);
        if let Err(refusal) = &announced
            && bearer(&parts.headers).is_none()
        {
            return Err(refusal.clone());
        }
        let known = known(&parts, app).await;
        // No token comes in what is not announced as JSON, so that is not read.
        let body = match (&announced, &known) {
            (Ok(()), Ok(_)) => {
                let within = Connection::times(&parts.extensions).body;
                received(body, MAX_ADMIN_BODY, within).await?
            }
            (Ok(()), Err(_)) if app.bootstrap_token.is_some() => {
                of_stranger(&parts, body, app).await?
            }
            _ => Bytes::new(),
        };
        // What is no JSON has no token in it, and is refused for that once it is known who asks.
        let Token { token } = serde_json::from_slice(&body).unwrap_or_default();
        let by = match (token, known) {
            (Some(token), _) => {
                if !is_bootstrap(&parts, app, &token).await {
                    let wrong = "token is not the server's ADMIN_BOOTSTRAP_TOKEN; with an admin key leave it out";
                    let wrong = ApiError::new(Code::Unauthorized, wrong);
                    return Err(refuse_token(&parts, app, wrong).await);
                }
                bootstrap(&parts)
            }
            (None, Ok(Known::Bootstrap)) => bootstrap(&parts),
            (None, Ok(Known::Caller(caller))) => {
                let caller = Bearer::admit(caller, &parts, app).await?.with(Scope::Admin)?;
                Administrator::of(caller.tenant, actor(&parts, Who::Key(caller.key)))
            }
            (None, Err(Unknown::Key(failure))) => {
                return Err(refuse_key(&parts, app, failure).await);
            }
            (None, Err(Unknown::Token)) => {
                return Err(refuse_token(&parts, app, AuthError::Invalid.into()).await);
            }
        };
        fields.query(&parts.uri)?;
        announced?;
        Ok(Self { by, request: fields.parse(&body, REQUEST)? })
    }
}

/// Who asks, as far as the head tells.
async fn known(parts: &Parts, app: &App) -> Result<Known, Unknown> {
    // What has the form of a key is tried as one, since keys are never refused for wrong tokens.
    let token = bearer(&parts.headers).filter(|given| ApiKey::parse(given).is_err());
    match token {
        Some(given) if app.bootstrap_token.is_some() => {
            let is_right = is_bootstrap(parts, app, given).await;
            if is_right { Ok(Known::Bootstrap) } else { Err(Unknown::Token) }
        }
        _ => authenticate(parts, app).await.map(Known::Caller).map_err(Unknown::Key),
    }
}

/// The body of somebody who is not known by a bearer, since the bootstrap token may be in it. Nothing else is read before
/// it is known who asks, and this not for long. Whose bearer was wrong is told that rather than what is wrong with the body.
async fn of_stranger(parts: &Parts, body: Body, app: &App) -> Result<Bytes, ApiError> {
    let within = Connection::times(&parts.extensions).unauthenticated_body;
    match received(body, MAX_ADMIN_BODY, within).await {
        Ok(body) => Ok(body),
        Err(_) if bearer(&parts.headers).is_some() => Ok(Bytes::new()),
        Err(refusal) => Err(refuse(parts, app, None, refusal).await),
    }
}

async fn is_bootstrap(parts: &Parts, app: &App, given: &str) -> bool {
    let expected = app.bootstrap_token.as_deref();
    let is_right = is_right(parts, app, Guessed::BootstrapToken, (expected, given)).await;
    if is_right {
        Connection::authenticate(&parts.extensions);
    }
    is_right
}

async fn refuse_token(parts: &Parts, app: &App, wrong: ApiError) -> ApiError {
    refuse(parts, app, Some(Guessed::BootstrapToken), wrong).await
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
