//! The result: what both sides cost, each claim beside its limit.

use std::collections::BTreeMap;
use std::fmt;

use crate::meter::Cost;
use crate::sides::{Measured, Ours, Said};

/// After how many seconds a command had come to a point.
type Seconds = fn(&Said) -> Option<f64>;

/// What one claims: ours takes at most a part of the runbook's time.
#[derive(Debug)]
struct Claim {
    name: &'static str,
    of: fn(&Ours) -> &Measured,
    /// The greatest part without an index of embeddings, and from how many entries on it holds: below, starting the programs is what
    /// is measured.
    limit: (f64, usize),
    /// The same with an index of embeddings, until that is built.
    indexed_limit: (f64, usize),
}

const CLAIMS: [Claim; 2] = [
    Claim {
        name: "dump and restore",
        of: |ours| &ours.measured,
        limit: (0.25, 1_000_000),
        indexed_limit: (0.40, 200_000),
    },
    Claim {
        name: "dump and restore in place",
        of: |ours| &ours.in_place,
        limit: (0.45, 1_000_000),
        indexed_limit: (0.50, 200_000),
    },
];
/// Greatest part of the runbook's bytes that ours may take.
const SIZE_LIMIT: f64 = 1.0;
/// Growth is told for so many entries.
const HUNDRED_THOUSAND: f64 = 100_000.0;

/// One round: both sides, and `pg_dump` alone as ours calls it, where it can.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) runbook: Measured,
    pub(crate) ours: Ours,
    pub(crate) alone: Option<Cost>,
}

/// All rounds of so many entries, one at least.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) entries: usize,
    pub(crate) with_index: bool,
    pub(crate) rounds: Vec<Round>,
}

impl Report {
    /// Whether each claim that holds for so many entries is kept.
    pub(crate) fn is_kept(&self) -> bool {
        CLAIMS.iter().all(|claim| self.keeps(claim)) && self.size() <= SIZE_LIMIT
    }

    fn keeps(&self, claim: &Claim) -> bool {
        self.limit(claim).is_none_or(|limit| self.better(claim) <= limit)
    }

    /// The limit of a claim for so many entries, if it has one.
    fn limit(&self, claim: &Claim) -> Option<f64> {
        let (limit, from) = if self.with_index { claim.indexed_limit } else { claim.limit };
        (self.entries >= from).then_some(limit)
    }

    /// Ours of the runbook's, the median of the rounds.
    fn ratio(&self, of: impl Fn(&Measured) -> f64, ours: fn(&Ours) -> &Measured) -> f64 {
        self.median(|round| of(ours(&round.ours)) / of(&round.runbook))
    }

    fn wall(&self, claim: &Claim) -> f64 {
        self.ratio(|measured| measured.whole().wall, claim.of)
    }

    fn processor(&self, claim: &Claim) -> f64 {
        self.ratio(|measured| measured.whole().processor, claim.of)
    }

    /// Other work on the machine, and its speed, change the one or the other.
    fn better(&self, claim: &Claim) -> f64 {
        self.wall(claim).min(self.processor(claim))
    }

