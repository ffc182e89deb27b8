//! The program `agentfs-server`: parses the command line and hands over to the library.

use std::fmt::Display;
use std::io::{IsTerminal as _, stdout};
use std::pin::Pin;
use std::process::ExitCode;

use agentfs_contract::setting;
use agentfs_server::commands::admin;
use agentfs_server::commands::dev::DevCommand;
use agentfs_server::commands::migrate;
use agentfs_server::commands::serve;
use agentfs_server::listen;
use agentfs_server::recovery::{BackupArgs, BackupError, back_up};
use agentfs_server::runtime::{exit, logging};
use agentfs_server::settings::{DatabaseSettings, LogFormat, LogSettings, Settings};
use agentfs_server::worker;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// AgentFS: durable memory with the shape of a file system for AI agents.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API
    Serve,
    /// Embed what was written, for search by meaning; takes the settings that `serve` takes
    Worker,
    /// Bring the database of DATABASE_URL to this program's schema; with AGENTFS_ADMIN_KEY also make that admin key valid
    Migrate,
    /// Dump the database of DATABASE_URL into a folder, with a manifest of what is in it, and remove old backups
    Backup(BackupArgs),
    /// What operators do by command, on the database of DATABASE_URL
    Admin(admin::AdminArgs),
    #[command(flatten)]
    Dev(DevCommand),
}

/// Resolves when a signal asks for the end.
type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

fn main() -> ExitCode {
    match command_line().command {
        Command::Serve => in_runtime(with_settings(serve::serve)),
        Command::Worker => in_runtime(with_settings(worker::run)),
        Command::Migrate => in_runtime(run_migrate()),
        Command::Backup(args) => in_runtime(run_backup(args)),
        Command::Admin(args) => in_runtime(administer(args)),
        Command::Dev(command) => finish(command.run()),
    }
}

/// The command line, with the settings listed in the help of `serve` and `worker`.
fn command_line() -> Cli {
    let width = Settings::described().map(|s| s.name.len()).max().unwrap_or_default();
    let settings: Vec<String> =
        Settings::described().map(|s| format!("  {:<width$}  {}", s.name, s.about)).collect();
    let help = format!(
        "Settings (environment variables; default in parentheses):\n{}",
        settings.join("\n")
    );
    let command = Cli::command()
        .mut_subcommand("serve", |serve| serve.after_help(help.clone()))
        .mut_subcommand("worker", |worker| worker.after_help(help));
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|e| e.exit())
}

fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => failed(format!("no threads to work with: {error}")),
    }
}

/// Runs `program` with the settings of the environment, on their port, until a signal asks for the end.
async fn with_settings<F, E>(program: impl FnOnce(Settings, TcpListener, Shutdown) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => return failed(error),
    };
    let _logs = match logging::start(settings.logs) {
        Ok(guard) => guard,
        Err(sentence) => return failed(sentence),
    };
    listen::allow_open_files(settings.connections.limits.connections);
    let address = settings.listen.address;
    let listener = match listen::bind(address).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let port = address.port();
            return failed(format!(
                "port {port} is in use by another program; end it or set PORT to a free port"
            ));
        }
        Err(error) => return failed(format!("cannot listen on {address}: {error}")),
    };
    tracing::info!("serving on {address}, database {}", settings.database.address.endpoint());
    match shutdown() {
        Ok(shutdown) => finish(program(settings, listener, shutdown).await),
        Err(sentence) => failed(sentence),
    }
}

/// What resolves when a signal asks for the end.
fn shutdown() -> Result<Shutdown, String> {
    let heard = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
    let (mut term, mut int) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    Ok(Box::pin(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    }))
}

async fn run_migrate() -> ExitCode {
    // A program reads what goes into a file or a pipe, a person what is on a terminal.
    let format = if stdout().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let logs = LogSettings::from_env(format).map_err(|error| error.to_string());
    let _logs = match logs.and_then(logging::start) {
        Ok(guard) => guard,
        Err(sentence) => return failed(sentence),
    };
    let admin_key =
        std::env::var(setting::ADMIN_KEY).ok().filter(|key| !key.is_empty()).map(Into::into);
    let migrated = async {
        let address = DatabaseSettings::address_from_env()?;
        migrate::migrate(&address, admin_key.as_ref()).await
    };
    match migrated.await {
        Ok(report) => {
            tracing::info!(
                "schema version {}: {} migrations applied now",
                report.version,
                report.applied
            );
            ExitCode::SUCCESS
        }
        Err(error) => failed_for_all_to_see(&error, error.exit_code()),
    }
}

/// A failure that Kubernetes tells of as well.
fn failed_for_all_to_see(error: &impl Display, code: ExitCode) -> ExitCode {
    exit::write_termination_message(&error.to_string());
    failed(error);
    code
}

async fn run_backup(args: BackupArgs) -> ExitCode {
    let shutdown = match shutdown() {
        Ok(shutdown) => shutdown,
        Err(sentence) => return failed(sentence),
    };
    let made = tokio::select! {
        made = back_up(&args) => made,
        () = shutdown => Err(BackupError::Interrupted),
    };
    match made {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => failed_for_all_to_see(&error, error.exit_code()),
    }
}

async fn administer(args: admin::AdminArgs) -> ExitCode {
    match admin::run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failed(&error);
            error.exit_code()
        }
    }
}

fn finish<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

fn failed(error: impl Display) -> ExitCode {
    eprintln!("agentfs-server: {error}");
    ExitCode::FAILURE
}
