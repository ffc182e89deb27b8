//! Authenticates the bearer of an API key, checks its scope and applies the rate limits of key and tenant.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::refuse::{client, refuse};
use crate::access::authenticator::{AuthError, Caller};
use crate::access::preauth::Guessed;
use crate::access::rate_limit::{RateLimiter, Refused};
use crate::domain::TenantId;
use crate::domain::access::scope::Scope;
use crate::domain::memory::by::By;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::middleware::observe::RequestContext;
use crate::listen::Connection;

/// A caller with a valid key, whatever its scopes; has taken a token of the request rate limits of key and tenant.
#[derive(Debug, Clone, Copy)]
pub struct Bearer(pub Caller);

impl FromRequestParts<App> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        app.health.schema()?;
        match authenticate(parts, app).await {
            Ok(caller) => Self::admit(caller, parts, app).await,
            Err(failure) => Err(refuse_key(parts, app, failure).await),
        }
    }
}

/// Finds out whose key a request shows.
pub(super) async fn authenticate(parts: &Parts, app: &App) -> Result<Caller, AuthError> {
    let key = bearer(&parts.headers).ok_or_else(|| {
        let has_other = parts.headers.contains_key(AUTHORIZATION);
        if has_other { AuthError::NoBearer } else { AuthError::Missing }
    })?;
    let caller = app.authenticator.authenticate(key, || client(parts)).await?;
    Connection::authenticate(&parts.extensions);
    Ok(caller)
}

/// Counts a request without a valid key, and returns its answer.
pub(super) async fn refuse_key(parts: &Parts, app: &App, failure: AuthError) -> ApiError {
    let guessed_at = match failure {
        AuthError::WrongSecret(key) => Some(Guessed::Key(key)),
        AuthError::Missing | AuthError::NoBearer | AuthError::Malformed | AuthError::Invalid => {
            None
        }
        // Nobody was refused.
        AuthError::LookUp(_) => return failure.into(),
    };
    refuse(parts, app, guessed_at, failure.into()).await
}

/// Takes a token of the key and one of its tenant, where they have rate limits.
async fn take_token(
    limiter: Option<&RateLimiter>,
    caller: Caller,
    parts: &Parts,
    app: &App,
) -> Result<(), ApiError> {
    let Some(limiter) = limiter else { return Ok(()) };
    let (status, refusal) = match limiter.admit(caller.tenant, caller.key).await {
        Ok(None) => return Ok(()),
        Ok(Some(status)) => (status, None),
        Err(Refused::UsedUp(whose, status)) => {
            let kind = limiter.limited();
            app.metrics.rate_limit_denial(kind.as_str());
            let sentence = format!(
                "this {} has used up its {} {} of this minute; try again in {} s, or ask an operator to raise {}",
                whose.as_str(),
                status.limit,
                kind.as_str(),
                status.reset_seconds,
                kind.setting(whose),
            );
            let refusal = ApiError::new(Code::RateLimitExceeded, sentence);
            (status, Some(refusal.retry_after(status.reset_seconds)))
        }
        Err(Refused::Unknown(error)) => return Err(error.into()),
    };
    if let Some(context) = parts.extensions.get::<RequestContext>() {
        context.rate_limit(status);
    }
    refusal.map_or(Ok(()), Err)
}

impl Bearer {
    /// Lets an authenticated caller in, unless its requests of this minute are used up.
    pub(super) async fn admit(caller: Caller, parts: &Parts, app: &App) -> Result<Self, ApiError> {
        if let Some(context) = parts.extensions.get::<RequestContext>() {
            context.key(caller.key, caller.tenant);
        }
        take_token(app.requests.as_ref(), caller, parts, app).await?;
        Ok(Self(caller))
    }

    /// The caller, as it writes memory.
    pub fn by(self) -> By {
        By { tenant: self.0.tenant, key: Some(self.0.key) }
    }

    /// The caller, if its key has `scope`.
    pub fn with(self, scope: Scope) -> Result<Caller, ApiError> {
        if self.0.scopes.allow(scope) {
            Ok(self.0)
        } else {
            let sentence = format!("this key lacks the scope {}", scope.as_str());
            Err(ApiError::new(Code::Forbidden, sentence))
        }
    }
}

/// The tenant of a caller that may read memory.
#[derive(Debug, Clone, Copy)]
pub struct MemoryReader(pub TenantId);

impl FromRequestParts<App> for MemoryReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let bearer = Bearer::from_request_parts(parts, app).await?;
        bearer.with(Scope::MemoryRead).map(|caller| Self(caller.tenant))
    }
}

/// A caller that may write memory.
#[derive(Debug, Clone, Copy)]
pub struct MemoryWriter(pub By);

impl FromRequestParts<App> for MemoryWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let bearer = Bearer::from_request_parts(parts, app).await?;
        bearer.with(Scope::MemoryWrite)?;
        Ok(Self(bearer.by()))
    }
}

/// The tenant of a caller that may search; has taken a token of their search rate limits as well.
#[derive(Debug, Clone, Copy)]
pub struct Searcher(pub TenantId);

impl FromRequestParts<App> for Searcher {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let bearer = Bearer::from_request_parts(parts, app).await?;
        Self::admit(bearer, parts, app).await
    }
}

impl Searcher {
    /// Lets a caller search that was let in, unless its searches of this minute are used up.
    pub async fn admit(bearer: Bearer, parts: &Parts, app: &App) -> Result<Self, ApiError> {
        let caller = bearer.with(Scope::SearchRead)?;
        take_token(app.searches.as_ref(), caller, parts, app).await?;
        Ok(Self(caller.tenant))
    }
}

/// The bearer token of the Authorization header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}
