//! The result: one table, each claim beside its limit.

use std::fmt;

use agentfs_load::sample::{Sample, median};
use agentfs_load::{pgbench, wrk};

use crate::rounds::Round;

/// Least part of pgbench's gets a second that gets over HTTP must reach.
const GET_LIMIT: f64 = 0.6;
/// Least part of pgbench's puts a second that puts over HTTP must reach.
const PUT_LIMIT: f64 = 1.0;

/// The medians of all rounds.
#[derive(Debug)]
pub(crate) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: &'static str,
    clients: u32,
    sample: Sample,
    claim: Option<Claim>,
}

/// What is claimed of a row.
#[derive(Debug, Clone, Copy)]
struct Claim {
    of_pgbench: f64,
    of_echo: f64,
    limit: f64,
}

impl Claim {
    fn kept(self) -> bool {
        self.of_pgbench >= self.limit
    }
}

type Measured = fn(&Round) -> Sample;

impl Table {
    /// Of at least one round.
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let row = |what, clients, measured: Measured, claim| Row {
            what,
            clients,
            sample: middle(rounds, measured),
            claim,
        };
        let claim = |http: Measured, pgbench, echo, limit| {
            let of_pgbench = ratio(rounds, http, pgbench);
            Some(Claim { of_pgbench, of_echo: ratio(rounds, http, echo), limit })
        };
        let get = claim(|r| r.get, |r| r.pgbench_get, |r| r.echo_get, GET_LIMIT);
        let put = claim(|r| r.put, |r| r.pgbench_put, |r| r.echo_put, PUT_LIMIT);
        Self(vec![
            row("get: pgbench", pgbench::GET.clients, |r| r.pgbench_get, None),
            row("get: HTTP", wrk::GET.connections, |r| r.get, get),
            row("get: echo", wrk::ECHO_GET.connections, |r| r.echo_get, None),
            row("put: pgbench", pgbench::PUT.clients, |r| r.pgbench_put, None),
            row("put: HTTP", wrk::PUT.connections, |r| r.put, put),
            row("put: echo", wrk::ECHO_PUT.connections, |r| r.echo_put, None),
        ])
    }

    /// Whether every claim holds.
    pub(crate) fn limits_are_kept(&self) -> bool {
        self.0.iter().filter_map(|row| row.claim).all(Claim::kept)
    }
}

/// The medians of what was measured.
fn middle(rounds: &[Round], measured: Measured) -> Sample {
    let median_of = |part: fn(Sample) -> f64| median(rounds.iter().map(|r| part(measured(r))));
    Sample {
        per_second: median_of(|s| s.per_second),
        p50_ms: median_of(|s| s.p50_ms),
        p99_ms: median_of(|s| s.p99_ms),
    }
}

/// The median of the rounds' ratios: the machine's speed moves from round to round, hardly within one.
fn ratio(rounds: &[Round], measured: Measured, beside: Measured) -> f64 {
    median(rounds.iter().map(|r| measured(r).per_second / beside(r).per_second))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14}{:>8}{:>12}{:>9}{:>9}{:>12}{:>8}{:>9}",
            "what", "clients", "requests/s", "p50 ms", "p99 ms", "of pgbench", "limit", "of echo"
        )?;
        for Row { what, clients, sample, claim } in &self.0 {
            let Sample { per_second, p50_ms, p99_ms } = sample;
            write!(f, "{what:<14}{clients:>8}{per_second:>12.0}{p50_ms:>9.2}{p99_ms:>9.2}")?;
            match claim {
                Some(claim) => writeln!(
                    f,
                    "{:>12.2}{:>8}{:>9.2}  {}",
                    claim.of_pgbench,
                    format!(">= {:.1}", claim.limit),
                    claim.of_echo,
                    if claim.kept() { "ok" } else { "short" }
                )?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(get: f64, put: f64) -> Round {
        let at = |per_second| Sample { per_second, p50_ms: 1.0, p99_ms: 2.0 };
        Round {
            pgbench_get: at(10_000.0),
            get: at(get),
            echo_get: at(20_000.0),
            pgbench_put: at(5000.0),
            put: at(put),
            echo_put: at(20_000.0),
        }
    }

    #[test]
    fn each_limit_decides() {
        let kept = |get, put| Table::of(&[round(get, put)]).limits_are_kept();
        assert!(kept(6000.0, 5000.0));
        assert!(!kept(5999.0, 5000.0));
        assert!(!kept(6000.0, 4999.0));
        assert!(!kept(f64::NAN, 5000.0));
    }

    #[test]
    fn the_middle_round_counts() {
        let rounds = [round(1000.0, 9000.0), round(7000.0, 8000.0), round(8000.0, 1.0)];
        let text = Table::of(&rounds).to_string();
        let line = |what| text.lines().find(|line| line.starts_with(what)).unwrap();
        let words = |what| line(what).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words("get: HTTP"), "get: HTTP 32 7000 1.00 2.00 0.70 >= 0.6 0.35 ok");
        assert_eq!(words("put: HTTP"), "put: HTTP 128 8000 1.00 2.00 1.60 >= 1.0 0.40 ok");
    }
}
