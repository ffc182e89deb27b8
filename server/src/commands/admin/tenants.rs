//! `agentfs-server admin create-tenant` and `list-tenants`.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::{AdminError, all_pages};
use crate::commands::output::Table;
use crate::domain::access::tenant_name::TenantName;
use crate::http::ListedTenant;
use crate::tenancy::tenants::NewTenant;
use crate::tenancy::{Administrator, PageRequest, Tenancy};

/// A tenant that is to be made.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateTenant {
    /// The name of the tenant, which need not be unique
    name: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Created {
    ok: bool,
    tenant_id: Uuid,
    #[serde(skip)]
    name: TenantName,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {} is made: {}", self.tenant_id, self.name.as_str())
    }
}

impl CreateTenant {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Created, AdminError> {
        let NewTenant { id, name } =
            tenancy.create_tenant(Administrator::command(), &self.name).await?;
        Ok(Created { ok: true, tenant_id: id.0, name })
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Tenants {
    tenants: Vec<ListedTenant>,
}

impl fmt::Display for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.tenants.iter().map(|t| {
            [
                t.tenant_id.to_string(),
                t.name.clone(),
                t.active_keys.to_string(),
                t.created_at.clone(),
            ]
        });
        Table::new(["ID", "NAME", "ACTIVE KEYS", "CREATED"], rows).fmt(f)
    }
}

/// The id of a tenant, as an option names it.
pub(super) fn tenant_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| {
        "a tenant's id is a UUID; agentfs-server admin list-tenants shows the ids of all tenants"
    })
}

/// All tenants.
pub(crate) async fn list(tenancy: &Tenancy) -> Result<Tenants, AdminError> {
    let page = async |page: PageRequest| tenancy.tenants(Administrator::command(), &page).await;
    let tenants = all_pages(page).await?;
    Ok(Tenants { tenants: tenants.into_iter().map(ListedTenant::from).collect() })
}
