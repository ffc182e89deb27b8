//! Administrators, and the tenants that they may administer.

use crate::domain::{DEFAULT_TENANT, TenantId};

/// An authenticated administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administrator {
    /// All tenants.
    Cluster,
    /// One tenant.
    Tenant(TenantId),
}

/// Why an administrator of one tenant is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The request is about another tenant.
    #[error(
        "an admin key is for its own tenant alone; for another one use an admin key of the default tenant"
    )]
    AnotherTenant,
    /// The request is about all tenants.
    #[error("this needs an admin key of the default tenant, which is for all tenants")]
    AllTenants,
}

impl Administrator {
    /// The owner of an admin key of `tenant`: admin keys of the default tenant are for all tenants.
    pub fn of(tenant: TenantId) -> Self {
        match tenant {
            DEFAULT_TENANT => Self::Cluster,
            own => Self::Tenant(own),
        }
    }

    /// The tenant of a request: the one that it names, else the administrator's own.
    pub fn tenant(self, named: Option<TenantId>) -> Result<TenantId, NotAllowed> {
        match (self, named) {
            (Self::Cluster, named) => Ok(named.unwrap_or(DEFAULT_TENANT)),
            (Self::Tenant(own), None) => Ok(own),
            (Self::Tenant(own), Some(named)) if named == own => Ok(own),
            (Self::Tenant(_), Some(_)) => Err(NotAllowed::AnotherTenant),
        }
    }

    /// The tenants of a request: the one that it names, else all that the administrator may administer; `None` is all.
    pub fn tenants(self, named: Option<TenantId>) -> Result<Option<TenantId>, NotAllowed> {
        match (self, named) {
            (Self::Cluster, named) => Ok(named),
            (Self::Tenant(_), named) => self.tenant(named).map(Some),
        }
    }

    /// Refuses the administrator of one tenant.
    pub fn of_all(self) -> Result<(), NotAllowed> {
        match self {
            Self::Cluster => Ok(()),
            Self::Tenant(_) => Err(NotAllowed::AllTenants),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tenants_administrator_reaches_no_other_tenant() {
        let (own, other) = (TenantId(Uuid::new_v4()), TenantId(Uuid::new_v4()));
        let tenant = Administrator::of(own);
        assert_eq!(tenant.tenant(None), Ok(own));
        assert_eq!(tenant.tenant(Some(own)), Ok(own));
        assert_eq!(tenant.tenant(Some(other)), Err(NotAllowed::AnotherTenant));
        assert_eq!(tenant.tenants(None), Ok(Some(own)));
        assert_eq!(tenant.tenants(Some(other)), Err(NotAllowed::AnotherTenant));
        assert_eq!(tenant.of_all(), Err(NotAllowed::AllTenants));
        let cluster = Administrator::of(DEFAULT_TENANT);
        assert_eq!(cluster.tenant(None), Ok(DEFAULT_TENANT));
        assert_eq!(cluster.tenant(Some(other)), Ok(other));
        assert_eq!((cluster.tenants(None), cluster.tenants(Some(own))), (Ok(None), Ok(Some(own))));
        assert_eq!(cluster.of_all(), Ok(()));
    }
}
