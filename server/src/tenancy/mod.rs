//! Use cases of administrators, called by HTTP and commands alike: tenants, API keys, quotas, embedding models and jobs.

mod administrator;
mod connections;
pub mod drill;
mod error;
pub mod jobs;
pub mod keys;
pub mod models;
mod page;
pub mod quotas;
pub mod tenants;

pub use self::administrator::{Administrator, NotAllowed};
pub use self::error::TenancyError;
pub use self::page::{Page, PageRequest};

use std::future::pending;
use std::panic::resume_unwind;

use sqlx::postgres::PgConnection;

use self::connections::{Connection, Connections};
use crate::domain::TenantId;
use crate::runtime::fair_pool::FairPool;
use crate::store::access::tenants as stored;
use crate::store::connection::address::DatabaseAddress;

/// The dependencies of the use cases: connections, and the most keys of a tenant.
#[derive(Debug)]
pub struct Tenancy(Connections, Option<i64>);

impl Tenancy {
    /// Uses a server's pool, which the tenants' administrators share; the server checks the schema itself.
    pub fn pooled(pool: FairPool) -> Self {
        Self(Connections::Pool(pool), None)
    }

    /// Uses a new connection each time, without timeouts, and checks that the schema matches this program: for commands.
    pub fn direct(address: DatabaseAddress) -> Self {
        Self(Connections::Direct(Box::new(address)), None)
    }

    /// The same, for tenants of at most `keys` keys, without those that are revoked or expired; `None` is without limit.
    #[must_use]
    pub fn with_most_keys(self, keys: Option<i64>) -> Self {
        Self(self.0, keys)
    }

    async fn connection(&self, by: &Administrator) -> Result<Connection, TenancyError> {
        self.0.connection(by.sharer()).await
    }

    /// Does `work` of `by` on a connection to its end, though its client may have gone: what is committed is recorded with its
    /// outcome, and no turn ends before its statement.
    async fn to_the_end<T, F>(
        &self,
        by: Administrator,
        work: impl FnOnce(Connection, Administrator) -> F + Send + 'static,
    ) -> Result<T, TenancyError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TenancyError>> + Send + 'static,
    {
        let connections = self.0.clone();
        let working = tokio::spawn(async move {
            let work = async { work(connections.connection(by.sharer()).await?, by).await };
            connections.noting(work).await
        });
        match working.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime ends, and whoever waits here with it.
                Err(_) => pending().await,
            },
        }
    }
}

/// Fails if the tenant does not exist; else a mistyped id would look like an empty tenant.
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
