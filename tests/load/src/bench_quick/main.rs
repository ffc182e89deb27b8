//! `make bench-quick`: gets and puts over HTTP beside the single statements that the same PostgreSQL does for pgbench in the
//! same run, and beside a route of the same HTTP stack that does nothing. Claims are ratios; README.md says how to read them.

mod rounds;
mod table;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::rounds::Plan;
use agentfs_load::machine::Machine;
use agentfs_load::servers::Servers;

/// The whole is ended by a signal.
const INTERRUPTED: u8 = 130;

/// Measures get and put over HTTP beside PostgreSQL's own speed; fails when a ratio is below its limit.
#[derive(Debug, Parser)]
#[command(name = "bench-quick")]
struct Args {
    /// Rounds; the medians count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each of the six measurements of a round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

// One thread: a child is sent a signal when the thread that started it ends, and this one ends last.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut servers = Servers::default();
    let result = tokio::select! {
        result = bench(&args, &mut servers) => result.map(Some),
        signalled = signalled() => signalled.map(|()| None),
    };
    // Whatever happened: nothing is left behind.
    servers.end_all().await;
    match result {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::FAILURE,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("bench-quick: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints the table; true when every limit is kept.
async fn bench(args: &Args, servers: &mut Servers) -> anyhow::Result<bool> {
    let plan = Plan { rounds: args.rounds, seconds: args.seconds };
    let machine = Machine::watch();
    let rounds = rounds::run(plan, servers).await?;
    let table = table::Table::of(&rounds);
    print!("{table}{}", machine.report());
    Ok(table.limits_are_kept())
}

/// Resolves when the whole is asked to end.
async fn signalled() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
