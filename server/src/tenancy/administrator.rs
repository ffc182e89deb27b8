//! Who administers, and what of.

use crate::domain::{DEFAULT_TENANT, TenantId};

/// One who may administer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administrator {
    /// All tenants.
    Cluster,
    /// One tenant.
    Tenant(TenantId),
}

/// What the administrator of one tenant may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// It is about another tenant.
    #[error(
        "an admin key is for its own tenant alone; for another one use an admin key of the default tenant"
    )]
    AnotherTenant,
    /// It is about all tenants.
    #[error("this needs an admin key of the default tenant, which is for all tenants")]
    AllTenants,
}

impl Administrator {
    /// One with an admin key of `tenant`: those of the default tenant are for all.
    pub fn of(tenant: TenantId) -> Self {
        match tenant {
            DEFAULT_TENANT => Self::Cluster,
            own => Self::Tenant(own),
        }
    }

    /// The tenant that something is about: the one that is named, else the administrator's own.
    pub fn tenant(self, named: Option<TenantId>) -> Result<TenantId, NotAllowed> {
        match (self, named) {
            (Self::Cluster, named) => Ok(named.unwrap_or(DEFAULT_TENANT)),
            (Self::Tenant(own), None) => Ok(own),
            (Self::Tenant(own), Some(named)) if named == own => Ok(own),
            (Self::Tenant(_), Some(_)) => Err(NotAllowed::AnotherTenant),
        }
    }

    /// The tenants that something is about: the one that is named, else all that the administrator reaches, where `None` is
    /// all there are.
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
