//! Look-ups of keys that this process has never seen valid. Anybody can make up any number of them, so they have a connection
//! and a rate of their own, and keys that were valid before wait for none of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::domain::access::client::ClientNetwork;
use crate::runtime::fair_semaphore::{FairSemaphore, Permits};
use crate::store::connection::pool::Pool;

/// Look-ups a second, and how many more after a quiet time: after a start no key was seen yet.
const PER_SECOND: f64 = 100.0;
const BURST: f64 = 1000.0;

/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Too many unknown keys are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many unknown API keys are looked up")]
pub struct TooMany;

/// The connection on which unknown keys are looked up, one at a time, shared out among client networks.
#[derive(Debug, Clone)]
pub struct Strangers {
    pool: Pool,
    turns: FairSemaphore<ClientNetwork>,
    rate: Arc<Mutex<Rate>>,
}

impl Strangers {
    /// Looks them up through `pool`.
    pub fn new(pool: Pool) -> Self {
        let rate = Arc::new(Mutex::new(Rate::new(Instant::now())));
        Self { pool, turns: FairSemaphore::new(1), rate }
    }

    /// The connections, when it is the turn of `client`.
    pub async fn turn(
        &self,
        client: ClientNetwork,
    ) -> Result<(&Pool, Permits<ClientNetwork>), TooMany> {
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return Err(TooMany);
        }
        let turn = timeout(PATIENCE, self.turns.acquire(client, 1)).await;
        turn.map(|turn| (&self.pool, turn)).map_err(|_| TooMany)
    }
}

/// A token bucket.
#[derive(Debug)]
struct Rate {
    tokens: f64,
    since: Instant,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { tokens: BURST, since: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.tokens = passed.mul_add(PER_SECOND, self.tokens).min(BURST);
        self.since = now;
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut taken = |at| (0..5000).filter(|_| rate.take(at)).count();
        assert_eq!(taken(start), 1000);
        assert_eq!(taken(start + Duration::from_secs(1)), 100);
        assert_eq!(taken(start + Duration::from_secs(1)), 0);
        assert_eq!(taken(start + Duration::from_hours(1)), 1000);
    }
}
