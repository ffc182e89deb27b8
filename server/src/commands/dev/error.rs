//! What can go wrong with `agentfs-server dev`, each as a sentence that says what to do.

use std::io;
use std::net::SocketAddr;

use agentfs_postgres::instance::PostgresError;

use crate::commands::migrate::MigrateError;
use crate::commands::worker::WorkerError;
use crate::recovery::RecoveryError;
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::tenancy::TenancyError;

/// A failure of `agentfs-server dev`.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// PostgreSQL could not be found or run.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// There is an embedding provider, but it cannot be used.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The database does not say which embedding model it has.
    #[error("cannot look up the embedding model of the database: {0}")]
    Model(#[source] StoreError),
    /// The address of `--listen` cannot be had.
    #[error(
        "cannot listen on {address}: {source}. Choose another address by --listen (make dev ARGS=\"--listen 127.0.0.1:8790\")."
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A setting of the environment is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Logging is set wrongly.
    #[error("{0}")]
    Logging(String),
    /// The schema could not be brought up to date, or the admin key of dev.env not stored.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The key of dev.env could not be stored.
    #[error("cannot store the key of dev.env: {0}")]
    Key(#[from] TenancyError),
    /// A backup could not be staged.
    #[error(transparent)]
    Stage(#[from] RecoveryError),
    /// The API ended by itself.
    #[error("the API ended: {0}")]
    Serve(#[source] io::Error),
    /// The API does not become ready on a database that runs.
    #[error("the API on {address} was not ready after {seconds} s; its log lines say why.")]
    ApiNotReady {
        /// Where it was asked.
        address: SocketAddr,
        /// How long it was waited for.
        seconds: u64,
    },
}
