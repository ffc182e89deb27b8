//! Connections for the use cases of tenancy: from a server's pool, or of their own.

use std::ops::{Deref, DerefMut};

use futures::TryFutureExt as _;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;

use super::TenancyError;
use crate::domain::TenantId;
use crate::runtime::fair_pool::{FairPool, Share};
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::schema;

/// The source of connections.
#[derive(Debug, Clone)]
pub(super) enum Connections {
    /// A pool that administrators share, by their tenants.
    Pool(FairPool),
    /// A new connection each time.
    Direct(Box<DatabaseAddress>),
}

/// A connection to a database whose schema matches this program.
#[derive(Debug)]
pub(super) enum Connection {
    /// From a pool, for as long as the tenant's turn lasts.
    Pooled { connection: PoolConnection<Postgres>, _share: Share },
    /// Unshared.
    Own(PgConnection),
}

impl Connections {
    /// Connects, or takes a connection from the pool when it is the turn of `tenant`.
    pub(super) async fn connection(&self, tenant: TenantId) -> Result<Connection, TenancyError> {
        match self {
            Self::Pool(pool) => {
                let share = pool.share(tenant).await.map_err(|_| TenancyError::Busy)?;
                let connection = pool.pool().acquire_alive().await.map_err(StoreError::from)?;
                Ok(Connection::Pooled { connection, _share: share })
            }
            Self::Direct(address) => {
                let mut connection = address.connect_unlimited().await?;
                schema::read(&mut connection).await?.fits()?;
                Ok(Connection::Own(connection))
            }
        }
    }

    /// Does `work` on one of the connections. Use cases that a server calls need it: an error that says that the connection is
    /// outdated invalidates those of the whole pool.
    pub(super) fn noting<T>(
        &self,
        work: impl Future<Output = Result<T, TenancyError>>,
    ) -> impl Future<Output = Result<T, TenancyError>> {
        // Not an async fn, whose future would hold the work twice.
        work.inspect_err(move |error| {
            if let (Self::Pool(pool), TenancyError::Store(error)) = (self, error) {
                pool.pool().note(error);
            }
        })
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Pooled { connection, .. } => connection,
            Self::Own(connection) => connection,
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Pooled { connection, .. } => connection,
            Self::Own(connection) => connection,
        }
    }
}
