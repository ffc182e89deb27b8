//! `make bench-jobs`: embedding jobs a second of one worker whose provider takes no time: claimed, asked for over HTTP, written
//! with their vectors of 384 numbers. README.md says how to read it.

mod provider;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agentfs_load::postgres::Postgres;
use agentfs_load::program;
use agentfs_load::servers::Servers;
use agentfs_server::commands::migrate;
use anyhow::{Context as _, ensure};
use clap::Parser;
use sqlx::{Executor as _, PgConnection};
use tokio::time::{sleep, timeout};

use crate::provider::DIMENSIONS;

/// Jobs of a worker whose provider takes no time; fails when there are fewer a second than the limit.
#[derive(Debug, Parser)]
#[command(name = "bench-jobs")]
struct Args {
    /// Jobs of a round
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(i32).range(1000..=1_000_000))]
    jobs: i32,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Least jobs a second.
const LIMIT: f64 = 10_000.0;
/// Longest that a round may take.
const WITHIN: Duration = Duration::from_mins(5);

// One thread: a child is sent a signal when the thread that started it ends, and this one ends last.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    program::run("bench-jobs", async |servers, folder| bench(&args, servers, folder).await).await
}

/// Measures and prints; true when the limit is kept.
async fn bench(args: &Args, servers: &mut Servers, folder: &Path) -> anyhow::Result<bool> {
    let postgres = Postgres::start(servers).await?;
    let database = postgres.database()?;
    migrate::migrate(&database, None).await?;
    let provider = provider::start().await?;
    let dimensions = DIMENSIONS.to_string();
    let environment = [
        ("DATABASE_URL", postgres.database_url()),
        ("OPENAI_BASE_URL", provider.as_str()),
        ("OPENAI_EMBED_MODEL", "bench"),
        ("OPENAI_EMBED_DIMENSIONS", dimensions.as_str()),
        ("EMBED_TOKENS_QUOTA_PER_DAY", "0"),
    ];
    let mut connection = database.connect_unlimited().await?;
    let mut rates = Vec::new();
    for _ in 0..args.rounds {
        let model = fill(&mut connection, args.jobs).await.context("filling")?;
        servers.start_http("agentfs-server", &["worker"], &environment, folder).await?;
        let round = measure(&mut connection, args.jobs);
        let rate = timeout(WITHIN, round).await.context("the jobs were not done in time")??;
        servers.end("agentfs-server").await;
        check(&mut connection, model, args.jobs).await?;
        rates.push(rate);
    }
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let verdict = if median >= LIMIT { "ok" } else { "short" };
    let rounds: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    println!("jobs/s  limit      rounds");
    println!("{median:>6.0}  >= {LIMIT:.0}  {}  {verdict}", rounds.join(" "));
    Ok(median >= LIMIT)
}

const FILL: &str = include_str!("fill.sql");

/// Makes the jobs, alone in the database; answers the model.
async fn fill(connection: &mut PgConnection, jobs: i32) -> anyhow::Result<i32> {
    connection
        .execute("TRUNCATE entries, entry_versions, search_documents, embeddings, embedding_chunks, embedding_jobs, quota_usage")
        .await?;
    let model = "INSERT INTO embedding_models (name, dimensions, state) VALUES ('bench/384', 384, 'serving')
                 ON CONFLICT (name) DO UPDATE SET dimensions = 384 RETURNING id";
    let model = sqlx::query_scalar(model).fetch_one(&mut *connection).await?;
    sqlx::query(FILL).bind(jobs).bind(model).execute(&mut *connection).await?;
    // As autovacuum does before long.
    connection.execute("VACUUM ANALYZE").await?;
    connection.execute("CHECKPOINT").await.ok();
    Ok(model)
}

/// Jobs a second from the first that was seen done to the last. Their tokens tell: counting jobs would cost more than doing
/// them.
async fn measure(connection: &mut PgConnection, jobs: i32) -> anyhow::Result<f64> {
    let mut first: Option<(Instant, i64)> = None;
    loop {
        let tokens: i64 = sqlx::query_scalar(TOKENS).fetch_one(&mut *connection).await?;
        let done = tokens / provider::TOKENS as i64;
        match first {
            None if done > 0 => first = Some((Instant::now(), done)),
            Some((began, before)) if done == i64::from(jobs) => {
                return Ok((done - before) as f64 / began.elapsed().as_secs_f64());
            }
            _ => {}
        }
        sleep(Duration::from_millis(20)).await;
    }
}

const TOKENS: &str = "SELECT coalesce(sum(embed_tokens), 0)::bigint FROM quota_usage";

/// Each entry has its vector, and each token was counted once.
async fn check(connection: &mut PgConnection, model: i32, jobs: i32) -> anyhow::Result<()> {
    let told = "SELECT count(*)
                  FROM embeddings m
                  JOIN entries e ON e.tenant_id = m.tenant_id AND e.agent_id = m.agent_id AND e.path = m.path
                 WHERE m.model_id = $1 AND m.version_id = e.latest_version_id";
    let vectors: i64 = sqlx::query_scalar(told).bind(model).fetch_one(&mut *connection).await?;
    let tokens: i64 = sqlx::query_scalar(TOKENS).fetch_one(connection).await?;
    ensure!(vectors == i64::from(jobs), "of {jobs} entries {vectors} have their vector");
    let each = provider::TOKENS as i64;
    ensure!(tokens == each * i64::from(jobs), "{tokens} tokens were counted, not {each} a job");
    Ok(())
}
