//! Extracts an administrator's request: who administers, and which tenants.

use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bearer::{Bearer, authenticate, bearer, refuse_key};
use super::body::received;
use super::fields::{Fields, Part};
use super::json::{WHOLE, announced};
use super::refuse::{context, is_right, refuse};
use crate::access::authenticator::AuthError;
use crate::access::preauth::Guessed;
use crate::audit::{Actor, Who};
use crate::domain::access::api_key::ApiKey;
use crate::domain::access::scope::Scope;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::listen::Connection;
use crate::runtime::byte_budget::Owner;
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
    /// A key; it has taken a token of its rate limit.
    Caller(Bearer),
}

/// Why nobody is known by the bearer of a request.
enum Unknown {
    /// There is none, or it is no valid key.
    Key(AuthError),
    /// It has not the form of a key, and is not the bootstrap token: the answer to that guess, which is counted.
    Token(ApiError),
}

impl Known {
    /// Whose bytes of the budget the request takes.
    fn owner(&self) -> Owner {
        match self {
            Self::Bootstrap => None,
            Self::Caller(bearer) => Some(bearer.0.tenant),
        }
    }
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
        let times = Connection::times(&parts.extensions);
        let known = known(&parts, app).await?;
        let may_administer = match &known {
            Ok(Known::Bootstrap) => true,
            Ok(Known::Caller(bearer)) => bearer.0.scopes.allow(Scope::Admin),
            Err(_) => false,
        };
        // No token comes in what is not announced as JSON, so that is not read.
        let (body, _reserved) = match &announced {
            Ok(()) if may_administer => {
                let owner = known.as_ref().ok().and_then(Known::owner);
                received(body, MAX_ADMIN_BODY, times.body, &app.budget, owner).await?
            }
            Ok(()) if app.bootstrap_token.is_some() => {
                // Whose bearer is wrong is told that rather than what is wrong with the body.
                let within = times.unauthenticated_body;
                match received(body, MAX_ADMIN_BODY, within, &app.budget, None).await {
                    Err(refusal) if bearer(&parts.headers).is_none() => {
                        return Err(refuse(&parts, app, None, refusal).await);
                    }
                    body => body.unwrap_or_default(),
                }
            }
            _ => Default::default(),
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
            (None, Ok(Known::Caller(bearer))) => {
                let caller = bearer.with(Scope::Admin)?;
                Administrator::of(caller.tenant, actor(&parts, Who::Key(caller.key)))
            }
            (None, Err(Unknown::Key(failure))) => {
                return Err(refuse_key(&parts, app, failure).await);
            }
            (None, Err(Unknown::Token(refusal))) => return Err(refusal),
        };
        fields.query(&parts.uri)?;
        announced?;
        Ok(Self { by, request: fields.parse(&body, REQUEST)? })
    }
}

/// Who asks, as far as the head tells. Fails where a key has used up its rate limit.
async fn known(parts: &Parts, app: &App) -> Result<Result<Known, Unknown>, ApiError> {
    // What has the form of a key is tried as one, since keys are never refused for wrong tokens.
    let token = bearer(&parts.headers).filter(|given| ApiKey::parse(given).is_err());
    if let (Some(given), Some(_)) = (token, &app.bootstrap_token) {
        if is_bootstrap(parts, app, given).await {
            return Ok(Ok(Known::Bootstrap));
        }
        let wrong = refuse_token(parts, app, AuthError::Invalid.into()).await;
        return Ok(Err(Unknown::Token(wrong)));
    }
    match authenticate(parts, app).await {
        Ok(caller) => Ok(Ok(Known::Caller(Bearer::admit(caller, parts, app).await?))),
        Err(failure) => Ok(Err(Unknown::Key(failure))),
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
