//! `agentfs-operator`: the controller (`run`), its resource definitions (`crds`) and rights (`rbac`).

use std::process::ExitCode;

use agentfs_operator::crd;
use agentfs_operator::process::settings::RunSettings;
use agentfs_operator::process::{rights, run as process};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// The Kubernetes operator of AgentFS.
#[derive(Parser)]
#[command(name = "agentfs-operator", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controllers until SIGTERM.
    Run(Box<RunSettings>),
    /// Print the custom resource definitions as YAML.
    Crds {
        /// Print a Markdown page instead.
        #[arg(long)]
        docs: bool,
    },
    /// Print the RBAC rules that the operator needs.
    Rbac,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(settings) => run(*settings),
        Command::Crds { docs: true } => {
            print!("{}", crd::docs::page());
            Ok(())
        }
        Command::Crds { docs: false } => print_crds(),
        Command::Rbac => {
            print!("{}", rights::to_yaml());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agentfs-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> anyhow::Result<()> {
    for (at, definition) in crd::all().iter().enumerate() {
        let between = if at == 0 { "" } else { "---\n" };
        print!("{between}{}", crd::to_yaml(definition)?);
    }
    Ok(())
}

fn run(settings: RunSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| {
        format!("AGENTFS_LOG {:?} is not a log filter; example: info", settings.log)
    })?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(process::run(settings))
}
