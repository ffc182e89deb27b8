//! Creates and lists tenants.

use uuid::Uuid;

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
        by.must_be_of_all()?;
        let name = TenantName::parse(name)?;
        let id = TenantId(Uuid::new_v4());
        let insert = async {
            let mut connection = self.connection().await?;
            let act = by.begin("create_tenant", &id.to_string(), Some(id));
            tenants::insert(&mut *connection, id, &name).await?;
            act.done("");
            Ok(())
        };
        self.0.noting(insert).await?;
        Ok(NewTenant { id, name })
    }

    /// Lists all tenants, the oldest first.
    pub async fn tenants(&self, by: Administrator) -> Result<Vec<Tenant>, TenancyError> {
        by.must_be_of_all()?;
        Ok(tenants::list(&mut *self.connection().await?).await?)
    }
}
