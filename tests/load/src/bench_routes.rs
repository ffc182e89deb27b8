//! `bench-routes`, a part of `make bench-quick`: lists of 1,000 entries with details beside lists without, in turns, then moves of
//! 10,000 entries beside puts, and touches. README.md says how to read it.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agentfs_load::postgres::Postgres;
use agentfs_load::program;
use agentfs_load::servers::Servers;
use agentfs_server::commands::admin;
use agentfs_server::commands::admin::CreateKey;
use agentfs_server::commands::migrate;
use anyhow::{Context as _, ensure};
use clap::Parser;
use reqwest::Client;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Executor as _;
use tokio::sync::watch;

/// Lists with and without details, moves and touches; fails when details cost too much, or a put waits too long for a move.
#[derive(Debug, Parser)]
#[command(name = "bench-routes")]
struct Args {
    /// Rounds; the medians count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Pairs of lists of each directory in a round
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lists: u32,
}

/// Entries of a directory that is listed.
const ENTRIES: usize = 1000;
/// Entries of a directory that is moved: the most that a move takes.
const MOVED: usize = 10_000;
/// Most that a list with details may take, beside one without.
const LIMIT: f64 = 1.5;
/// The longest, in milliseconds, that a put may take while its tenant's entries are moved.
const LONGEST_PUT: f64 = 1000.0;
/// Operations of a batch.
const BATCH: usize = 50;
/// Touches of a round.
const TOUCHES: usize = 100;

/// A directory: its path, how often its entries are written, and the bytes of a value.
const DIRECTORIES: [(&str, usize, usize); 3] =
    [("/once", 1, 100), ("/overwritten", 4, 100), ("/large", 1, 9000)];

// One thread: a child is sent a signal when the thread that started it ends, and this one ends last.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    Box::pin(program::run("bench-routes", async |servers, folder| {
        bench(&args, servers, folder).await
    }))
    .await
}

