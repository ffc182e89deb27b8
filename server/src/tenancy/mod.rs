//! Use cases of those who run an installation: tenants, their keys and quotas, the models of embeddings and their jobs.
//! HTTP and commands call the same.

mod administrator;
mod connections;
mod error;
pub mod jobs;
pub mod keys;
pub mod models;
pub mod quotas;
pub mod tenants;

pub use self::administrator::{Administrator, NotAllowed};
pub use self::error::TenancyError;

use sqlx::postgres::PgConnection;

use self::connections::{Connection, Connections};
use crate::domain::TenantId;
use crate::store::access::tenants as stored;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::pool::Pool;

/// What the use cases work with.
#[derive(Debug)]
pub struct Tenancy(Connections);

impl Tenancy {
    /// On the connections of a server, which looks after the schema by itself.
    pub fn pooled(pool: Pool) -> Self {
        Self(Connections::Pool(pool))
    }

    /// By a connection for each use, without limits, to a database whose schema must be for this program: for commands.
    pub fn direct(address: DatabaseAddress) -> Self {
        Self(Connections::Direct(address))
    }

    async fn connection(&self) -> Result<Connection, TenancyError> {
        self.0.connection().await
    }
}

/// Fails where there is no such tenant: else a mistyped id would look like a tenant that has nothing.
async fn must_exist(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
) -> Result<(), TenancyError> {
    match tenant {
        Some(tenant) if !stored::exists(connection, tenant).await? => {
            Err(TenancyError::NoTenant(tenant))
        }
        _ => Ok(()),
    }
}
