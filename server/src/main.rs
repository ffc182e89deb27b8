//! The program `agentfs-server`: parses the command line and hands over to the command.

use std::process::ExitCode;

use agentfs_server::commands::dev::DevCommand;
use agentfs_server::commands::recovery::{
    backup, backups, catalog, drill, forget, restore, scratch_serve, verify,
};
use agentfs_server::commands::{
    admin, export, import, mcp, migrate, openapi, postgres_exec, serve, worker,
};
use agentfs_server::runtime::exit::finish;
use agentfs_server::settings::{Described, Settings};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use mimalloc::MiMalloc;

/// Requests allocate many small things, and free them on other threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// AgentFS: durable memory for AI agents, with the shape of a file system.
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
    /// Run a worker, which computes embeddings for semantic search
    Worker,
    /// Migrate the schema of the database of DATABASE_URL; with AGENTFS_ADMIN_KEY, also create that admin key
    Migrate,
    /// Back up the database of DATABASE_URL to a location, as a dump with a manifest, and remove old backups
    Backup(backup::BackupArgs),
    /// List the backups at a location, whether each is verified, and why it is kept
    Backups(backups::BackupsArgs),
    /// Verify that a backup restores: compare it with its manifest, restore it into a throwaway PostgreSQL, and serve
    /// from that
    Verify(verify::VerifyArgs),
    /// The API on a restored database, for `verify`
    #[command(hide = true, name = scratch_serve::SUBCOMMAND)]
    ScratchServe,
    /// Remove backups by id, or all backups of a lost instance
    Forget(forget::ForgetArgs),
    /// Check the catalogue of a backup location, or sync it to Kubernetes
    Catalog(catalog::CatalogArgs),
    /// Restore a backup in place while the API serves, undo that, or restore into a new database
    Restore(restore::RestoreArgs),
    /// Run a disaster recovery drill on the database of DATABASE_URL: measure the recovery point and time, then clean
    /// up
    Drill(drill::DrillArgs),
    /// Administer the database of DATABASE_URL: tenants, keys, quotas, embedding models, jobs
    Admin(admin::AdminArgs),
    /// Import entries from a file of JSON lines, through a running API
    Import(import::ImportArgs),
    /// Export an agent's entries as JSON lines, through a running API
    Export(export::ExportArgs),
    /// Serve MCP on standard input and output, for desktop clients, through a running API
    Mcp(mcp::McpArgs),
    /// Print the OpenAPI 3.1 document of the API, which a running server has at /openapi.json
    Openapi,
    /// The step between this program and one of PostgreSQL's
    #[command(hide = true, name = postgres_exec::SUBCOMMAND)]
    PostgresExec(postgres_exec::ExecArgs),
    #[command(flatten)]
    Dev(DevCommand),
}

fn main() -> ExitCode {
    match command_line().command {
        Command::Serve => serve::run(),
        Command::Worker => worker::run(),
        Command::Migrate => migrate::run(),
        Command::Backup(args) => backup::run(args),
        Command::Backups(args) => backups::run(args),
        Command::Verify(args) => verify::run(args),
        Command::ScratchServe => scratch_serve::run(),
        Command::Forget(args) => forget::run(args),
        Command::Catalog(args) => catalog::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Drill(args) => drill::run(args),
        Command::Admin(args) => admin::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Mcp(args) => mcp::run(args),
        Command::Openapi => finish(openapi::print()),
        Command::PostgresExec(args) => postgres_exec::run(&args),
        Command::Dev(command) => finish(command.run()),
    }
}

/// Parses the command line; the help of `serve` and `worker` lists their settings.
fn command_line() -> Cli {
    let of_serve = help(&Settings::described().collect::<Vec<_>>());
    let of_worker = help(&Settings::described_for_workers().collect::<Vec<_>>());
    let command = Cli::command()
        .mut_subcommand("serve", |serve| serve.after_help(of_serve))
        .mut_subcommand("worker", |worker| worker.after_help(of_worker));
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|e| e.exit())
}

fn help(settings: &[Described]) -> String {
    let width = settings.iter().map(|s| s.name.len()).max().unwrap_or_default();
    let lines: Vec<String> =
        settings.iter().map(|s| format!("  {:<width$}  {}", s.name, s.about)).collect();
    format!("Settings (environment variables; default in parentheses):\n{}", lines.join("\n"))
}
