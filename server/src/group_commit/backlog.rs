//! The backlog of a queue: how many requests wait, and for how long.

use std::time::Duration;

/// A queue's backlog at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Waiting requests.
    pub requests: usize,
    /// How long the oldest one has waited.
    pub oldest: Duration,
}

impl Backlog {
    /// That of a queue in which nothing waits.
    pub const NONE: Self = Self { requests: 0, oldest: Duration::ZERO };
}

impl std::ops::Add for Backlog {
    type Output = Self;

    /// The backlog of both queues together.
    fn add(self, other: Self) -> Self {
        Self { requests: self.requests + other.requests, oldest: self.oldest.max(other.oldest) }
    }
}
