//! Administrators, and the tenants that they may administer.

use crate::audit::{Act, Actor};
use crate::domain::access::api_key::KeyId;
use crate::domain::{DEFAULT_TENANT, TenantId};

/// An authenticated administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// The one tenant that is administered; `None` is all.
    only: Option<TenantId>,
    actor: Actor,
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
    /// Whoever runs a command of this program: administers all tenants.
    pub fn command() -> Self {
        Self::of_all(Actor::command())
    }

    /// `actor` as the administrator of all tenants.
    pub fn of_all(actor: Actor) -> Self {
        Self { only: None, actor }
    }

    /// `actor` with an admin key of `tenant`: admin keys of the default tenant are for all tenants.
    pub fn of(tenant: TenantId, actor: Actor) -> Self {
        Self { only: Some(tenant).filter(|tenant| *tenant != DEFAULT_TENANT), actor }
    }

    /// Whose share of the connections its requests take.
    pub(super) fn sharer(&self) -> TenantId {
        self.only.unwrap_or(DEFAULT_TENANT)
    }

    /// The administrator's key, if it has one.
    pub fn key(&self) -> Option<KeyId> {
        self.actor.key()
    }

    /// Begins an act, for the audit log. `id`: of what is made or changed; `tenant`: whose it is.
    pub(super) fn begin(&self, act: &'static str, id: &str, tenant: Option<TenantId>) -> Act {
        self.actor.begin(act, id, tenant)
    }

    /// The tenant of a request: the one that it names, else the administrator's own.
    pub fn tenant(&self, named: Option<TenantId>) -> Result<TenantId, NotAllowed> {
        match (self.only, named) {
            (None, named) => Ok(named.unwrap_or(DEFAULT_TENANT)),
            (Some(own), None) => Ok(own),
            (Some(own), Some(named)) if named == own => Ok(own),
            (Some(_), Some(_)) => Err(NotAllowed::AnotherTenant),
        }
    }

    /// The tenants of a request: the one that it names, else all that the administrator may administer; `None` is all.
    pub fn tenants(&self, named: Option<TenantId>) -> Result<Option<TenantId>, NotAllowed> {
        match self.only {
            None => Ok(named),
            Some(_) => self.tenant(named).map(Some),
        }
    }

    /// Refuses the administrator of one tenant.
    pub fn must_be_of_all(&self) -> Result<(), NotAllowed> {
        if self.only.is_none() { Ok(()) } else { Err(NotAllowed::AllTenants) }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tenants_administrator_reaches_no_other_tenant() {
        let (own, other) = (TenantId(Uuid::new_v4()), TenantId(Uuid::new_v4()));
        let tenant = Administrator::of(own, Actor::command());
        assert_eq!(tenant.tenant(None), Ok(own));
        assert_eq!(tenant.tenant(Some(own)), Ok(own));
        assert_eq!(tenant.tenant(Some(other)), Err(NotAllowed::AnotherTenant));
        assert_eq!(tenant.tenants(None), Ok(Some(own)));
        assert_eq!(tenant.tenants(Some(other)), Err(NotAllowed::AnotherTenant));
        assert_eq!(tenant.must_be_of_all(), Err(NotAllowed::AllTenants));
        let cluster = Administrator::of(DEFAULT_TENANT, Actor::command());
        assert_eq!(cluster.tenant(None), Ok(DEFAULT_TENANT));
        assert_eq!(cluster.tenant(Some(other)), Ok(other));
        assert_eq!((cluster.tenants(None), cluster.tenants(Some(own))), (Ok(None), Ok(Some(own))));
        assert_eq!(cluster.must_be_of_all(), Ok(()));
    }
}
