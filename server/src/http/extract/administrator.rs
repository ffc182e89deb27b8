//! Extracts an administrator's request: who administers, and which tenants.

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bearer::{Bearer, bearer, token_matches};
use super::json::{Json, announced, body, parse};
use super::refuse::refuse;
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

#[derive(Default, Deserialize)]
struct Token {
    token: Option<String>,
}

impl<T: DeserializeOwned> FromRequest<App> for AdminRequest<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        app.health.schema()?;
        let (mut parts, rest) = request.into_parts();
        let body = body(Request::from_parts(parts.clone(), rest), app).await?;
        // What is no JSON has no token in it, and is refused for that once it is known who asks.
        let Token { token } = serde_json::from_slice(&body).unwrap_or_default();
        let by = match token {
            Some(token) if is_bootstrap(app, &token) => Administrator::Cluster,
            Some(_) => {
                let wrong = "token is not the server's ADMIN_BOOTSTRAP_TOKEN; with an admin key leave it out";
                let refusal = ApiError::new(Code::Unauthorized, wrong);
                return Err(refuse(&parts, app, None, refusal).await);
            }
            None if bearer_is_bootstrap(app, &parts.headers) => Administrator::Cluster,
            None => {
                let caller = Bearer::from_request_parts(&mut parts, app).await?;
                Administrator::of(caller.with(Scope::Admin)?.tenant)
            }
        };
        announced(&parts.headers)?;
        let Json(request) = parse(&body)?;
        Ok(Self { by, request })
    }
}

fn bearer_is_bootstrap(app: &App, headers: &HeaderMap) -> bool {
    bearer(headers).is_some_and(|given| is_bootstrap(app, given))
}

fn is_bootstrap(app: &App, given: &str) -> bool {
    app.bootstrap_token.as_ref().is_some_and(|token| token_matches(token, given))
}
