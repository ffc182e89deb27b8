//! POST /v1/admin/create-tenant

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::error::ApiError;
use super::extract::Administered;
use crate::domain::tenant_name::TenantName;
use crate::store::tenants;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    ok: bool,
    tenant_id: Uuid,
}

pub(super) async fn create_tenant(
    State(app): State<App>,
    Administered { by, request }: Administered<Request>,
) -> Result<Answer<Response>, ApiError> {
    by.of_all()?;
    let name = TenantName::parse(&request.name)?;
    let tenant = tenants::insert(&app.pool, &name).await?;
    Ok(Answer(Response { ok: true, tenant_id: tenant.0 }))
}
