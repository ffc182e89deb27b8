//! Extracts an administrator's request: who administers, and which tenants.

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::bearer::{Bearer, bearer, token_matches};
use super::json::{Json, announced, body, parse};
use super::refuse::refuse;
use crate::domain::access::scope::Scope;
use crate::domain::{DEFAULT_TENANT, TenantId};
use crate::http::App;
use crate::http::error::{ApiError, Code};

/// An authenticated administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administrator {
    /// All tenants: the bearer of the bootstrap token, or of an admin key of the default tenant.
    Cluster,
    /// One tenant: the bearer of an admin key of it.
    Tenant(TenantId),
}

impl Administrator {
    /// The tenant of a request: the one that it names, else the administrator's own.
    pub fn tenant(self, named: Option<Uuid>) -> Result<TenantId, ApiError> {
        match (self, named.map(TenantId)) {
            (Self::Cluster, named) => Ok(named.unwrap_or(DEFAULT_TENANT)),
            (Self::Tenant(own), None) => Ok(own),
            (Self::Tenant(own), Some(named)) if named == own => Ok(own),
            (Self::Tenant(_), Some(_)) => Err(ApiError::new(
                Code::Forbidden,
                "an admin key is for its own tenant alone; for another one use an admin key of the default tenant",
            )),
        }
    }

    /// The tenant that the administrator is restricted to, if any.
    pub fn bound_to(self) -> Option<TenantId> {
        match self {
            Self::Cluster => None,
            Self::Tenant(own) => Some(own),
        }
    }

    /// Refuses the administrator of one tenant.
    pub fn of_all(self) -> Result<(), ApiError> {
        match self {
            Self::Cluster => Ok(()),
            Self::Tenant(_) => Err(ApiError::new(
                Code::Forbidden,
                "this needs an admin key of the default tenant, which is for all tenants",
            )),
        }
    }
}

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
                match caller.with(Scope::Admin)?.tenant {
                    DEFAULT_TENANT => Administrator::Cluster,
                    own => Administrator::Tenant(own),
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_administrator_reaches_no_other_tenant() {
        let (own, other) = (Uuid::new_v4(), Uuid::new_v4());
        let tenant = Administrator::Tenant(TenantId(own));
        assert_eq!(tenant.tenant(None).unwrap(), TenantId(own));
        assert_eq!(tenant.tenant(Some(own)).unwrap(), TenantId(own));
        assert_eq!(tenant.tenant(Some(other)).unwrap_err().code(), Code::Forbidden);
        assert_eq!(tenant.of_all().unwrap_err().code(), Code::Forbidden);
        let cluster = Administrator::Cluster;
        assert_eq!(cluster.tenant(None).unwrap(), DEFAULT_TENANT);
        assert_eq!(cluster.tenant(Some(other)).unwrap(), TenantId(other));
        assert_eq!((cluster.bound_to(), tenant.bound_to()), (None, Some(TenantId(own))));
    }
}
