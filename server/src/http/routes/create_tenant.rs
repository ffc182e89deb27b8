//! POST /v1/admin/create-tenant

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::AdminRequest;
use crate::http::openapi::Refusals;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CreateTenantRequest)]
pub(crate) struct Request {
    /// A name for people, which need not be unique.
    #[schema(min_length = 1, example = "team blue")]
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreateTenantAnswer)]
pub(crate) struct Response {
    ok: bool,
    tenant_id: Uuid,
}

/// Create a tenant
#[utoipa::path(post, path = "/v1/admin/create-tenant", tag = "admin", request_body = Request,
    responses((status = 200, description = "The tenant.", body = Response), Refusals))]
pub(crate) async fn create_tenant(
    State(app): State<App>,
    AdminRequest { by, request }: AdminRequest<Request>,
) -> Result<Answer<Response>, ApiError> {
    let tenant = app.tenancy.create_tenant(by, &request.name).await?;
    Ok(Answer(Response { ok: true, tenant_id: tenant.id.0 }))
}
