//! `make bench-quick`: gets and puts over HTTP beside the single statements that the same PostgreSQL does for pgbench in the
//! same run, and beside a route of the same HTTP stack that does nothing. Claims are ratios; README.md says how to read them.

mod rounds;
mod table;

use std::path::Path;
use std::process::ExitCode;

use agentfs_load::machine::Machine;
use agentfs_load::program;
use agentfs_load::servers::Servers;
use clap::Parser;

use crate::rounds::Plan;

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
    Box::pin(program::run("bench-quick", async |servers, folder| {
        bench(&args, servers, folder).await
    }))
    .await
}

/// Measures and prints the table; true when every limit is kept.
async fn bench(args: &Args, servers: &mut Servers, folder: &Path) -> anyhow::Result<bool> {
    let plan = Plan { rounds: args.rounds, seconds: args.seconds };
    let machine = Machine::watch();
    let rounds = rounds::run(plan, servers, folder).await?;
    let table = table::Table::of(&rounds);
    print!("{table}{}", machine.report());
    Ok(table.limits_are_kept())
}
