//! `make bench`: gets and puts at their fastest, at a fixed rate, and while something is in their way, and what they leave on disk,
//! each figure beside its limit. README.md says how to read it.

mod deployment;
mod dump;
mod growth;
mod peak;
mod pgbouncer;
mod plan;
mod population;
mod processes;
mod report;
mod serve;
mod snapshot;
mod turns;

use std::path::Path;
use std::process::ExitCode;

use agentfs_load::machine::{self, Machine};
use agentfs_load::program;
use agentfs_load::servers::Servers;
use clap::Parser;

use crate::deployment::Bench;
use crate::plan::{Part, Plan};
use crate::report::{Row, Table};

// One thread: a child is sent a signal when the thread that started it ends, and this one ends last.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let plan = Plan::parse();
    Box::pin(program::run("bench", async |servers, folder| bench(plan, servers, folder).await))
        .await
}

/// Measures and prints the table; true when each limit is kept.
async fn bench(plan: Plan, servers: &mut Servers, folder: &Path) -> anyhow::Result<bool> {
    let watched = Machine::watch();
    let parts: Vec<Part> = plan.parts().collect();
    let mut bench = Bench::start(servers, folder, plan).await?;
    let mut table = Table::default();
    for part in parts {
        for row in measure(part, &mut bench).await? {
            eprintln!("{row}");
            table.0.push(row);
        }
    }
    let version = bench.postgres.version().await?;
    println!(
        "{table}\nMeasured on {} with PostgreSQL {version}.\n{}",
        machine::name(),
        watched.report()
    );
    Ok(table.is_kept())
}

async fn measure(part: Part, bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    match part {
        Part::Peak => peak::beside_pgbench(bench).await,
        Part::OpenLoop => peak::at_a_fixed_rate(bench).await,
        Part::Batches => peak::batches(bench).await,
        Part::Snapshot => snapshot::measure(bench).await,
        Part::Dump => dump::measure(bench).await,
        Part::Entries => population::entries(bench).await,
        Part::Tenants => population::tenants(bench).await,
        Part::Growth => growth::measure(bench).await,
        Part::Processes => processes::measure(bench).await,
        Part::Pgbouncer => pgbouncer::measure(bench).await,
        Part::Serve => serve::measure(bench).await,
    }
}
