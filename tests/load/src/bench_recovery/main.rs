//! `make bench-recovery`: dump and restore by our commands, into a new database and in place, beside the runbook's own `pg_dump -Fc`,
//! `createdb` and `pg_restore`, on one PostgreSQL, in turns. README.md says how to read it.

mod entries;
mod meter;
mod report;
mod sides;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agentfs_load::postgres::Postgres;
use agentfs_load::program;
use agentfs_load::servers::Servers;
use agentfs_server::commands::migrate;
use anyhow::ensure;
use clap::Parser;
use nix::sys::statvfs::statvfs;
use sqlx::Executor as _;

use crate::report::{Growth, Report, Round};
use crate::sides::Sides;

/// Backup and restore beside the runbook's; fails when ours takes too large a part of its time, or more room.
#[derive(Debug, Parser)]
#[command(name = "bench-recovery")]
struct Args {
    /// Entries of the measurements without an index of embeddings (HNSW)
    #[arg(long, default_values_t = [100_000, 200_000, 1_000_000], num_args = 1..)]
    entries: Vec<usize>,
    /// Entries of the measurement with it; 0 for none. Defaults to 200,000, or to the most of --entries where those are fewer
    #[arg(long)]
    indexed: Option<usize>,
    /// Rounds of each; the medians count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The folder of the PostgreSQL that is started. Defaults to the newest that is found
    #[arg(long)]
    server_bin: Option<PathBuf>,
    /// The folder of PostgreSQL's client programs that both sides call. Defaults to that of the PostgreSQL that is started
    #[arg(long)]
    pg_bin: Option<PathBuf>,
}

/// Most entries with an index of embeddings, unless they are named: the runbook's restore builds it in minutes for each 100,000.
const INDEXED: usize = 200_000;
/// Bytes that each entry takes on the disk: twice in a database, once in a dump, and while indexes are built.
const BYTES_AN_ENTRY: u64 = 12_000;
/// Bytes of PostgreSQL's log of changes and of all else.
const BYTES_BESIDES: u64 = 4 << 30;

/// The settings of the product's image.
const IMAGE: &str = include_str!("../../../../images/postgres/postgresql.conf");
/// What of it says where things are in that image, or is set after the start.
const OTHERS: [&str; 6] = [
    "listen_addresses",
    "unix_socket_directories",
    "hba_file",
    "ident_file",
    "logging_collector",
    "wal_compression",
];
/// What the image's entrypoint makes of a pod with 2 GiB of memory.
const BUFFERS: &str = "shared_buffers=512MB";

// One thread: a child is sent a signal when the thread that started it ends, and this one ends last.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    Box::pin(program::run("bench-recovery", async |servers, folder| {
        bench(&args, servers, folder).await
    }))
    .await
}

/// Measures and prints; true when each limit is kept.
async fn bench(args: &Args, servers: &mut Servers, folder: &Path) -> anyhow::Result<bool> {
    let largest = args.entries.iter().copied().max().unwrap_or_default();
    let indexed = args.indexed.unwrap_or(largest.min(INDEXED));
    needs_room(folder, largest.max(indexed))?;
    let postgres = start(servers, args.server_bin.as_deref()).await?;
    let database = postgres.database()?;
    migrate::migrate(&database, None).await?;
    let model = entries::make_model(&database).await?;
    let source = postgres.superuser_url("agentfs");
    let superuser = sides::address(&source)?;

    let mut reports = Vec::new();
    let mut there = 0;
    for (count, with_index) in measurements(&args.entries, indexed) {
        eprintln!("making {} entries", count - there);
        entries::fill(&database, &superuser, model, there..count).await?;
        there = count;
        if with_index {
            eprintln!("building the index of their embeddings");
            entries::build_indexes(&source).await?;
        }
        let programs = args.pg_bin.as_deref().unwrap_or(postgres.bin());
        let (postgres, folder, source) = (&postgres, folder, &source);
        let sides = Sides { postgres, programs, folder, source, entries: count, with_index };
        let report = measure(&sides, args.rounds).await?;
        println!("{report}");
        reports.push(report);
        if with_index {
            entries::drop_indexes(&database).await?;
        }
    }
    println!("{}", Growth(&reports));
    Ok(reports.iter().all(Report::is_kept))
}

