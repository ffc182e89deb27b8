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
    /// Whose keys; without it those of all tenants that the caller administers.
    tenant_id: Option<Uuid>,
    /// At most this many; 1000 without it.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListKeysAnswer)]
pub(crate) struct Response {
    /// Tenant by tenant, the oldest first; revoked and expired ones too.
    keys: Vec<Row>,
    /// Where the next page begins; absent on the last one.
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
    /// When it expires or has expired.
    expires_at: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
    /// The key that it was made with; null where that was none, or one of a tenant that the caller does not administer.
    created_by: Option<String>,
    /// What replaces it by itself: `deployment` for the admin key of a deployment.
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

/// The API keys, without their secrets
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
