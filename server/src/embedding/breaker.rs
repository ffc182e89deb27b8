//! The circuit breaker: while the provider fails, lets one probe through at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::runtime::jitter::jittered;

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The longest pause that a provider can ask for.
const LONGEST_ASKED: Duration = Duration::from_hours(1);

/// What a caller may try now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Full batches.
    Batch,
    /// One probe.
    Probe,
    /// Nothing for this long.
    Wait(Duration),
}

/// The state of the breaker, shared by all users of one provider.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<Pause>>);

/// A pause after failures.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Failures since the last success.
    failures: u32,
    /// Nothing is tried before this moment.
    until: Option<Instant>,
}

impl Breaker {
    /// What may be tried at `now`. A probe is handed out once, and again if nobody reports within `patience`.
    pub fn permit(&self, now: Instant, patience: Duration) -> Permit {
        let mut state = self.state();
        let Some(pause) = state.as_mut() else { return Permit::Batch };
        if let Some(rest) = pause.rest(now) {
            return Permit::Wait(rest);
        }
        pause.until = Some(now + patience);
        Permit::Probe
    }

    /// Returns an unused probe: the next caller gets it.
    pub fn unused(&self, now: Instant) {
        if let Some(pause) = self.state().as_mut() {
            pause.until = Some(now);
        }
    }

    /// Records a success. Returns whether the breaker was open.
    pub fn success(&self) -> bool {
        self.state().take().is_some()
    }

    /// Records a failure, with the pause that the provider asked for. Returns whether it is the first.
    pub fn failure(&self, now: Instant, asked: Option<Duration>) -> bool {
        self.state().get_or_insert_default().lengthen(now, asked)
    }

    fn state(&self) -> MutexGuard<'_, Option<Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pause {
    /// How much of it is left at `now`.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.until?.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// Begins it anew after a failure, with the length that the provider asked for. Returns whether it is the first failure.
    pub(super) fn lengthen(&mut self, now: Instant, asked: Option<Duration>) -> bool {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10));
        let pause = match asked {
            Some(asked) => asked.clamp(FIRST_PAUSE, LONGEST_ASKED),
            None => jittered(doubled.min(LONGEST_PAUSE)),
        };
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause);
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(100);

    #[test]
    fn one_probe_at_a_time_until_one_succeeds() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.permit(start, PATIENCE), Permit::Batch);
        assert!(breaker.failure(start, Some(Duration::from_secs(7))));
        assert_eq!(breaker.permit(start, PATIENCE), Permit::Wait(Duration::from_secs(7)));
        let later = start + Duration::from_secs(8);
        assert_eq!(breaker.permit(later, PATIENCE), Permit::Probe);
        assert_eq!(breaker.permit(later, PATIENCE), Permit::Wait(PATIENCE));
        breaker.unused(later);
        assert_eq!(breaker.permit(later, PATIENCE), Permit::Probe);
        assert!(!breaker.failure(later, None), "no news");
        assert!(breaker.success() && !breaker.success());
        assert_eq!(breaker.permit(later, PATIENCE), Permit::Batch);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let pause = |asked| {
            breaker.failure(start, asked);
            let Permit::Wait(pause) = breaker.permit(start, PATIENCE) else { panic!("no pause") };
            pause
        };
        assert!(pause(None) <= FIRST_PAUSE * 3 / 2);
        for _ in 0..40 {
            assert!(pause(None) <= LONGEST_PAUSE * 3 / 2);
        }
        assert!(pause(None) >= LONGEST_PAUSE / 2);
        assert_eq!(pause(Some(Duration::MAX)), LONGEST_ASKED);
    }
}
