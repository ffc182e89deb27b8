//! POST /v1/admin/list-keys

use axum::Json as Answer;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::access::api_key::KeyState;
use crate::domain::{TenantId, rfc3339};
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::AdminRequest;
use crate::http::openapi::Refusals;
use crate::store::access::api_keys::ListedKey;
use crate::tenancy::PageRequest;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListKeysRequest)]
pub(crate) struct Request {
    /// The tenant of the keys. Defaults to all tenants that the caller administers.
    tenant_id: Option<Uuid>,
    /// The maximum number of results. Defaults to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListKeysAnswer)]
pub(crate) struct Response {
    /// Grouped by tenant, the oldest first, including revoked and expired keys.
    keys: Vec<Row>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedKey)]
struct Row {
    key_id: String,
    tenant_id: Uuid,
    label: String,
    scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    state: &'static str,
    created_at: String,
    /// When the key expires or expired.
    expires_at: Option<String>,
    /// When the key was revoked.
    revoked_at: Option<String>,
    /// The key that created it; null if there is none, or if it is of a tenant that the caller does not administer.
    created_by: Option<String>,
    /// What replaces the key automatically: `deployment` for the admin key of a deployment.
    managed_by: Option<String>,
}

impl Row {
    fn of(key: ListedKey, now: Timestamp) -> Self {
        Self {
            state: KeyState::at(now, key.expires_at, key.revoked_at).as_str(),
            key_id: key.id,
            tenant_id: key.tenant.0,
            label: key.label,
            scopes: key.scopes,
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
            created_by: key.created_by,
            managed_by: key.managed_by,
        }
    }
}

/// List API keys, without their secrets
#[utoipa::path(post, path = "/v1/admin/list-keys", tag = "admin", request_body = Request,
    responses((status = 200, description = "A page of keys.", body = Response), Refusals))]
pub(crate) async fn list_keys(
    State(app): State<App>,
    AdminRequest { by, request }: AdminRequest<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { tenant_id, limit, cursor } = request;
    let page = PageRequest { limit, cursor };
    let page = app.tenancy.keys(by, tenant_id.map(TenantId), &page).await?;
    let now = Timestamp::now();
    Ok(Answer(Response {
        keys: page.items.into_iter().map(|key| Row::of(key, now)).collect(),
        next_cursor: page.next_cursor,
    }))
}
