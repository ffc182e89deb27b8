//! POST /v1/admin/list-tenants

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::AdminRequest;
use crate::http::openapi::Refusals;
use crate::store::access::tenants::Tenant;
use crate::tenancy::PageRequest;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListTenantsRequest)]
pub(crate) struct Request {
    /// The maximum number of results. Defaults to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListTenantsAnswer)]
pub(crate) struct Response {
    /// Tenants, the oldest first.
    tenants: Vec<ListedTenant>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedTenant {
    pub(crate) tenant_id: Uuid,
    pub(crate) name: String,
    /// The number of its keys that are neither revoked nor expired.
    pub(crate) active_keys: i64,
    pub(crate) created_at: String,
}

impl From<Tenant> for ListedTenant {
    fn from(tenant: Tenant) -> Self {
        Self {
            tenant_id: tenant.id.0,
            name: tenant.name,
            active_keys: tenant.active_keys,
            created_at: rfc3339(tenant.created_at),
        }
    }
}

/// List the tenants that the caller administers
#[utoipa::path(post, path = "/v1/admin/list-tenants", tag = "admin", request_body = Request,
    responses((status = 200, description = "A page of tenants.", body = Response), Refusals))]
pub(crate) async fn list_tenants(
    State(app): State<App>,
    AdminRequest { by, request }: AdminRequest<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { limit, cursor } = request;
    let page = app.tenancy.tenants(by, &PageRequest { limit, cursor }).await?;
    Ok(Answer(Response {
        tenants: page.items.into_iter().map(ListedTenant::from).collect(),
        next_cursor: page.next_cursor,
    }))
}
