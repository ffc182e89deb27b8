//! POST /v1/admin/create-key

use axum::Json as Answer;
use axum::extract::State;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::error::{ApiError, Code};
use super::extract::Administered;
use crate::domain::api_key::ApiKey;
use crate::domain::key_terms::KeyTerms;
use crate::store::api_keys;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
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

pub(super) async fn create_key(
    State(app): State<App>,
    Administered { by, request }: Administered<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { label, tenant_id, scopes, expires_in_seconds } = request;
    let tenant = by.tenant(tenant_id)?;
    let terms = KeyTerms::new(&label, scopes.as_deref(), expires_in_seconds, Timestamp::now())?;
    let key = ApiKey::generate();
    if !api_keys::insert(&app.pool, &key, tenant, &terms).await? {
        return Err(ApiError::new(Code::TenantNotFound, "tenant_id names no tenant"));
    }
    Ok(Answer(Response {
        ok: true,
        api_key: key.reveal().expose_secret().to_owned(),
        key_id: key.id().as_str().to_owned(),
        tenant_id: tenant.0,
    }))
}
