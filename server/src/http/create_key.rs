//! POST /v1/admin/create-key

use axum::Json as Answer;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::error::{ApiError, Code};
use super::extract::{Bearer, Json, bearer, token_matches};
use crate::domain::api_key::ApiKey;
use crate::domain::scope::{DEFAULT_SCOPES, Scope};
use crate::domain::{DEFAULT_TENANT, TenantId};
use crate::store::api_keys::{NewKey, insert};

const MAX_LABEL_CHARS: usize = 200;

#[derive(Debug, Deserialize)]
pub(super) struct Body {
    #[serde(default)]
    label: String,
    tenant_id: Option<Uuid>,
    scopes: Option<Vec<String>>,
    expires_in_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    ok: bool,
    api_key: String,
    key_id: String,
    tenant_id: Uuid,
}

/// One who may make keys.
pub(super) struct Maker {
    /// The tenant that keys are made for when none is named.
    own_tenant: TenantId,
    /// The bootstrap token may make keys for any tenant, an admin key for its own.
    any_tenant: bool,
}

impl FromRequestParts<App> for Maker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if is_bootstrap(app, &parts.headers) {
            return Ok(Self { own_tenant: DEFAULT_TENANT, any_tenant: true });
        }
        let caller = Bearer::from_request_parts(parts, app).await?.with(Scope::Admin)?;
        Ok(Self { own_tenant: caller.tenant, any_tenant: false })
    }
}

pub(super) async fn create_key(
    State(app): State<App>,
    maker: Maker,
    Json(body): Json<Body>,
) -> Result<Answer<Response>, ApiError> {
    let Body { label, tenant_id, scopes, expires_in_seconds } = body;
    let tenant = tenant_id.map_or(maker.own_tenant, TenantId);
    if tenant != maker.own_tenant && !maker.any_tenant {
        return Err(ApiError::new(
            Code::Forbidden,
            "an admin key makes keys for its own tenant alone",
        ));
    }
    if label.chars().count() > MAX_LABEL_CHARS || label.contains('\0') {
        let sentence = format!("label must have at most {MAX_LABEL_CHARS} characters and no NUL");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let scopes = match scopes {
        None => DEFAULT_SCOPES.into_iter().collect(),
        Some(names) => names
            .iter()
            .map(|name| name.parse::<Scope>())
            .collect::<Result<_, _>>()
            .map_err(|e| ApiError::new(Code::ValidationError, e.to_string()))?,
    };
    let expires_at = expires_in_seconds.map(expiry).transpose()?;
    let key = ApiKey::generate();
    if !insert(&app.pool, &key, &NewKey { tenant, scopes, label: &label, expires_at }).await? {
        return Err(ApiError::new(Code::TenantNotFound, "tenant_id names no tenant"));
    }
    Ok(Answer(Response {
        ok: true,
        api_key: key.reveal().expose_secret().to_owned(),
        key_id: key.id().as_str().to_owned(),
        tenant_id: tenant.0,
    }))
}

fn is_bootstrap(app: &App, headers: &HeaderMap) -> bool {
    match (&app.bootstrap_token, bearer(headers)) {
        (Some(token), Some(given)) => token_matches(token, given),
        _ => false,
    }
}

fn expiry(seconds: i64) -> Result<Timestamp, ApiError> {
    (seconds > 0)
        .then(|| Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).ok())
        .flatten()
        .ok_or_else(|| {
            let sentence = format!(
                "expires_in_seconds is {seconds}; it must be above 0 and end before the year 9999"
            );
            ApiError::new(Code::ValidationError, sentence)
        })
}
