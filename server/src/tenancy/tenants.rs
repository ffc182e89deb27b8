//! Creates and lists tenants.

use uuid::Uuid;

use super::{Administrator, Connection, Page, PageRequest, Tenancy, TenancyError};
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
        let insert = move |mut connection: Connection, by: Administrator| async move {
            let act = by.begin("create_tenant", &id.to_string(), Some(id));
            tenants::insert(&mut *connection, id, &name).await?;
            act.done("");
            Ok(NewTenant { id, name })
        };
        self.to_the_end(by, insert).await
    }

    /// A page of the tenants that the administrator may administer, the oldest first.
    pub async fn tenants(
        &self,
        by: Administrator,
        page: &PageRequest,
    ) -> Result<Page<Tenant>, TenancyError> {
        let only = by.tenants(None)?;
        let bounds = page.after_tenant()?;
        let (after, limit) = (bounds.after, bounds.to_fetch());
        let list = move |mut connection: Connection, _| async move {
            Ok(tenants::list(&mut *connection, only, after, limit).await?)
        };
        let tenants = self.to_the_end(by, list).await?;
        Ok(bounds.page(tenants, |tenant| tenant.id.to_string()))
    }
}
