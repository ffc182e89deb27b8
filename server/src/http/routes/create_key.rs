//! POST /v1/admin/create-key

use axum::Json as Answer;
use axum::extract::State;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{TenantId, rfc3339};
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::AdminRequest;
use crate::http::openapi::Refusals;
use crate::tenancy::keys::{CreateKeyRequest, NewKey};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CreateKeyRequest)]
pub(crate) struct Request {
    /// A label that says what the key is for.
    #[serde(default)]
    #[schema(max_length = 200)]
    label: String,
    /// The tenant of the key. Defaults to the caller's own, and for the bootstrap token to the default tenant.
    tenant_id: Option<Uuid>,
    /// Any of memory:read, memory:write, search:read and admin. Defaults to the first three.
    scopes: Option<Vec<String>>,
    /// Seconds until the key expires, at most until the creating key expires. Defaults to that, or to never.
    #[schema(minimum = 1)]
    expires_in_seconds: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreateKeyAnswer)]
pub(crate) struct Response {
    ok: bool,
    /// The key. It is shown only once.
    api_key: String,
    key_id: String,
    tenant_id: Uuid,
    /// When the key expires; null if never.
    expires_at: Option<String>,
}

/// Create an API key
#[utoipa::path(post, path = "/v1/admin/create-key", tag = "admin", request_body = Request,
    responses((status = 200, description = "The key.", body = Response), Refusals))]
pub(crate) async fn create_key(
    State(app): State<App>,
    AdminRequest { by, request }: AdminRequest<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { label, tenant_id, scopes, expires_in_seconds } = request;
    let tenant = tenant_id.map(TenantId);
    let wanted = CreateKeyRequest { label, tenant, scopes, expires_in_seconds };
    let NewKey { key, tenant, expires_at } = app.tenancy.create_key(by, &wanted).await?;
    Ok(Answer(Response {
        ok: true,
        api_key: key.reveal().expose_secret().to_owned(),
        key_id: key.id().as_str().to_owned(),
        tenant_id: tenant.0,
        expires_at: expires_at.map(rfc3339),
    }))
}
