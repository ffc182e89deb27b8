//! How long agents wait.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::agents::Answer;

/// What counts as around the switch, before it and after.
pub const AROUND: Duration = Duration::from_secs(2);

/// What agents saw of a restore.
#[derive(Debug)]
pub struct Times {
    quiet: Phase,
    /// While the backup is loaded.
    loading: Phase,
    around: Phase,
    /// After that, while indexes are built.
    indexing: Phase,
}

/// How long agents waited for answers within some time, by what they asked.
#[derive(Debug)]
struct Phase {
    /// Searches take more statements than the rest, and so wait more often for a processor.
    searches: Waits,
    others: Waits,
}

/// How long some requests took.
#[derive(Debug)]
struct Waits {
    requests: usize,
    p99: Duration,
    longest: Duration,
    /// What was asked by who waited longest.
    route: &'static str,
}

impl Times {
    /// Of all answers, where all connections were there from `warm` on, and the restore began at `begun`, switched at `at`, and ended
    /// at `ended`.
    pub fn of(answers: &[Answer], [warm, begun, at, ended]: [Timestamp; 4]) -> Self {
        let (first, last) = (at - AROUND, at + AROUND);
        let between = |from: Timestamp, to: Timestamp| Phase::within(answers, from, to);
        Self {
            quiet: between(warm, begun),
            loading: between(begun, first),
            around: between(first, last),
            indexing: between(last, ended),
        }
    }

    /// The longest for which an agent waited for an answer around the switch.
    pub fn longest_around(&self) -> Duration {
        self.around.searches.longest.max(self.around.others.longest)
    }
}

impl Phase {
    fn within(answers: &[Answer], from: Timestamp, to: Timestamp) -> Self {
        let during = answers.iter().filter(|answer| answer.ended >= from && answer.began < to);
        let (searches, others) = during.partition(|answer| answer.route == "/v1/search");
        Self { searches: Waits::of(searches), others: Waits::of(others) }
    }
}

impl Waits {
    fn of(answers: Vec<&Answer>) -> Self {
        let wait = |answer: &Answer| answer.ended.duration_since(answer.began).unsigned_abs();
        let mut waits: Vec<(Duration, &str)> =
            answers.into_iter().map(|answer| (wait(answer), answer.route)).collect();
        waits.sort_unstable();
        let at = |share: usize| waits.get(waits.len().saturating_sub(1) * share / 100);
        let (p99, _) = at(99).copied().unwrap_or_default();
        let (longest, route) = at(100).copied().unwrap_or_default();
        Self { requests: waits.len(), p99, longest, route }
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

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.others, self.searches)
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let Self { requests, p99, longest, route } = self;
        let (p99, longest) = (ms(*p99), ms(*longest));
        write!(f, "p99 {p99:.1} ms, longest {longest:.1} ms ({route}) of {requests} requests")
    }
}
