//! `agentfs-server migrate`: the schema, and the first key of a deployment.

use std::process::ExitCode;

use secrecy::SecretString;

use crate::commands::admin::{self, AdminError};
use crate::runtime::exit;
use crate::settings::SettingsError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::schema::{self, MigrationError, MigrationReport};

/// Why migrating failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The database could not be brought to the schema.
    #[error("{error} (database {endpoint})")]
    Migration {
        /// `host:port`.
        endpoint: String,
        /// What went wrong.
        #[source]
        error: MigrationError,
    },
    /// The schema is there, the admin key is not.
    #[error(transparent)]
    AdminKey(#[from] AdminError),
}

impl MigrateError {
    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        exit::after_failure(match self {
            Self::Settings(_) => false,
            Self::Migration { error, .. } => match error {
                MigrationError::Store(error) => error.is_transient(),
                MigrationError::Locked | MigrationError::LockTimeout { .. } => true,
                MigrationError::Blocker(_) | MigrationError::Failed(_) => false,
            },
            Self::AdminKey(error) => error.is_transient(),
        })
    }
}

/// Migrates the database, and makes `admin_key`, where one is given, its deployment's admin key.
pub async fn migrate(
    address: &DatabaseAddress,
    admin_key: Option<&SecretString>,
) -> Result<MigrationReport, MigrateError> {
    let report = schema::migrate(address)
        .await
        .map_err(|error| MigrateError::Migration { endpoint: address.endpoint(), error })?;
    if let Some(key) = admin_key {
        admin::keep_admin_key(address, key).await?;
    }
    Ok(report)
}
