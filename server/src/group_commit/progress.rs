//! Measures a queue's backlog: how many requests wait, and for how long.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A queue's backlog at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Waiting requests.
    pub requests: usize,
    /// Upper bound of the oldest one's wait: all came after the last one that was taken.
    pub oldest: Duration,
}

impl Backlog {
    /// The backlog of a queue in which nothing waits.
    pub const NONE: Self = Self { requests: 0, oldest: Duration::ZERO };
}

impl std::ops::Add for Backlog {
    type Output = Self;

    /// The backlog of both queues together.
    fn add(self, other: Self) -> Self {
        Self { requests: self.requests + other.requests, oldest: self.oldest.max(other.oldest) }
    }
}

/// The progress of a queue.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// A worker waits for requests, so no request waits for a worker.
    idle: AtomicBool,
    /// A request was taken, but put back for the next batch.
    carried: AtomicBool,
    /// The arrival of the last request taken, in microseconds since the beginning.
    last_taken: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            idle: AtomicBool::new(true),
            carried: AtomicBool::new(false),
            last_taken: AtomicU64::new(0),
        }
    }

    /// Records that a worker waits for requests.
    pub(crate) fn idle(&self) {
        self.idle.store(true, Ordering::Relaxed);
    }

    /// Records that a worker has taken requests, the last of which had arrived at `last`.
    pub(crate) fn taken(&self, last: Instant, carries: bool) {
        let since_began = last.saturating_duration_since(self.began).as_micros();
        self.last_taken.store(u64::try_from(since_began).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.carried.store(carries, Ordering::Relaxed);
        self.idle.store(false, Ordering::Relaxed);
    }

    /// The backlog, with `queued` requests in the queue.
    pub(crate) fn backlog(&self, queued: usize) -> Backlog {
        let requests = queued + usize::from(self.carried.load(Ordering::Relaxed));
        if requests == 0 || self.idle.load(Ordering::Relaxed) {
            return Backlog { requests, ..Backlog::NONE };
        }
        let last_taken = Duration::from_micros(self.last_taken.load(Ordering::Relaxed));
        Backlog { requests, oldest: self.began.elapsed().saturating_sub(last_taken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_since_the_last_one_was_taken() {
        let progress = Progress::new();
        let moment = Duration::from_millis(2);
        std::thread::sleep(moment);
        assert_eq!(
            progress.backlog(1).oldest,
            Duration::ZERO,
            "an idle worker is about to take it"
        );
        progress.taken(Instant::now(), false);
        std::thread::sleep(moment);
        assert_eq!(progress.backlog(0), Backlog::NONE);
        let backlog = progress.backlog(3);
        assert!(backlog.requests == 3 && backlog.oldest >= moment, "{backlog:?}");
        assert_eq!(backlog + Backlog::NONE, backlog);
        progress.taken(Instant::now(), true);
        assert_eq!(progress.backlog(0).requests, 1);
        progress.idle();
        assert_eq!(progress.backlog(9).oldest, Duration::ZERO);
    }
}
