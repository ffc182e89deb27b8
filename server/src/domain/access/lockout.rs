//! Locks a client out of a key, or of a token, after too many wrong secrets.

use std::time::{Duration, Instant};

/// Wrong secrets within [`WINDOW`] that lock a client out.
pub const GUESSES: u32 = 10;
/// How long wrong secrets are added up, and how long a lockout lasts.
pub const WINDOW: Duration = Duration::from_mins(1);

/// The wrong secrets that one client has sent for one key or token.
#[derive(Debug, Clone, Copy)]
pub struct Guesses {
    began: Instant,
    count: u32,
}

impl Guesses {
    /// Starts at zero.
    pub fn new(now: Instant) -> Self {
        Self { began: now, count: 0 }
    }

    /// Counts a wrong secret at `now`. Returns the rest of the lockout, if there is one.
    pub fn wrong(&mut self, now: Instant) -> Option<Duration> {
        if let Some(rest) = self.lockout(now) {
            return Some(rest);
        }
        if now >= self.began + WINDOW {
            *self = Self::new(now);
        }
        self.count += 1;
        if self.count == GUESSES {
            // From here on the window is that of the lockout.
            self.began = now;
        }
        None
    }

    /// The rest of the lockout at `now`, if there is one.
    pub fn lockout(&self, now: Instant) -> Option<Duration> {
        let rest = (self.began + WINDOW).checked_duration_since(now)?;
        (self.count >= GUESSES && !rest.is_zero()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_secrets_within_a_minute_shut_out_for_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut guesses = Guesses::new(start);
        for second in 0..10 {
            assert_eq!(guesses.wrong(at(second)), None, "guess {second}");
        }
        assert_eq!(guesses.lockout(at(9)), Some(WINDOW));
        assert_eq!(guesses.wrong(at(9)), Some(WINDOW));
        assert_eq!(
            guesses.wrong(at(68)),
            Some(Duration::from_secs(1)),
            "guesses do not prolong it"
        );
        assert_eq!(guesses.lockout(at(69)), None);
        assert_eq!(guesses.wrong(at(69)), None, "it ends");
        assert_eq!(guesses.wrong(at(69)), None, "and the count begins anew");
    }

    #[test]
    fn slow_guesses_are_let_be() {
        let start = Instant::now();
        let mut guesses = Guesses::new(start);
        for n in 0..100 {
            assert_eq!(guesses.wrong(start + n * Duration::from_secs(7)), None, "guess {n}");
        }
    }
}