/// What is measured, in an order in which entries need only to be added.
fn measurements(entries: &[usize], indexed: usize) -> Vec<(usize, bool)> {
    let without = entries.iter().map(|count| (*count, false));
    let mut all: Vec<_> =
        without.chain([(indexed, true)]).filter(|(count, _)| *count > 0).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Lets both sides take turns, each first in every other round.
async fn measure(sides: &Sides<'_>, rounds: u32) -> anyhow::Result<Report> {
    let has_zstd = sides.have_zstd().await;
    if !has_zstd {
        println!(
            "the pg_dump of {} has no zstd, which that of the server's image has: the ratios do not hold (scripts/pgclient has one)",
            sides.programs.display()
        );
    }
    let mut report =
        Report { entries: sides.entries, with_index: sides.with_index, rounds: Vec::new() };
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        let (runbook, ours) = if round % 2 == 0 {
            let runbook = sides.runbook().await?;
            (runbook, sides.ours().await?)
        } else {
            let ours = sides.ours().await?;
            (sides.runbook().await?, ours)
        };
        let alone = if has_zstd { Some(sides.dump_alone().await?) } else { None };
        report.rounds.push(Round { runbook, ours, alone });
    }
    Ok(report)
}

/// A PostgreSQL with the settings of the product's image.
async fn start(servers: &mut Servers, bin: Option<&Path>) -> anyhow::Result<Postgres> {
    let settings = image_settings();
    let mut settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    settings.push(BUFFERS);
    let postgres = Postgres::start_with(servers, bin, &settings).await?;
    // Not every PostgreSQL is built with lz4, and one that is not would not start with it.
    let superuser = postgres.maintenance()?;
    let mut connection = superuser.connect_unlimited().await?;
    if connection.execute("ALTER SYSTEM SET wal_compression = 'lz4'").await.is_err() {
        eprintln!("this PostgreSQL has no lz4: its log of changes is compressed by pglz");
        connection.execute("ALTER SYSTEM SET wal_compression = 'pglz'").await?;
    }
    connection.execute("SELECT pg_reload_conf()").await?;
    Ok(postgres)
}

fn image_settings() -> Vec<String> {
    let lines = IMAGE.lines().filter_map(|line| line.split_once(" = "));
    let ours = lines.filter(|(name, _)| !name.starts_with('#') && !OTHERS.contains(name));
    ours.map(|(name, value)| format!("{name}={}", value.trim_matches('\''))).collect()
}

/// Fails before anything is made where the disk is too small for it.
fn needs_room(folder: &Path, entries: usize) -> anyhow::Result<()> {
    let needed = entries as u64 * BYTES_AN_ENTRY + BYTES_BESIDES;
    let disk = statvfs(folder)?;
    let free = disk.blocks_available() * disk.fragment_size();
    ensure!(
        free >= needed,
        "{entries} entries need about {} GB in {}, which has {} GB: set TMPDIR to a larger folder, or measure fewer (--entries, --indexed)",
        needed / 1_000_000_000,
        folder.display(),
        free / 1_000_000_000
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_only_added() {
        let all = measurements(&[1_000, 200, 100, 200], 200);
        assert_eq!(all, [(100, false), (200, false), (200, true), (1_000, false)]);
        assert_eq!(measurements(&[100], 0), [(100, false)]);
    }

    #[test]
    fn the_images_settings_are_taken_but_for_its_places() {
        let settings = image_settings();
        assert!(settings.contains(&"max_wal_size=2GB".to_owned()), "{settings:?}");
        assert!(settings.contains(&"timezone=UTC".to_owned()), "{settings:?}");
        assert!(!settings.iter().any(|setting| setting.contains("hba")), "{settings:?}");
    }
}
