//! How long agents wait.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::agents::Answer;

/// What counts as around the switch, before it and after.
pub const AROUND: Duration = Duration::from_secs(2);

/// What agents saw of a restore.
#[derive(Debug)]
pub struct Times {
    quiet: Waits,
    /// While the backup is loaded.
    loading: Waits,
    around: Waits,
    /// After that, while indexes are built.
    indexing: Waits,
}

/// How long agents waited within some time.
#[derive(Debug)]
struct Waits {
    requests: usize,
    /// The longest time from an answer of an agent to its next one, its own pause included.
    gap: Duration,
    p99: Duration,
    longest: Duration,
}

impl Times {
    /// Of all answers, where the restore began at `begun`, switched at `at`, and ended at `ended`.
    pub fn of(answers: &[Answer], begun: Timestamp, at: Timestamp, ended: Timestamp) -> Self {
        let (first, last) = (at - AROUND, at + AROUND);
        let between = |from: Timestamp, to: Timestamp| Waits::within(answers, from, to);
        Self {
            quiet: between(Timestamp::MIN, begun),
            loading: between(begun, first),
            around: between(first, last),
            indexing: between(last, ended),
        }
    }

    /// The worst gap around the switch.
    pub fn gap(&self) -> Duration {
        self.around.gap
    }
}

/// The longest gap of any agent that touches the time from `first` to `last`.
fn gap(answers: &[Answer], first: Timestamp, last: Timestamp) -> Duration {
    let mut by_agent: BTreeMap<usize, Vec<Timestamp>> = BTreeMap::new();
    for answer in answers {
        by_agent.entry(answer.agent).or_default().push(answer.ended);
    }
    let gaps = by_agent.into_values().flat_map(|mut ends| {
        ends.sort_unstable();
        let pairs: Vec<_> = ends.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.into_iter().filter(|(a, b)| *b > first && *a < last).map(|(a, b)| between(a, b))
    });
    gaps.max().unwrap_or_default()
}

fn between(a: Timestamp, b: Timestamp) -> Duration {
    b.duration_since(a).unsigned_abs()
}

impl Waits {
    fn within(answers: &[Answer], from: Timestamp, to: Timestamp) -> Self {
        let during = answers.iter().filter(|answer| answer.ended >= from && answer.began < to);
        let mut waits: Vec<Duration> =
            during.map(|answer| between(answer.began, answer.ended)).collect();
        waits.sort_unstable();
        let at = |share: usize| waits.get(waits.len().saturating_sub(1) * share / 100);
        Self {
            requests: waits.len(),
            gap: gap(answers, from, to),
            p99: at(99).copied().unwrap_or_default(),
            longest: at(100).copied().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quiet, loading, around, indexing } = self;
        write!(
            f,
            "quiet {quiet}; loading {loading}; around the switch {around}; afterwards {indexing}"
        )
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (gap, p99, longest) = (ms(self.gap), ms(self.p99), ms(self.longest));
        write!(
            f,
            "worst gap {gap:.0} ms, p99 {p99:.1} ms, longest {longest:.1} ms of {} requests",
            self.requests
        )
    }
}
