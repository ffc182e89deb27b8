//! POST /v1/admin/revoke-key

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::AdminRequest;
use crate::http::openapi::KeyRefusals;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RevokeKeyRequest)]
pub(crate) struct Request {
    /// The id of the key, which is its part before the dot.
    #[schema(pattern = "^agfs_live_[A-Za-z0-9_-]{11}$", example = "agfs_live_AAAAAAAAAAA")]
    key_id: String,
    /// Also revoke the keys that were created with it, directly or indirectly.
    #[serde(default)]
    descendants: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevokeKeyAnswer)]
pub(crate) struct Response {
    ok: bool,
    key_id: String,
    tenant_id: Uuid,
    revoked_at: String,
    /// Whether the key had already been revoked. Its time of revocation stays.
    already: bool,
    /// What would make the key valid again automatically, unless you give it another key first.
    managed_by: Option<String>,
    /// How many keys were revoked with it.
    revoked_descendants: usize,
    /// How many keys that were created with it, directly or indirectly, are still valid.
    live_descendants: i64,
}

/// Revoke an API key
///
/// It stops working within 10 seconds on every replica. A key cannot revoke itself, neither alone nor as a descendant.
#[utoipa::path(post, path = "/v1/admin/revoke-key", tag = "admin", request_body = Request,
    responses((status = 200, description = "The key is revoked.", body = Response), KeyRefusals))]
pub(crate) async fn revoke_key(
    State(app): State<App>,
    AdminRequest { by, request }: AdminRequest<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { key_id, descendants } = request;
    let (key, revoked) = app.tenancy.revoke_key(by, &key_id, descendants).await?;
    Ok(Answer(Response {
        ok: true,
        key_id: key.as_str().to_owned(),
        tenant_id: revoked.tenant.0,
        revoked_at: rfc3339(revoked.revoked_at),
        already: revoked.already,
        managed_by: revoked.managed_by,
        revoked_descendants: revoked.descendants.len(),
        live_descendants: revoked.live_descendants,
    }))
}
