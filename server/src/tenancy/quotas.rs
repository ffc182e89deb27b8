//! Shows and resets what tenants have used of a day's quotas.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Administrator, Tenancy, TenancyError, must_exist};
use crate::domain::TenantId;
use crate::store::access::quota::{self, Counts, UsageOfDay};

/// What tenants have used on a day.
#[derive(Debug)]
pub struct Usage {
    /// The day, in UTC.
    pub day: Date,
    /// Tenant by tenant.
    pub tenants: Vec<UsageOfDay>,
}

/// What became of the counts that were to be 0.
#[derive(Debug)]
pub struct ResetUsage {
    /// The day, in UTC.
    pub day: Date,
    /// False when nothing had been used yet.
    pub used_before: bool,
}

impl Tenancy {
    /// What was used on `day`, or today: by `tenant`, else by all that the administrator reaches and that have used anything.
    pub async fn usage(
        &self,
        by: Administrator,
        tenant: Option<TenantId>,
        day: Option<Date>,
    ) -> Result<Usage, TenancyError> {
        let tenant = by.tenants(tenant)?;
        let day = day.unwrap_or_else(today);
        let tenants = quota::usage(&mut *self.connection().await?, tenant, day).await?;
        match tenant {
            Some(tenant) if tenants.is_empty() => Err(TenancyError::NoTenant(tenant)),
            _ => Ok(Usage { day, tenants }),
        }
    }

    /// Sets `counts` of the tenant's present day to 0.
    pub async fn reset_usage(
        &self,
        by: Administrator,
        tenant: TenantId,
        counts: Counts,
    ) -> Result<ResetUsage, TenancyError> {
        by.of_all()?;
        let mut connection = self.connection().await?;
        must_exist(&mut connection, Some(tenant)).await?;
        let used_before = quota::reset(&mut *connection, tenant, counts).await?;
        Ok(ResetUsage { day: today(), used_before })
    }
}

/// The day that quotas count now: UTC's.
fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}
