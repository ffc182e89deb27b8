//! `make bench-embed`: texts a second of the local embedding model, tokens counted and all.

use std::fs;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use agentfs_embedder_local::{LocalModel, Precision};
use anyhow::Context as _;
use clap::Parser;

/// Texts that are embedded together.
const BATCH: usize = 32;
/// Tokens of a text, among them one at its beginning and one at its end.
const TOKENS: [usize; 3] = [16, 32, 128];
/// Words that are one token each.
const WORDS: [&str; 16] = [
    "river", "music", "seven", "window", "garden", "letter", "winter", "market", "doctor",
    "silver", "bridge", "summer", "island", "captain", "paper", "kitchen",
];

/// Texts a second of the local embedding model.
#[derive(Debug, Parser)]
struct Args {
    /// The model's folder, as scripts/model prints it
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Rounds; the best of each row is printed
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let load = |precision| LocalModel::load_with(&args.model, Some(precision));
    let models = [load(Precision::Single)?, load(Precision::Eight)?];
    let chosen = LocalModel::load(&args.model)?.precision();
    let cores = available_parallelism()?;
    println!(
        "{cores} cores, {BATCH} texts together; load average {}; the server takes {chosen:?} here",
        fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?.trim_end()
    );
    println!("{:>6}  {:>9}  {:>9}  {:>6}", "tokens", "single/s", "eight/s", "ratio");
    for tokens in TOKENS {
        let texts: Vec<String> = (0..BATCH).map(|text| words(text, tokens - 2)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut best = [0.0_f64; 2];
        // In turns, so that both meet the same machine.
        for _ in 0..args.rounds {
            for (model, best) in models.iter().zip(&mut best) {
                *best = best.max(rate(model, &texts, tokens, args.seconds).await?);
            }
        }
        let [single, eight] = best;
        println!("{tokens:>6}  {single:>9.0}  {eight:>9.0}  {:>6.2}", eight / single);
    }
    Ok(())
}

fn words(text: usize, number: usize) -> String {
    let words: Vec<&str> =
        (0..number).map(|n| WORDS[(text * 7 + n * 5 + n / 16) % WORDS.len()]).collect();
    words.join(" ")
}

/// Texts a second.
async fn rate(
    model: &LocalModel,
    texts: &[&str],
    tokens: usize,
    seconds: f64,
) -> anyhow::Result<f64> {
    let (begun, mut embedded) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs_f64(seconds) {
        let found = model.embed(texts).await?;
        anyhow::ensure!(
            found.iter().all(|found| found.tokens == tokens as i64),
            "a text has not {tokens} tokens"
        );
        embedded += found.len();
    }
    Ok(embedded as f64 / begun.elapsed().as_secs_f64())
}
