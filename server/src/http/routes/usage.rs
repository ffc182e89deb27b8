//! POST /v1/admin/usage

use axum::Json as Answer;
use axum::extract::State;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::TenantId;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::AdminRequest;
use crate::http::openapi::Refusals;
use crate::store::access::quota::UsageOfDay;
use crate::tenancy::PageRequest;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = UsageRequest)]
pub(crate) struct Request {
    /// The tenant. Defaults to all tenants that the caller administers and that used something.
    tenant_id: Option<Uuid>,
    /// The day in UTC, such as 2026-01-28. Defaults to today.
    #[schema(format = Date)]
    day: Option<String>,
    /// The maximum number of results. Defaults to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageAnswer)]
pub(crate) struct Response {
    /// The day in UTC.
    day: String,
    /// Usage by tenant, the oldest tenant first.
    usage: Vec<Usage>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    pub(crate) tenant_id: Uuid,
    pub(crate) name: String,
    /// Versions written.
    pub(crate) writes: i64,
    /// Bytes of the values written.
    pub(crate) bytes: i64,
    /// Idempotency-Keys used.
    pub(crate) idempotency_keys: i64,
    /// Bytes stored at the end of the day, including history.
    pub(crate) stored_bytes: i64,
    /// Tokens embedded.
    pub(crate) embed_tokens: i64,
    pub(crate) searches: i64,
}

impl From<UsageOfDay> for Usage {
    fn from(used: UsageOfDay) -> Self {
        Self {
            tenant_id: used.tenant.0,
            name: used.name,
            writes: used.writes,
            bytes: used.bytes,
            idempotency_keys: used.idempotency_keys,
            stored_bytes: used.stored_bytes,
            embed_tokens: used.embed_tokens,
            searches: used.searches,
        }
    }
}

/// Show what tenants used of their quotas on a day
#[utoipa::path(post, path = "/v1/admin/usage", operation_id = "get_usage", tag = "admin", request_body = Request,
    responses((status = 200, description = "A page of tenants.", body = Response), Refusals))]
pub(crate) async fn usage(
    State(app): State<App>,
    AdminRequest { by, request }: AdminRequest<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Request { tenant_id, day, limit, cursor } = request;
    let day = day.as_deref().map(date).transpose()?;
    let page = PageRequest { limit, cursor };
    let used = app.tenancy.usage(by, tenant_id.map(TenantId), day, &page).await?;
    Ok(Answer(Response {
        day: used.day.to_string(),
        usage: used.tenants.items.into_iter().map(Usage::from).collect(),
        next_cursor: used.tenants.next_cursor,
    }))
}

fn date(text: &str) -> Result<Date, ApiError> {
    // A year before 1 has a sign, and may be before all that PostgreSQL knows.
    let has_sign = !text.starts_with(|c: char| c.is_ascii_digit());
    Date::strptime("%Y-%m-%d", text)
        .ok()
        .filter(|_| !has_sign)
        .ok_or_else(|| ApiError::new(Code::ValidationError, "day is not a date like 2026-01-28"))
}