    fn size(&self) -> f64 {
        self.ratio(|measured| measured.bytes as f64, |ours| &ours.measured)
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    fn side(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        of: impl Fn(&Round) -> &Measured,
    ) -> fmt::Result {
        let of = &of;
        let median = |what: &dyn Fn(&Measured) -> f64| self.median(|round| what(of(round)));
        writeln!(
            f,
            "  {name:<9}{:>9.1} {:>9.1} {:>11.1} {:>9.1} {:>10.1}",
            median(&|m| m.dump.wall),
            median(&|m| m.dump.processor),
            median(&|m| m.restore.wall),
            median(&|m| m.restore.processor),
            median(&|m| m.bytes as f64 / 1e6),
        )
    }

    fn claim(&self, f: &mut fmt::Formatter<'_>, claim: &Claim) -> fmt::Result {
        let better = self.better(claim);
        write!(
            f,
            "  {}: wall {:.2}, CPU {:.2} of the runbook's; the better {better:.2}",
            claim.name,
            self.wall(claim),
            self.processor(claim),
        )?;
        match self.limit(claim) {
            Some(limit) => writeln!(f, " <= {limit:.2}  {}", verdict(better <= limit)),
            None => writeln!(f, "; no limit for so few entries"),
        }
    }

    /// What ours does besides dumping.
    fn fingerprints(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rounds.iter().all(|round| round.alone.is_some()) {
            let alone =
                |of: fn(Cost) -> f64| self.median(|round| of(round.alone.unwrap_or_default()));
            let more = |of: fn(Cost) -> f64| {
                self.median(|round| {
                    of(round.ours.measured.dump) - of(round.alone.unwrap_or_default())
                })
            };
            writeln!(
                f,
                "  counts, fingerprints, sums: {:.1} s and {:.1} processor seconds more than pg_dump -Fc -Z zstd:1 alone ({:.1} and {:.1})",
                more(|cost| cost.wall),
                more(|cost| cost.processor),
                alone(|cost| cost.wall),
                alone(|cost| cost.processor),
            )?;
        }
        self.steps(f, "backup", |round| &round.ours.backup)?;
        self.steps(f, "restore", |round| &round.ours.restore)?;
        self.reached(f, "restore", |round| &round.ours.restore)?;
        self.steps(f, "restore in place", |round| &round.ours.switch)?;
        self.reached(f, "restore in place", |round| &round.ours.switch)?;
        let waits = self.rounds.iter().map(|round| round.ours.switch.switch_seconds);
        match waits.collect::<Option<Vec<f64>>>() {
            Some(waits) => writeln!(f, "  requests wait for a switch {:.3} s", median(waits)),
            None => Ok(()),
        }
    }

    /// When a restore had come how far.
    fn reached(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        of: impl Fn(&Round) -> &Said,
    ) -> fmt::Result {
        let points: [(&str, Seconds); 2] =
            [("serving", |said| said.serving_seconds), ("indexed", |said| said.indexed_seconds)];
        for (point, seconds) in points {
            let told = self.rounds.iter().map(|round| seconds(of(round)));
            if let Some(told) = told.collect::<Option<Vec<f64>>>() {
                writeln!(f, "  {point} after {:.1} s of {what}", median(told))?;
            }
        }
        Ok(())
    }

    /// What a command says of its steps.
    fn steps(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        of: impl Fn(&Round) -> &Said,
    ) -> fmt::Result {
        let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut order = Vec::new();
        for step in self.rounds.iter().flat_map(|round| &of(round).steps) {
            if !order.contains(&step.name.as_str()) {
                order.push(&step.name);
            }
            seconds.entry(&step.name).or_default().push(step.seconds);
        }
        let told = order.iter().map(|step| {
            format!("{step} {:.1} s", median(seconds.remove(step).unwrap_or_default()))
        });
        let told: Vec<String> = told.collect();
        writeln!(f, "  steps of {name}: {}", told.join(", "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = if self.with_index { "with" } else { "without" };
        writeln!(
            f,
            "{} entries {index} HNSW, medians of {} rounds",
            self.entries,
            self.rounds.len()
        )?;
        writeln!(f, "              dump s     CPU s   restore s     CPU s         MB")?;
        self.side(f, "runbook", |round| &round.runbook)?;
        self.side(f, "agentfs", |round| &round.ours.measured)?;
        self.side(f, "in place", |round| &round.ours.in_place)?;
        for claim in &CLAIMS {
            self.claim(f, claim)?;
        }
        let size = self.size();
        writeln!(f, "  size {size:.2} <= {SIZE_LIMIT:.2}  {}", verdict(size <= SIZE_LIMIT))?;
        self.fingerprints(f)
    }
}

/// How both sides grow.
pub(crate) struct Growth<'a>(pub(crate) &'a [Report]);

impl fmt::Display for Growth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "growth: seconds (and CPU seconds) for each 100000 entries, without HNSW")?;
        writeln!(
            f,
            "   entries    runbook dump         restore    agentfs backup         restore"
        )?;
        for report in self.0.iter().filter(|report| !report.with_index) {
            let each = |of: &dyn Fn(&Round) -> Cost| {
                let part = report.entries as f64 / HUNDRED_THOUSAND;
                let wall = report.median(|round| of(round).wall) / part;
                let processor = report.median(|round| of(round).processor) / part;
                format!("{wall:.1} ({processor:.1})")
            };
            writeln!(
                f,
                "{:>10} {:>15} {:>15} {:>17} {:>15}",
                report.entries,
                each(&|round| round.runbook.dump),
                each(&|round| round.runbook.restore),
                each(&|round| round.ours.measured.dump),
                each(&|round| round.ours.measured.restore),
            )?;
        }
        Ok(())
    }
}

fn verdict(is_kept: bool) -> &'static str {
    if is_kept { "ok" } else { "MISSED" }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        many if many % 2 == 1 => numbers[many / 2],
        many => f64::midpoint(numbers[many / 2 - 1], numbers[many / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(entries: usize, ours: Cost, bytes: u64) -> Report {
        let runbook = Measured {
            dump: Cost { wall: 60.0, processor: 60.0 },
            restore: Cost { wall: 40.0, processor: 40.0 },
            bytes: 100,
        };
        let measured = Measured { dump: ours, restore: Cost::default(), bytes };
        let ours = Ours { measured, in_place: measured, ..Ours::default() };
        let round = Round { runbook, ours, alone: None };
        Report { entries, with_index: false, rounds: vec![round] }
    }

    #[test]
    fn the_better_of_wall_and_processor_counts() {
        let cost = |wall, processor| Cost { wall, processor };
        assert!(report(1_000_000, cost(25.0, 90.0), 100).is_kept());
        assert!(report(1_000_000, cost(90.0, 25.0), 100).is_kept());
        assert!(!report(1_000_000, cost(26.0, 26.0), 100).is_kept());
        assert!(report(20_000, cost(26.0, 26.0), 100).is_kept());
        assert!(!report(20_000, cost(1.0, 1.0), 101).is_kept());
    }

    #[test]
    fn a_restore_in_place_has_limits_of_its_own() {
        let quick = Cost { wall: 20.0, processor: 20.0 };
        let mut slow = report(1_000_000, quick, 100);
        let in_place = &mut slow.rounds[0].ours.in_place;
        in_place.restore = Cost { wall: 26.0, processor: 90.0 };
        assert!(!slow.is_kept());
        slow.with_index = true;
        assert!(slow.is_kept());
    }

    #[test]
    fn the_middle_counts() {
        assert!((median(vec![3.0, 1.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0]) - 2.5).abs() < 1e-9);
    }
}
