//! `agentfs-server admin`: operators' commands on the database of DATABASE_URL, one file a subject.

mod embeddings;
mod keys;
mod quota;
mod requeue;
mod tenants;

pub use keys::{CreateKey, create_key};

use std::io;
use std::process::ExitCode;

use self::embeddings::EmbeddingsCommand;
use crate::commands::in_runtime;
use crate::commands::output::Output;
use crate::runtime::exit::{self, failed};
use crate::runtime::logging;
use crate::settings::{DatabaseSettings, LimitSettings, SettingsError};
use crate::store::connection::address::DatabaseAddress;
use crate::tenancy::models::NotPossible;
use crate::tenancy::{Page, PageRequest, Tenancy, TenancyError};

/// Arguments of `agentfs-server admin`.
#[derive(Debug, clap::Args)]
pub struct AdminArgs {
    /// The output format: text for people, or one JSON object
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AdminCommand {
    /// Create a tenant and print its id and name; `--output json` prints the id for scripts
    CreateTenant(tenants::CreateTenant),
    /// List all tenants
    ListTenants,
    /// Create an API key and print it; it is shown only once
    CreateKey(CreateKey),
    /// List API keys, without their secrets
    ListKeys(keys::ListKeys),
    /// Revoke an API key; it stops working within 10 s on every replica
    RevokeKey(keys::RevokeKey),
    /// Show what tenants used on a day (same as `quota show`)
    Usage(quota::Show),
    /// Show or reset what tenants used of their quotas
    Quota {
        #[command(subcommand)]
        command: quota::QuotaCommand,
    },
    /// Show embedding models, and switch from one to another without interrupting search
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
    /// The use case failed.
    #[error("{0}{remedy}", remedy = remedy(.0))]
    Tenancy(#[from] TenancyError),
    /// The result cannot be printed.
    #[error("it is done, but the result cannot be printed: {0}")]
    Print(#[from] io::Error),
}

impl AdminError {
    /// Whether a retry may succeed without anybody fixing something.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Tenancy(error) if error.is_transient())
    }

    /// The process' exit code.
    pub fn exit_code(&self) -> ExitCode {
        exit::after_failure(self.is_transient())
    }
}

/// Runs the command.
pub fn run(args: AdminArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: AdminArgs) -> ExitCode {
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
    let address = DatabaseAddress::of(&DatabaseSettings::url_from_env()?);
    let tenancy = Tenancy::direct(address);
    let output = args.output;
    match &args.command {
        AdminCommand::CreateTenant(wanted) => output.print(&wanted.run(&tenancy).await?),
        AdminCommand::ListTenants => output.print(&tenants::list(&tenancy).await?),
        AdminCommand::CreateKey(wanted) => {
            let tenancy = tenancy.with_most_keys(LimitSettings::keys_per_tenant_from_env()?);
            output.print(&wanted.run(&tenancy).await?)
        }
        AdminCommand::ListKeys(wanted) => output.print(&wanted.run(&tenancy).await?),
        AdminCommand::RevokeKey(wanted) => output.print(&wanted.run(&tenancy).await?),
        AdminCommand::Usage(wanted)
        | AdminCommand::Quota { command: quota::QuotaCommand::Show(wanted) } => {
            output.print(&wanted.run(&tenancy).await?)
        }
        AdminCommand::Quota { command: quota::QuotaCommand::Reset(wanted) } => {
            output.print(&wanted.run(&tenancy).await?)
        }
        AdminCommand::Quota { command: quota::QuotaCommand::Recount(wanted) } => {
            output.print(&wanted.run(&tenancy).await?)
        }
        AdminCommand::Embeddings { command } => match command {
            EmbeddingsCommand::Status => output.print(&embeddings::status(&tenancy).await?),
            EmbeddingsCommand::Index(wanted) => output.print(&wanted.run(&tenancy).await?),
            EmbeddingsCommand::Switch(wanted) => output.print(&wanted.run(&tenancy).await?),
            EmbeddingsCommand::Drop(wanted) => output.print(&wanted.run(&tenancy).await?),
        },
        AdminCommand::Requeue(wanted) => output.print(&wanted.run(&tenancy).await?),
    }
    .map_err(Into::into)
}

/// All items of a list that `page` gives in pages.
async fn all_pages<T>(
    page: impl AsyncFn(PageRequest) -> Result<Page<T>, TenancyError>,
) -> Result<Vec<T>, TenancyError> {
    let (mut all, mut request) = (Vec::new(), PageRequest::default());
    loop {
        let Page { items, next_cursor } = page(request).await?;
        all.extend(items);
        if next_cursor.is_none() {
            return Ok(all);
        }
        request = PageRequest { limit: None, cursor: next_cursor };
    }
}

/// What to do about an error, by command.
fn remedy(error: &TenancyError) -> &'static str {
    match error {
        TenancyError::NoTenant(_) => "; agentfs-server admin list-tenants lists them",
        TenancyError::NoKey(_) => "; agentfs-server admin list-keys lists them",
        TenancyError::NoModel(_) => "; agentfs-server admin embeddings status lists them",
        TenancyError::Model(not_possible) => match not_possible {
            NotPossible::IndexIsBuilt => "; admin embeddings status shows when it is ready",
            NotPossible::Retired(_) => {
                "; set it as the NEXT_ model of the workers, which fill it again"
            }
            NotPossible::NotLookedAt { .. } => "; wait for it",
            NotPossible::NotFilled { .. } => {
                "; wait, requeue what failed, or switch with --force: until then only full-text search finds them"
            }
            NotPossible::Changed(_) => "; look again",
            NotPossible::Serving(_) => {
                "; have them use another model first, by admin embeddings switch"
            }
            NotPossible::UsedByWorker(_) => "; take it out of the workers' settings, then drop it",
        },
        _ => "",
    }
}
