//! Creates and lists tenants.

use super::{Administrator, Tenancy, TenancyError};
use crate::domain::TenantId;
use crate::domain::access::tenant_name::TenantName;
use crate::store::access::tenants::{self, Tenant};

/// A created tenant.
#[derive(Debug)]
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, as stored.
    pub name: TenantName,
}

impl Tenancy {
    /// Creates a tenant.
    pub async fn create_tenant(
        &self,
        by: Administrator,
        name: &str,
    ) -> Result<NewTenant, TenancyError> {
        by.of_all()?;
        let name = TenantName::parse(name)?;
        let insert = async { Ok(tenants::insert(&mut *self.connection().await?, &name).await?) };
        let id = self.0.noting(insert).await?;
        Ok(NewTenant { id, name })
    }

    /// Lists all tenants, the oldest first.
    pub async fn tenants(&self, by: Administrator) -> Result<Vec<Tenant>, TenancyError> {
        by.of_all()?;
        Ok(tenants::list(&mut *self.connection().await?).await?)
    }
}
