//! What is measured, and for how long.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Gets and puts at their fastest, at a fixed rate, and while something is in their way; fails when a figure misses its limit.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench")]
pub(crate) struct Plan {
    /// What to measure. Defaults to all
    #[arg(long, value_enum, num_args = 1.., value_name = "PART")]
    pub(crate) only: Vec<Part>,
    /// Rounds of what takes turns; the medians count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Seconds of each measurement of a round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Seconds of each measurement at a fixed rate, and of each under which memory is measured
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) open_seconds: u32,
    /// Seconds that the snapshot stays open
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) snapshot_seconds: u32,
    /// Entries that are dumped
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) dumped: u64,
    /// Numbers of entries, each of which is compared with 10,000
    #[arg(long, default_values_t = [1_000_000], num_args = 1.., value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) entries: Vec<u64>,
    /// Entries that are overwritten again and again, to see how they grow on disk
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) overwritten: u64,
    /// How often each of them is overwritten
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) overwrites: u32,
    /// New entries that are put, to see how they grow on disk
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) added: u64,
    /// PgBouncer's program
    #[arg(long, default_value = "pgbouncer")]
    pub(crate) pgbouncer: PathBuf,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Gets and puts beside pgbench
    Peak,
    /// Gets and puts at 70 % of that
    OpenLoop,
    /// Batches beside pgbench
    Batches,
    /// Puts while a snapshot is open
    Snapshot,
    /// Puts while a dump runs
    Dump,
    /// Many entries beside few
    Entries,
    /// Many tenants beside one
    Tenants,
    /// What overwrites and new entries take on disk
    Growth,
    /// Three processes beside one
    Processes,
    /// Through PgBouncer beside without
    Pgbouncer,
    /// Time to be ready, and memory
    Serve,
}

impl Plan {
    /// The parts, in their order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        let is_wanted = move |part: &Part| self.only.is_empty() || self.only.contains(part);
        Part::value_variants().iter().copied().filter(is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_measured_unless_some_are_named() {
        let parts = |arguments: &[&str]| {
            let plan = Plan::try_parse_from(["bench"].iter().chain(arguments)).unwrap();
            plan.parts().collect::<Vec<_>>()
        };
        assert_eq!(parts(&[]), Part::value_variants());
        assert_eq!(parts(&["--only", "dump", "peak"]), [Part::Peak, Part::Dump]);
    }
}
