//! The budget of bytes: what requests keep in memory. Bodies, queued writes, pages of values, and answers that their clients have not
//! taken yet draw on it before memory is used.
//!
//! No tenant takes more of it than it leaves free, and while several wait, the one that holds the least is served first. What is
//! no larger than [`UNCOUNTED`] is not counted: the share of memory that MAX_CONNECTIONS is derived from has room for it.

use std::time::Duration;

use tokio::time::timeout;

use super::fair_semaphore::{FairSemaphore, Permits};
use super::metrics::Metrics;
use crate::domain::TenantId;

/// Most bytes that are not counted.
pub const UNCOUNTED: usize = 4 << 10;

/// The longest that a request waits for its bytes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose bytes they are; `None` are those of all whose tenant is not known.
pub type Owner = Option<TenantId>;

/// The budget of bytes; clones share it.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    free: FairSemaphore<Owner>,
    total: u64,
    metrics: Metrics,
}

/// What bytes are kept for, as metrics name it.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// The body of a request.
    Body,
    /// What a request reads, and its answer.
    Answer,
}

/// Bytes of the budget, given back when this is dropped; by default none.
#[derive(Debug, Default)]
pub struct Reservation(Option<Permits<Owner>>);

/// The budget was spent for as long as a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server holds as many requests and answers in memory as it may at this moment; nothing was done; try again, or ask for less at once and take answers faster"
)]
pub struct BudgetSpent;

impl ByteBudget {
    /// A budget of `total` bytes.
    pub fn new(total: u64, metrics: Metrics) -> Self {
        Self { free: FairSemaphore::keeping_as_many_back(total), total, metrics }
    }

    /// Takes `bytes` for `owner`; waits for them no longer than a second.
    pub async fn reserve(
        &self,
        owner: Owner,
        bytes: usize,
        purpose: Purpose,
    ) -> Result<Reservation, BudgetSpent> {
        if let Some(reserved) = self.try_reserve(owner, bytes) {
            return Ok(reserved);
        }
        let waited = timeout(PATIENCE, self.free.acquire(owner, bytes as u64)).await;
        waited.map(|permits| Reservation(Some(permits))).map_err(|_| {
            self.metrics.memory_budget_denial(purpose.as_str());
            BudgetSpent
        })
    }

    /// Takes `bytes` for `owner` if they are there and nobody waits for them.
    pub fn try_reserve(&self, owner: Owner, bytes: usize) -> Option<Reservation> {
        if bytes <= UNCOUNTED {
            return Some(Reservation::default());
        }
        self.free.try_acquire(owner, bytes as u64).map(|permits| Reservation(Some(permits)))
    }

    /// The bytes that are taken, and those that are free.
    pub fn used_and_free(&self) -> (u64, u64) {
        let free = self.free.free();
        (self.total - free, free)
    }
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Answer => "answer",
        }
    }
}

impl Reservation {
    /// How many bytes they are.
    pub fn bytes(&self) -> usize {
        let permits = self.0.as_ref().map_or(0, Permits::number);
        usize::try_from(permits).unwrap_or(usize::MAX)
    }

    /// Keeps what `bytes` need, and gives the rest back.
    pub fn shrink(&mut self, bytes: usize) {
        if bytes <= UNCOUNTED {
            self.0 = None;
        } else if let Some(permits) = &mut self.0 {
            permits.shrink(bytes as u64);
        }
    }

    /// Takes `bytes` away from these, or all if they are fewer.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        Self(self.0.as_mut().map(|permits| permits.split(bytes as u64)))
    }

    /// Adds `others`, of the same owner, to these.
    pub fn merge(&mut self, others: Self) {
        match (&mut self.0, others.0) {
            (Some(own), Some(others)) => own.merge(others),
            (own @ None, others) => *own = others,
            (Some(_), None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;
    use crate::domain::DEFAULT_TENANT;

    const OWNER: Owner = Some(DEFAULT_TENANT);

    fn budget(total: u64) -> ByteBudget {
        ByteBudget::new(total, Metrics::new().unwrap())
    }

    #[tokio::test]
    async fn what_is_small_is_not_counted_and_all_else_goes_back() {
        let budget = budget(1 << 20);
        let small = budget.reserve(OWNER, UNCOUNTED, Purpose::Body).await.unwrap();
        assert_eq!((small.bytes(), budget.used_and_free()), (0, (0, 1 << 20)));
        let mut large = budget.reserve(OWNER, 100_000, Purpose::Body).await.unwrap();
        large.merge(budget.reserve(OWNER, 5_000, Purpose::Body).await.unwrap());
        large.merge(small);
        assert_eq!((large.bytes(), budget.used_and_free().0), (105_000, 105_000));
        let part = large.split(15_000);
        large.shrink(50_000);
        assert_eq!(
            (part.bytes(), large.bytes(), budget.used_and_free().0),
            (15_000, 50_000, 65_000)
        );
        large.shrink(UNCOUNTED);
        assert_eq!((large.bytes(), budget.used_and_free().0), (0, 15_000));
        drop(part);
        assert_eq!(budget.used_and_free().0, 0);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused_and_counted() {
        let budget = budget(100_000);
        let held = budget.try_reserve(OWNER, 50_000).unwrap();
        let refused = budget.reserve(OWNER, 50_000, Purpose::Answer).await;
        assert_eq!(refused.unwrap_err(), BudgetSpent);
        let text = budget.metrics.render().unwrap();
        assert!(text.contains(r#"agentfs_memory_budget_denials_total{type="answer"} 1"#), "{text}");
        // What it leaves is there for others at once.
        assert!(budget.try_reserve(None, 50_000).is_some());
        let mut waits = pin!(budget.reserve(OWNER, 50_000, Purpose::Answer));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(held);
        assert_eq!(waits.await.unwrap().bytes(), 50_000);
    }
}
