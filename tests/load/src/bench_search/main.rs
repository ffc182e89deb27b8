//! `make bench-search`: searches by meaning over HTTP among 10,000 and 100,000 vectors, with filters that keep all, a tenth, a
//! hundredth and a thousandth of them: how many are returned of those asked for, how many of the nearest are among them, and
//! how long it takes. README.md says how to read it.

mod entries;
mod measure;
mod provider;
mod vectors;

use std::path::Path;
use std::process::ExitCode;

use agentfs_load::postgres::Postgres;
use agentfs_load::servers::Servers;
use agentfs_load::{program, vector_indexes};
use agentfs_server::commands::admin;
use agentfs_server::commands::admin::CreateKey;
use agentfs_server::commands::migrate;
use anyhow::Context as _;
use clap::Parser;
use secrecy::ExposeSecret as _;

use crate::measure::{Asker, Row};
use crate::vectors::{DIMENSIONS, Space};

/// Searches by meaning; fails when filters cost results, or the index misses too many of the nearest.
#[derive(Debug, Parser)]
#[command(name = "bench-search")]
struct Args {
    /// Vectors of the small and of the large measurement
    #[arg(long, default_values_t = [10_000, 100_000], num_args = 2)]
    vectors: Vec<usize>,
    /// Queries of each filter
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    queries: u32,
}

// One thread: a child is sent a signal when the thread that started it ends, and this one ends last.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    Box::pin(program::run("bench-search", async |servers, folder| {
        bench(&args, servers, folder).await
    }))
    .await
}

/// Measures and prints; true when every row is good.
async fn bench(args: &Args, servers: &mut Servers, folder: &Path) -> anyhow::Result<bool> {
    let space = Space::new();
    let postgres = Postgres::start(servers).await?;
    let database = postgres.database()?;
    migrate::migrate(&database, None).await?;
    let wanted =
        CreateKey { label: "bench".into(), tenant: None, scopes: vec![], expires_in_seconds: None };
    let key = admin::create_key(&database, &wanted).await?.reveal();
    let model = entries::make_model(&database).await?;
    let provider = provider::start(space.clone()).await?;
    let dimensions = DIMENSIONS.to_string();
    let environment = [
        ("DATABASE_URL", postgres.database_url()),
        ("OPENAI_BASE_URL", provider.as_str()),
        ("OPENAI_EMBED_MODEL", entries::MODEL),
        ("OPENAI_EMBED_DIMENSIONS", dimensions.as_str()),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
        ("SEARCH_RATE_LIMIT_PER_MINUTE", "0"),
        ("EMBED_TOKENS_QUOTA_PER_DAY", "0"),
    ];
    let mut rows = Vec::new();
    let mut there = 0;
    println!("{}", Row::HEADING);
    for (&count, with_index) in args.vectors.iter().zip([false, true]) {
        entries::fill(&database, model, &space, there..count).await.context("filling")?;
        there = there.max(count);
        if with_index {
            let model = format!("{}/{DIMENSIONS}", entries::MODEL);
            vector_indexes::build(postgres.database_url(), &model, "512MB").await?;
        }
        let api = servers.start_http("agentfs-server", &["serve"], &environment, folder).await?;
        let asker = Asker::new(&api.url, key.expose_secret(), &space, there)?;
        for filter in measure::FILTERS {
            let row = asker.measure(filter, args.queries).await?;
            println!("{row}");
            rows.push(row);
        }
        servers.end("agentfs-server").await;
    }
    Ok(rows.iter().all(Row::is_good))
}
