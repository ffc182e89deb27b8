//! `agentfs-server migrate`: applies migrations and creates the first admin key of a deployment.

use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

use agentfs_contract::{setting, termination};
use secrecy::SecretString;

use crate::commands::in_runtime;
use crate::recovery::programs::supported;
use crate::recovery::restore::in_place::drop_expired;
use crate::runtime::exit::{failed, failed_for_all_to_see, write_termination_message};
use crate::runtime::logging;
use crate::settings::{DatabaseSettings, LogSettings, SettingsError};
use crate::store::connection::address::DatabaseAddress;
use crate::store::schema::{self, MigrationError, MigrationReport};
use crate::tenancy::{Tenancy, TenancyError};

/// How long a database is waited for that starts with this program: on a cluster its name may lead to it only a moment later.
const FIRST_CONNECTION: Duration = Duration::from_secs(15);

/// Why a migration failed.
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
        /// The error.
        #[source]
        error: MigrationError,
    },
    /// The schema is there, the admin key is not.
    #[error(transparent)]
    AdminKey(#[from] TenancyError),
}

impl MigrateError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Settings(_) => false,
            Self::Migration { error, .. } => match error {
                MigrationError::Store(error) => error.is_transient(),
                MigrationError::Locked { .. }
                | MigrationError::LockTimeout { .. }
                | MigrationError::Emptied(_) => true,
                MigrationError::Blocker(_)
                | MigrationError::NoSchema(_)
                | MigrationError::NoExtension
                | MigrationError::Strayed { .. }
                | MigrationError::Failed(_) => false,
            },
            Self::AdminKey(error) => error.is_transient(),
        }
    }
}

/// Runs the command with the settings of the environment.
pub fn run() -> ExitCode {
    in_runtime(execute())
}

async fn execute() -> ExitCode {
    let default = LogSettings { format: logging::format_for(&stdout()), ..LogSettings::SERVING };
    let logs = LogSettings::from_env(default).map_err(|error| error.to_string());
    let _logs = match logs.and_then(logging::start) {
        Ok(guard) => guard,
        Err(sentence) => return failed(sentence),
    };
    let admin_key =
        std::env::var(setting::ADMIN_KEY).ok().filter(|key| !key.is_empty()).map(Into::into);
    let migrated = async {
        let url = DatabaseSettings::url_from_env()?;
        let address = DatabaseAddress::of(&url);
        address.wait_until_reachable(FIRST_CONNECTION).await;
        let report = migrate(&address, admin_key.as_ref()).await?;
        drop_expired(&url).await;
        Ok::<_, MigrateError>((report, no_backups(&address).await))
    };
    match migrated.await {
        Ok((report, no_backups)) => {
            let done = if report.applied == 0 { "nothing to migrate" } else { "migrated now" };
            tracing::info!("schema version {}: {done}", report.version);
            if let Some(why) = &no_backups {
                tracing::warn!("no backup of this database can be made: {why}");
            }
            write_termination_message(&termination::MigrationReport::write(no_backups));
            ExitCode::SUCCESS
        }
        Err(error) => failed_for_all_to_see(&error, error.is_transient()),
    }
}

/// Why no backup of the database can be made, as far as its server's version tells.
async fn no_backups(address: &DatabaseAddress) -> Option<String> {
    let major = address.major().await.ok()?;
    supported(major).err().map(|error| error.to_string())
}

/// Migrates the database and, if `admin_key` is given, makes it the deployment's admin key.
pub async fn migrate(
    address: &DatabaseAddress,
    admin_key: Option<&SecretString>,
) -> Result<MigrationReport, MigrateError> {
    let report = schema::migrate(address)
        .await
        .map_err(|error| MigrateError::Migration { endpoint: address.endpoint(), error })?;
    if let Some(key) = admin_key {
        Tenancy::direct(address.clone()).keep_admin_key(key).await?;
    }
    Ok(report)
}
