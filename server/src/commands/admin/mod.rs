//! `agentfs-server admin`: operators' commands on the database of DATABASE_URL, one file a subject.

mod embeddings;
mod keys;
mod output;
mod quota;
mod requeue;
mod tenants;

pub use keys::{CreateKey, create_key, keep_admin_key};

use std::io;
use std::process::ExitCode;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use self::embeddings::EmbeddingsCommand;
use self::output::Output;
use crate::domain::TenantId;
use crate::domain::access::api_key::{MalformedKey, MalformedKeyId};
use crate::domain::access::new_api_key::InvalidNewApiKey;
use crate::domain::access::tenant_name::InvalidTenantName;
use crate::runtime::exit::{self, failed};
use crate::runtime::logging;
use crate::settings::{DatabaseSettings, SettingsError};
use crate::store::StoreError;
use crate::store::access::tenants as stored_tenants;
use crate::store::connection::address::DatabaseAddress;
use crate::store::schema::{self, SchemaMismatch};

/// Arguments of `agentfs-server admin`.
#[derive(Debug, clap::Args)]
pub struct AdminArgs {
    /// How the result is printed: for people, or as one JSON object
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AdminCommand {
    /// Make a tenant and print its id
    CreateTenant(tenants::CreateTenant),
    /// List all tenants
    ListTenants,
    /// Make an API key and print it; it is shown this once
    CreateKey(CreateKey),
    /// List API keys, without their secrets
    ListKeys(keys::ListKeys),
    /// End an API key; it stops working within 10 s on every replica
    RevokeKey(keys::RevokeKey),
    /// Show or reset what tenants have used of the day's quotas
    Quota {
        #[command(subcommand)]
        command: quota::QuotaCommand,
    },
    /// Show the embedding models, and change from one to another without a stop
    Embeddings {
        #[command(subcommand)]
        command: embeddings::EmbeddingsCommand,
    },
    /// Put failed embedding jobs back into the queue
    Requeue(requeue::Requeue),
}

/// Why an admin command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The environment does not say where the database is.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database has no schema, or another program's.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
    /// No key can be made on such terms.
    #[error(transparent)]
    NewKey(#[from] InvalidNewApiKey),
    /// No tenant can have such a name.
    #[error(transparent)]
    TenantName(#[from] InvalidTenantName),
    /// No key has such an id.
    #[error(transparent)]
    KeyId(#[from] MalformedKeyId),
    /// A tenant that does not exist.
    #[error("there is no tenant {0}; agentfs-server admin list-tenants lists them")]
    NoTenant(Uuid),
    /// A key that does not exist.
    #[error("there is no key {0}; agentfs-server admin list-keys lists them")]
    NoKey(String),
    /// A model that does not exist.
    #[error("there is no embedding model {0}; agentfs-server admin embeddings status lists them")]
    NoModel(String),
    /// What a model's state does not allow.
    #[error("{0}")]
    Model(String),
    /// AGENTFS_ADMIN_KEY is no key.
    #[error("AGENTFS_ADMIN_KEY is not valid: {0}")]
    AdminKey(#[from] MalformedKey),
    /// The result cannot be printed.
    #[error("it is done, but the result cannot be printed: {0}")]
    Print(#[from] io::Error),
}

impl AdminError {
    /// Whether a retry may succeed without anybody fixing something.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// The process' exit code.
    pub fn exit_code(&self) -> ExitCode {
        exit::after_failure(self.is_transient())
    }
}

/// Runs the command.
pub async fn run(args: AdminArgs) -> ExitCode {
    if let Err(sentence) = logging::start_beside_output() {
        return failed(sentence);
    }
    match run_and_print(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failed(&error);
            error.exit_code()
        }
    }
}

/// Runs a command and prints its result.
async fn run_and_print(args: &AdminArgs) -> Result<(), AdminError> {
    let address = DatabaseSettings::address_from_env()?;
    let output = args.output;
    match &args.command {
        AdminCommand::CreateTenant(wanted) => output.print(&wanted.run(&address).await?),
        AdminCommand::ListTenants => output.print(&tenants::list(&address).await?),
        AdminCommand::CreateKey(wanted) => output.print(&wanted.run(&address).await?),
        AdminCommand::ListKeys(wanted) => output.print(&wanted.run(&address).await?),
        AdminCommand::RevokeKey(wanted) => output.print(&wanted.run(&address).await?),
        AdminCommand::Quota { command: quota::QuotaCommand::Show(wanted) } => {
            output.print(&wanted.run(&address).await?)
        }
        AdminCommand::Quota { command: quota::QuotaCommand::Reset(wanted) } => {
            output.print(&wanted.run(&address).await?)
        }
        AdminCommand::Embeddings { command } => match command {
            EmbeddingsCommand::Status => output.print(&embeddings::status(&address).await?),
            EmbeddingsCommand::Index(wanted) => output.print(&wanted.run(&address).await?),
            EmbeddingsCommand::Switch(wanted) => output.print(&wanted.run(&address).await?),
            EmbeddingsCommand::Drop(wanted) => output.print(&wanted.run(&address).await?),
        },
        AdminCommand::Requeue(wanted) => output.print(&wanted.run(&address).await?),
    }
    .map_err(Into::into)
}

/// Connects to a database whose schema matches this program.
async fn open(address: &DatabaseAddress) -> Result<PgConnection, AdminError> {
    let mut connection = address.connect_unlimited().await?;
    schema::read(&mut connection).await?.fits()?;
    Ok(connection)
}

/// Fails if the tenant does not exist; else a mistyped id would look like an empty tenant.
async fn must_exist(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
) -> Result<Option<TenantId>, AdminError> {
    let Some(id) = tenant else { return Ok(None) };
    if stored_tenants::exists(connection, TenantId(id)).await? {
        Ok(Some(TenantId(id)))
    } else {
        Err(AdminError::NoTenant(id))
    }
}
