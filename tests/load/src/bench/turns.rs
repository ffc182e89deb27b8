//! Two measurements that take turns, so that a machine whose speed moves is unfair to neither.

use agentfs_load::sample::{Sample, median};

use crate::report::{Figure, Limit, Row};

/// What both gave, the medians of all rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// The median of the rounds' ratios.
    ratio: f64,
    of: f64,
    beside: f64,
}

/// Measures each of both once a round, and every other round in the other order.
pub(crate) async fn turns(
    rounds: u32,
    of: impl AsyncFn() -> anyhow::Result<Sample>,
    beside: impl AsyncFn() -> anyhow::Result<Sample>,
) -> anyhow::Result<Turns> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let both = if round % 2 == 0 {
            let of = of().await?;
            (of, beside().await?)
        } else {
            let beside = beside().await?;
            (of().await?, beside)
        };
        all.push((both.0.per_second, both.1.per_second));
    }
    Ok(Turns {
        ratio: median(all.iter().map(|(of, beside)| of / beside)),
        of: median(all.iter().map(|(of, _)| *of)),
        beside: median(all.iter().map(|(_, beside)| *beside)),
    })
}

impl Turns {
    /// The row of their ratio.
    pub(crate) fn row(self, what: impl Into<String>, limit: Option<f64>) -> Row {
        let Self { ratio, of, beside } = self;
        Row {
            what: what.into(),
            figure: Figure::Ratio(ratio),
            limit: limit.map(Limit::AtLeast),
            from: format!("{of:.0}/s ÷ {beside:.0}/s"),
        }
    }

    /// The same of batches of so many operations each.
    pub(crate) fn times(self, operations: u32) -> Self {
        let operations = f64::from(operations);
        Self { of: self.of * operations, beside: self.beside * operations, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn the_ratio_is_that_of_the_middle_round() {
        let (told, asked) = (Cell::new(0), Cell::new(0));
        let sample = |per_second| Ok(Sample { per_second, p50_ms: 1.0, p99_ms: 2.0 });
        let next = |of: &Cell<usize>, rounds: [f64; 3]| {
            let round = of.get();
            of.set(round + 1);
            sample(rounds[round])
        };
        let of = async || next(&told, [10.0, 90.0, 30.0]);
        let beside = async || next(&asked, [10.0, 100.0, 60.0]);
        let turns = turns(3, of, beside).await.unwrap().times(100);
        assert_eq!((turns.of, turns.beside), (3000.0, 6000.0));
        let row = turns.row("puts", Some(0.9));
        assert_eq!(row.to_string(), "| puts | 0.90 | at least 0.90 | 3000/s ÷ 6000/s |");
    }
}
