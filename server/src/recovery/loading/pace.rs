//! Bounds how much is loaded a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Shared by all that load.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    /// When the next piece may go.
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn of(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, next: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` may go.
    pub(super) async fn wait(&self, bytes: usize) {
        if let Some(bytes_per_second) = self.bytes_per_second {
            sleep_until(self.turn(Instant::now(), bytes, bytes_per_second)).await;
        }
    }

    /// When `bytes` may go that are there at `now`.
    fn turn(&self, now: Instant, bytes: usize, bytes_per_second: u64) -> Instant {
        let per_second = u32::try_from(bytes_per_second.max(1)).unwrap_or(u32::MAX);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // Time in which nothing went is not made up for.
        let turn = now.max(*next);
        *next = turn + Duration::from_secs(bytes as u64) / per_second;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_keep_to_the_pace() {
        let pace = Pace::of(Some(1000));
        let begun = Instant::now() + Duration::from_secs(1);
        let after = |turn: Instant| turn.duration_since(begun).as_millis();
        // The first piece goes at once.
        assert_eq!([100, 200, 50].map(|bytes| after(pace.turn(begun, bytes, 1000))), [0, 100, 300]);
        let later = begun + Duration::from_secs(9);
        assert_eq!([100, 100].map(|bytes| after(pace.turn(later, bytes, 1000))), [9000, 9100]);
    }
}
