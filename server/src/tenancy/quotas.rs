//! Shows and resets tenants' usage of quotas, and counts anew what they have stored.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::Connection as _;

use super::{Administrator, Connection, Page, PageRequest, Tenancy, TenancyError, must_exist};
use crate::domain::TenantId;
use crate::store::StoreError;
use crate::store::access::quota::{self, Count, UsageOfDay};
use crate::store::access::tenants;
use crate::store::entries::stored_bytes::{self, Counted};

/// Usage on a day.
#[derive(Debug)]
pub struct Usage {
    /// The day, in UTC.
    pub day: Date,
    /// Tenant by tenant, the oldest first.
    pub tenants: Page<UsageOfDay>,
}

/// The result of a reset.
#[derive(Debug)]
pub struct ResetUsage {
    /// The day, in UTC.
    pub day: Date,
    /// False if nothing had been used yet.
    pub used_before: bool,
}

impl Tenancy {
    /// Usage on `day` (default: today) of `tenant`, else of all tenants with usage that the administrator may administer, in pages.
    pub async fn usage(
        &self,
        by: Administrator,
        tenant: Option<TenantId>,
        day: Option<Date>,
        page: &PageRequest,
    ) -> Result<Usage, TenancyError> {
        let tenant = by.tenants(tenant)?;
        let day = day.unwrap_or_else(today);
        let bounds = page.after_tenant()?;
        let (after, limit) = (bounds.after, bounds.to_fetch());
        let usage = move |mut connection: Connection, _| async move {
            must_exist(&mut connection, tenant).await?;
            Ok(quota::usage(&mut *connection, tenant, day, after, limit).await?)
        };
        let tenants = self.to_the_end(by, usage).await?;
        Ok(Usage { day, tenants: bounds.page(tenants, |used| used.tenant.to_string()) })
    }

    /// Sets `counts` of the tenant's current day to 0.
    pub async fn reset_usage(
        &self,
        by: Administrator,
        tenant: TenantId,
        counts: &[Count],
    ) -> Result<ResetUsage, TenancyError> {
        by.must_be_of_all()?;
        let counts = counts.to_vec();
        let reset = move |mut connection: Connection, by: Administrator| async move {
            must_exist(&mut connection, Some(tenant)).await?;
            let act = by.begin("reset_quota", &tenant.to_string(), Some(tenant));
            let used_before = quota::reset(&mut *connection, tenant, &counts).await?;
            act.done(&format!("{counts:?}"));
            Ok(ResetUsage { day: today(), used_before })
        };
        self.to_the_end(by, reset).await
    }
}

impl Tenancy {
    /// Counts anew what `tenant` has stored, else what each has. Takes as long as reading all of it; nobody waits for it.
    pub async fn recount(
        &self,
        by: Administrator,
        tenant: Option<TenantId>,
    ) -> Result<Vec<Counted>, TenancyError> {
        by.must_be_of_all()?;
        let mut connection = self.connection(&by).await?;
        must_exist(&mut connection, tenant).await?;
        let tenants = match tenant {
            Some(tenant) => vec![tenant],
            None => tenants::ids(&mut *connection).await?,
        };
        let mut counted = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let transaction = connection.begin().await.map_err(StoreError::from)?;
            let act = by.begin("recount_quota", &tenant.to_string(), Some(tenant));
            counted.push(stored_bytes::count(transaction, tenant).await?);
            act.done("");
        }
        Ok(counted)
    }
}

/// The current day of quotas: UTC's.
pub fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}