/// Measures and prints; true when the limits are kept.
async fn bench(args: &Args, servers: &mut Servers, folder: &Path) -> anyhow::Result<bool> {
    let postgres = Postgres::start(servers).await?;
    let database = postgres.database()?;
    migrate::migrate(&database, None).await?;
    let wanted =
        CreateKey { label: "bench".into(), tenant: None, scopes: vec![], expires_in_seconds: None };
    let key = admin::create_key(&database, &wanted).await?.reveal();
    let environment = [
        ("DATABASE_URL", postgres.database_url()),
        ("WRITE_QUOTA_PER_DAY", "0"),
        ("WRITE_MIB_QUOTA_PER_DAY", "0"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
    ];
    let api = servers.start_http("agentfs-server", &["serve"], &environment, folder).await?;
    let agent = Agent {
        client: Client::builder().no_proxy().build()?,
        url: api.url,
        key: key.expose_secret().to_owned(),
    };
    for (directory, times, bytes) in DIRECTORIES {
        agent.fill(directory, ENTRIES, times, bytes).await.context("filling")?;
    }
    // As autovacuum does before long.
    database.connect_unlimited().await?.execute("VACUUM ANALYZE").await?;

    let mut ratios = DIRECTORIES.map(|_| Vec::new());
    let (mut plain, mut detailed) =
        (DIRECTORIES.map(|_| Vec::new()), DIRECTORIES.map(|_| Vec::new()));
    let mut touches = Vec::new();
    for _ in 0..args.rounds {
        for (index, (directory, ..)) in DIRECTORIES.into_iter().enumerate() {
            let (without, with) = agent.lists(directory, args.lists).await?;
            ratios[index].push(with / without);
            plain[index].push(without);
            detailed[index].push(with);
        }
        touches.push(agent.touches().await?);
    }
    // Last, since the tables that lists read grow with them.
    let mut moves = Vec::new();
    let mut longest_put: f64 = 0.0;
    for round in 0..args.rounds {
        let (took, longest) = agent.moves(round).await?;
        moves.push(took);
        longest_put = longest_put.max(longest);
    }
    let mut is_kept = longest_put <= LONGEST_PUT;
    println!("list of 1,000 entries   without ms  with details ms  ratio   limit");
    for (index, (directory, ..)) in DIRECTORIES.into_iter().enumerate() {
        let ratio = median(&mut ratios[index]);
        is_kept &= ratio <= LIMIT;
        println!(
            "{directory:<22}{:>12.2}{:>17.2}{ratio:>7.2}  <= {LIMIT}  {}",
            median(&mut plain[index]),
            median(&mut detailed[index]),
            verdict(ratio <= LIMIT)
        );
    }
    println!("touch, ms                   {:.2}", median(&mut touches));
    println!("move of 10,000 entries, ms  {:.0}", median(&mut moves));
    println!(
        "longest put meanwhile, ms   {longest_put:.1}  <= {LONGEST_PUT}  {}",
        verdict(longest_put <= LONGEST_PUT)
    );
    Ok(is_kept)
}

/// An agent that asks the API.
struct Agent {
    client: Client,
    url: String,
    key: String,
}

impl Agent {
    /// The answer, and the milliseconds until all of it was there.
    async fn ask(&self, route: &str, body: &Value) -> anyhow::Result<(Vec<u8>, f64)> {
        let request = self.client.post(format!("{}{route}", self.url)).bearer_auth(&self.key);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let began = Instant::now();
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        Ok((answer.to_vec(), milliseconds(began.elapsed())))
    }

    /// Writes the entries of a directory, several times over.
    async fn fill(
        &self,
        directory: &str,
        entries: usize,
        times: usize,
        bytes: usize,
    ) -> anyhow::Result<()> {
        for time in 0..times {
            for batch in (0..entries).collect::<Vec<_>>().chunks(BATCH) {
                let put = |n: &usize| {
                    json!({"op": "put", "agent_id": "ada", "path": format!("{directory}/{n}"),
                        "value": text(n + time, bytes), "tags": ["bench"]})
                };
                let operations: Vec<Value> = batch.iter().map(put).collect();
                self.ask("/v1/batch", &json!({"operations": operations})).await?;
            }
        }
        Ok(())
    }

    /// Lists a directory without and with details in turns; the median milliseconds of each.
    async fn lists(&self, directory: &str, pairs: u32) -> anyhow::Result<(f64, f64)> {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..pairs {
            for (times, details) in times.iter_mut().zip([false, true]) {
                let body = json!({"agent_id": "ada", "prefix": directory, "details": details});
                let (answer, took) = self.ask("/v1/list", &body).await?;
                let answer: Value = serde_json::from_slice(&answer)?;
                let items = answer["items"].as_array().context("no items")?;
                ensure!(
                    items.len() == ENTRIES
                        && items.iter().all(|item| item["size"].is_u64() == details),
                    "{directory} was listed wrongly"
                );
                times.push(took);
            }
        }
        let [mut without, mut with] = times;
        Ok((median(&mut without), median(&mut with)))
    }

    /// The median milliseconds of a touch.
    async fn touches(&self) -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for n in 0..TOUCHES {
            let path = format!("/once/{n}");
            let body = json!({"agent_id": "ada", "path": path, "ttl_seconds": 86_400});
            times.push(self.ask("/v1/touch", &body).await?.1);
        }
        Ok(median(&mut times))
    }

    /// The milliseconds of a move of 10,000 entries, and the longest of the puts beside it.
    async fn moves(&self, round: u32) -> anyhow::Result<(f64, f64)> {
        let from = format!("/moving-{round}");
        self.fill(&from, MOVED, 1, 100).await?;
        let (end, ended) = watch::channel(false);
        let putting = async {
            let mut longest: f64 = 0.0;
            while !*ended.borrow() {
                let body = json!({"agent_id": "ada", "path": "/beside", "value": longest});
                longest = longest.max(self.ask("/v1/put", &body).await?.1);
            }
            anyhow::Ok(longest)
        };
        let moving = async {
            let body = json!({"agent_id": "ada", "from": from, "to": format!("/moved-{round}")});
            let moved = self.ask("/v1/move", &body).await;
            end.send_replace(true);
            let (answer, took) = moved?;
            let answer: Value = serde_json::from_slice(&answer)?;
            ensure!(answer["moved"] == MOVED, "{answer}");
            Ok(took)
        };
        let (moved, longest) = tokio::join!(moving, putting);
        Ok((moved?, longest?))
    }
}

/// A text of `bytes`, which hardly compresses.
fn text(seed: usize, bytes: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut letter = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'#' + (state % 90) as u8)
    };
    (0..bytes).map(|_| letter()).filter(|letter| *letter != '\\').collect()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn verdict(is_kept: bool) -> &'static str {
    if is_kept { "ok" } else { "short" }
}

/// The middle one, or the later of two.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
