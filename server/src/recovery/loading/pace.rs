//! Bounds how much is loaded a second.

use std::iter;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

/// Portions a second. A backend that waits for rows of a COPY absorbs no barrier (PostgreSQL's `ProcSignalBarrier`), so that no database of
/// the server can be made or dropped until it gets some: it must never wait for long.
const PORTIONS: u64 = 10;

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

    /// Splits what goes at once.
    pub(super) fn portions(&self, mut bytes: Bytes) -> impl Iterator<Item = Bytes> + use<> {
        let most = self.bytes_per_second.map_or(u64::MAX, |rate| (rate / PORTIONS).max(1));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        iter::from_fn(move || (!bytes.is_empty()).then(|| bytes.split_to(most.min(bytes.len()))))
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

    #[test]
    fn what_goes_at_once_is_worth_a_tenth_of_a_second() {
        let portions = |rate| {
            let portions = Pace::of(rate).portions(Bytes::from_static(&[b'x'; 250]));
            portions.map(|portion| portion.len()).collect::<Vec<_>>()
        };
        assert_eq!(portions(Some(1000)), [100, 100, 50]);
        assert_eq!(portions(Some(1)), [1; 250]);
        assert_eq!(portions(None), [250]);
    }
}
