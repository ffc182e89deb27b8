//! Look-ups of keys that this process has never seen valid. Anybody can make up any number of them, so they have a connection
//! and a rate of their own, both shared out among client networks, and keys that were valid before wait for none of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::domain::access::client::ClientNetwork;
use crate::runtime::fair_semaphore::{FairSemaphore, Permits};
use crate::store::connection::pool::Pool;

/// Look-ups a second, and how many more after a quiet time: after a start no key was seen yet.
const PER_SECOND: f64 = 100.0;
const BURST: f64 = 1000.0;

/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most look-ups of one client network that may wait.
const MAX_WAITING: usize = 50;

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

    /// The connections, when it is the turn of `client`. The turn comes before the rate: one network that asks without end
    /// leaves the others their share of it.
    pub async fn turn(
        &self,
        client: ClientNetwork,
    ) -> Result<(&Pool, Permits<ClientNetwork>), TooMany> {
        if self.turns.waiting(&client) >= MAX_WAITING {
            return Err(TooMany);
        }
        let paced = async {
            let turn = self.turns.acquire(client, 1).await;
            while let Err(pause) = self.take() {
                sleep(pause).await;
            }
            turn
        };
        let turn = timeout(PATIENCE, paced).await;
        turn.map(|turn| (&self.pool, turn)).map_err(|_| TooMany)
    }

    fn take(&self) -> Result<(), Duration> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
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

    /// Takes a token, or says when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.tokens = passed.mul_add(PER_SECOND, self.tokens).min(BURST);
        self.since = now;
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / PER_SECOND));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::{Either, join_all, select};
    use secrecy::SecretString;
    use tokio::task::coop::unconstrained;

    use super::*;
    use crate::store::connection::address::DatabaseAddress;

    #[test]
    fn a_burst_is_let_through_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut taken = |at| (0..5000).filter(|_| rate.take(at).is_ok()).count();
        assert_eq!(taken(start), 1000);
        assert_eq!(taken(start + Duration::from_secs(1)), 100);
        assert_eq!(taken(start + Duration::from_secs(1)), 0);
        assert_eq!(taken(start + Duration::from_hours(1)), 1000);
        let pause = rate.take(start + Duration::from_hours(1)).unwrap_err();
        assert_eq!(pause, Duration::from_millis(10));
    }

    #[tokio::test]
    async fn one_network_that_asks_without_end_leaves_the_others_their_turns() {
        let nowhere = SecretString::from("postgres://nobody@127.0.0.1:1/none");
        let strangers = Strangers::new(DatabaseAddress::parse(&nowhere).unwrap().pool(1));
        let [one, other] = [1, 2].map(|n| ClientNetwork::of([192, 0, 2, n].into()));
        // However late the first of them asks, no tokens have come in before.
        let since = Instant::now() + Duration::from_hours(1);
        *strangers.rate.lock().unwrap() = Rate { tokens: 0.0, since };
        let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let flood = join_all((0..5000).map(|_| async {
            let answer = strangers.turn(one).await;
            let answers = if answer.is_ok() { &served } else { &refused };
            answers.fetch_add(1, Ordering::Relaxed);
        }));
        let newcomer = async {
            let turn = strangers.turn(other).await;
            turn.map(|_| served.load(Ordering::Relaxed))
        };
        // Both are one task here, and the flood would use up its budget before the other has asked.
        match select(Box::pin(unconstrained(flood)), Box::pin(newcomer)).await {
            Either::Left(_) => panic!("the flood of one is served before the other"),
            Either::Right((before, _)) => assert!(before.unwrap() <= 2, "{before:?}"),
        }
        assert!(refused.into_inner() > 4900, "a queue has an end");
    }
}
