//! Who is asking, and with which right.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::auth::{AuthError, Caller};
use crate::domain::TenantId;
use crate::domain::scope::Scope;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::observe::Noted;

/// A caller with a valid key, whatever it may do.
#[derive(Debug, Clone, Copy)]
pub struct Bearer(pub Caller);

impl FromRequestParts<App> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        app.health.schema()?;
        let key = bearer(&parts.headers).ok_or(AuthError::Invalid)?;
        let caller = app.authenticator.authenticate(key).await?;
        if let Some(noted) = parts.extensions.get::<Noted>() {
            noted.tenant(caller.tenant);
        }
        Ok(Self(caller))
    }
}

impl Bearer {
    /// The caller, when its key has `scope`.
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

/// The tenant of a caller that may write memory.
#[derive(Debug, Clone, Copy)]
pub struct MemoryWriter(pub TenantId);

impl FromRequestParts<App> for MemoryWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let bearer = Bearer::from_request_parts(parts, app).await?;
        bearer.with(Scope::MemoryWrite).map(|caller| Self(caller.tenant))
    }
}

/// The bearer's text of the Authorization header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}

/// Compares a token in constant time.
pub fn token_matches(expected: &SecretString, given: &str) -> bool {
    expected.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
}
