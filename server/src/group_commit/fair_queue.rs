//! A queue that is fair among the tenants: each has its own line, and the lines take turns.
//!
//! The order within a line stays. While several tenants wait, none gets more than half of a batch. What is large is a batch
//! without other tenants' requests, and one worker is kept free of it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::Backlog;
use super::queue::Bounds;
use crate::domain::TenantId;

/// Most requests that stay in a queue when their clients leave. Further ones wait in their connections: they leave with them.
const CAPACITY: usize = 4096;

/// What batches are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How many workers take batches.
    pub(super) workers: usize,
    /// The bounds of a batch.
    pub(super) bounds: Bounds,
    /// Closer ones while several tenants wait. A batch that exceeds these is large.
    pub(super) shared: Bounds,
    /// Whether a tenant's requests are with one worker at a time.
    pub(super) one_worker_per_tenant: bool,
}

/// A queue of `T`. Workers share it.
pub(super) struct FairQueue<T> {
    rules: Rules,
    state: Mutex<State<T>>,
    arrived: Notify,
    /// A whole batch waits.
    full: Notify,
}

/// What a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Whatever waits.
    All,
    /// Whole batches alone.
    Full,
}

/// The sending end. The queue is closed when it is dropped.
pub(super) struct Entrance<T>(pub(super) Arc<FairQueue<T>>);

/// The place of a request that waits in its connection: dropped, it takes the request out of the queue.
pub(super) struct Place<'a, T> {
    queue: &'a FairQueue<T>,
    tenant: TenantId,
    number: u64,
}

/// A batch that a worker has taken.
pub(super) struct Batch<'a, T> {
    pub(super) requests: Vec<T>,
    /// Kept until they are done.
    pub(super) hold: Hold<'a, T>,
}

/// What a worker keeps from the others until it is dropped.
pub(super) struct Hold<'a, T> {
    queue: &'a FairQueue<T>,
    kept: Kept,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    tenants: Vec<TenantId>,
    is_large: bool,
}

struct State<T> {
    /// A tenant of which nothing waits has no line.
    lines: HashMap<TenantId, Line<T>>,
    /// The tenants that wait for a worker. Who was served the longest ago comes first.
    turns: VecDeque<TenantId>,
    /// The tenants that a worker keeps from the others. They have no turn.
    kept: HashSet<TenantId>,
    /// The large batches that are under way.
    large: usize,
    /// Requests in [`Line::queued`], of all tenants.
    queued: usize,
    /// The last [`Place::number`].
    places: u64,
    /// The number of the batch that is being filled.
    batch: u64,
    /// The memory of a line that has ended, for the next one.
    spare: VecDeque<Waiting<T>>,
    closed: bool,
}

struct Line<T> {
    queued: VecDeque<Waiting<T>>,
    /// Behind those that are queued: requests that wait in their connections.
    outside: BTreeMap<u64, Waiting<T>>,
    /// What was taken for the batch of that number.
    taken: (u64, Bounds),
}

struct Waiting<T> {
    request: T,
    size: Bounds,
}

impl<T> FairQueue<T> {
    pub(super) fn new(rules: Rules) -> Self {
        let state = State {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            kept: HashSet::new(),
            large: 0,
            queued: 0,
            places: 0,
            batch: 0,
            spare: VecDeque::new(),
            closed: false,
        };
        Self { rules, state: Mutex::new(state), arrived: Notify::new(), full: Notify::new() }
    }

    /// Queues requests of `tenant`, all before a worker takes any. Those that the tenant has no room for wait as long as their places
    /// are kept.
    pub(super) fn push_all(
        &self,
        tenant: TenantId,
        requests: impl IntoIterator<Item = (T, Bounds)>,
    ) -> Vec<Place<'_, T>> {
        let (places, is_kept, is_full) = {
            let mut state = self.state();
            let push = |(request, size)| {
                let number = state.push(tenant, Waiting { request, size })?;
                Some(Place { queue: self, tenant, number })
            };
            let places = requests.into_iter().filter_map(push).collect();
            (places, state.kept.contains(&tenant), self.is_full(&state))
        };
        if !is_kept {
            self.arrived.notify_one();
        }
        if is_full {
            self.full.notify_one();
        }
        places
    }

    /// Waits for what the worker `takes`, then takes all that wait and may be taken, up to the bounds. `None` when the queue is closed
    /// and the others that work on it take what is left.
    pub(super) async fn next(&self, takes: Takes) -> Option<Batch<'_, T>> {
        let woken = match takes {
            Takes::All => &self.arrived,
            Takes::Full => &self.full,
        };
        loop {
            {
                let mut state = self.state();
                if takes == Takes::All || self.is_full(&state) {
                    let (requests, kept) = state.take(&self.rules);
                    if !requests.is_empty() {
                        if !state.turns.is_empty() {
                            self.arrived.notify_one();
                        }
                        if self.is_full(&state) {
                            self.full.notify_one();
                        }
                        return Some(Batch { requests, hold: Hold { queue: self, kept } });
                    }
                }
                if state.closed {
                    // Each worker that ends wakes the next one.
                    self.arrived.notify_one();
                    self.full.notify_one();
                    return None;
                }
            }
            woken.notified().await;
        }
    }

    /// Whether a whole batch waits, where each request is a row.
    fn is_full(&self, state: &State<T>) -> bool {
        state.queued >= self.rules.bounds.rows
    }

    /// The requests that wait; `since` tells since when one does.
    pub(super) fn backlog(&self, since: impl Fn(&T) -> Instant) -> Backlog {
        let state = self.state();
        let lines = || state.lines.values();
        let oldest = lines().filter_map(Line::first).map(|first| since(&first.request)).min();
        Backlog {
            requests: state.queued + lines().map(|line| line.outside.len()).sum::<usize>(),
            oldest: oldest.map(|since| since.elapsed()).unwrap_or_default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Entrance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").finish_non_exhaustive()
    }
}

impl<T> Drop for Entrance<T> {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.arrived.notify_one();
        self.0.full.notify_one();
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.queue.state().leave(self.tenant, self.number);
    }
}

/// Whoever drops it is the next to take what it frees.
impl<T> Drop for Hold<'_, T> {
    fn drop(&mut self) {
        self.queue.state().give_back(mem::take(&mut self.kept));
    }
}

impl<T> State<T> {
    /// A tenant may have as many requests in the queue as there is room left, so that there is always some for others.
    fn push(&mut self, tenant: TenantId, waiting: Waiting<T>) -> Option<u64> {
        let line = self.lines.entry(tenant).or_insert_with(|| {
            if !self.kept.contains(&tenant) {
                self.turns.push_back(tenant);
            }
            let queued = mem::take(&mut self.spare);
            Line { queued, outside: BTreeMap::new(), taken: (0, Bounds::NONE) }
        });
        if line.outside.is_empty() && line.queued.len() < CAPACITY.saturating_sub(self.queued) {
            line.queued.push_back(waiting);
            self.queued += 1;
            return None;
        }
        self.places += 1;
        line.outside.insert(self.places, waiting);
        Some(self.places)
    }

    /// Fills a batch: one request of each tenant in turn. The first one fits whatever its size, unless too much that is large
    /// is under way.
    fn take(&mut self, rules: &Rules) -> (Vec<T>, Kept) {
        self.batch += 1;
        let several = self.turns.len() > 1;
        let may_be_large = self.large < rules.workers.saturating_sub(1).max(1);
        let is_shared = several || !may_be_large;
        let bounds = if is_shared { rules.bounds.least(rules.shared) } else { rules.bounds };
        let share = if several { bounds.half() } else { bounds };
        let (mut batch, mut size) = (Vec::new(), Bounds::NONE);
        let mut kept = Kept::default();
        // Tenants whose next request does not fit; they come first in the next batch.
        let mut put_off = Vec::new();
        while size.rows < bounds.rows
            && let Some(tenant) = self.turns.pop_front()
        {
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            let Some(next) = line.first().map(|first| first.size) else { continue };
            let is_new = line.taken.0 != self.batch;
            let own = if is_new { Bounds::NONE } else { line.taken.1 };
            let (with_next, own) = (size.plus(next), own.plus(next));
            let fits = if batch.is_empty() {
                may_be_large || rules.shared.hold(next)
            } else {
                bounds.hold(with_next) && share.hold(own)
            };
            if !fits {
                put_off.push(tenant);
                continue;
            }
            line.taken = (self.batch, own);
            size = with_next;
            if rules.one_worker_per_tenant && is_new {
                kept.tenants.push(tenant);
            }
            if let Some(queued) = line.queued.pop_front() {
                self.queued -= 1;
                batch.push(queued.request);
            } else if let Some((_, outside)) = line.outside.pop_first() {
                batch.push(outside.request);
            }
            if line.first().is_some() {
                self.turns.push_back(tenant);
            } else {
                self.end(tenant);
            }
        }
        put_off.into_iter().rev().for_each(|tenant| self.turns.push_front(tenant));
        kept.is_large = !rules.shared.hold(size);
        self.keep(&kept);
        (batch, kept)
    }

    fn keep(&mut self, kept: &Kept) {
        self.large += usize::from(kept.is_large);
        if !kept.tenants.is_empty() {
            self.kept.extend(&kept.tenants);
            self.turns.retain(|tenant| !self.kept.contains(tenant));
        }
    }

    fn give_back(&mut self, Kept { tenants, is_large }: Kept) {
        self.large -= usize::from(is_large);
        for tenant in tenants {
            self.kept.remove(&tenant);
            if self.lines.contains_key(&tenant) {
                self.turns.push_back(tenant);
            }
        }
    }

    /// Takes out a request that waits in its connection, if it is still there.
    fn leave(&mut self, tenant: TenantId, number: u64) {
        let Some(line) = self.lines.get_mut(&tenant) else { return };
        line.outside.remove(&number);
        if line.first().is_none() {
            self.turns.retain(|waits| *waits != tenant);
            self.end(tenant);
        }
    }

    /// Ends a line in which nothing waits.
    fn end(&mut self, tenant: TenantId) {
        if let Some(line) = self.lines.remove(&tenant) {
            self.spare = line.queued;
        }
    }
}

impl<T> Line<T> {
    fn first(&self) -> Option<&Waiting<T>> {
        self.queued.front().or_else(|| self.outside.first_key_value().map(|(_, first)| first))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    const RULES: Rules = Rules {
        workers: 2,
        bounds: Bounds { rows: 9, bytes: 100 },
        shared: Bounds { rows: 9, bytes: 20 },
        one_worker_per_tenant: true,
    };

    /// Queues requests: the number of the tenant, and bytes.
    fn push(queue: &FairQueue<(u128, usize)>, requests: &[(u128, usize)]) {
        for &(tenant, bytes) in requests {
            let size = Bounds { rows: 1, bytes };
            let tenant_id = TenantId(Uuid::from_u128(tenant));
            let places = queue.push_all(tenant_id, [((tenant, bytes), size)]);
            assert!(places.is_empty(), "there is room");
        }
    }

    /// What a worker would take now; empty where it would wait.
    fn next<T>(queue: &FairQueue<T>) -> (Vec<T>, Option<Hold<'_, T>>) {
        next_of(queue, Takes::All)
    }

    fn next_of<T>(queue: &FairQueue<T>, takes: Takes) -> (Vec<T>, Option<Hold<'_, T>>) {
        match queue.next(takes).now_or_never() {
            Some(batch) => {
                let Batch { requests, hold } = batch.expect("it is open");
                (requests, Some(hold))
            }
            None => (Vec::new(), None),
        }
    }

    #[test]
    fn a_tenants_requests_are_with_one_worker_at_a_time() {
        let queue = FairQueue::new(RULES);
        push(&queue, &[(1, 0)]);
        let (batch, first) = next(&queue);
        assert_eq!(batch, [(1, 0)]);
        push(&queue, &[(1, 1), (2, 0), (1, 2)]);
        let (batch, second) = next(&queue);
        assert_eq!(batch, [(2, 0)]);
        assert_eq!(next(&queue).0, []);
        drop(second);
        assert_eq!(next(&queue).0, []);
        drop(first);
        assert_eq!(next(&queue).0, [(1, 1), (1, 2)]);
    }

    #[test]
    fn a_tenants_requests_are_with_several_workers_where_their_order_does_not_matter() {
        let queue = FairQueue::new(Rules { one_worker_per_tenant: false, ..RULES });
        push(&queue, &[(1, 0)]);
        let (_, _first) = next(&queue);
        push(&queue, &[(1, 1)]);
        assert_eq!(next(&queue).0, [(1, 1)]);
    }

    #[test]
    fn a_worker_for_whole_batches_leaves_what_is_less() {
        let queue = FairQueue::new(Rules { one_worker_per_tenant: false, ..RULES });
        push(&queue, &[(1, 0); 8]);
        assert_eq!(next_of(&queue, Takes::Full).0, []);
        push(&queue, &[(1, 0); 10]);
        let mut helper = std::pin::pin!(queue.next(Takes::Full));
        assert_eq!(next(&queue).0.len(), 9);
        let taken = helper.as_mut().now_or_never().flatten().unwrap();
        assert_eq!(taken.requests.len(), 9);
        let mut helper = std::pin::pin!(queue.next(Takes::Full));
        assert!(helper.as_mut().now_or_never().is_none());
        push(&queue, &[(1, 0); 9]);
        assert_eq!(helper.as_mut().now_or_never().flatten().unwrap().requests.len(), 9);
    }

    #[test]
    fn what_is_large_shares_no_batch() {
        let queue = FairQueue::new(RULES);
        push(&queue, &[(1, 30), (2, 1), (1, 30), (3, 1)]);
        let (batch, large) = next(&queue);
        assert_eq!(batch, [(1, 30)]);
        let (batch, _small) = next(&queue);
        assert_eq!(batch, [(2, 1), (3, 1)]);
        drop(large);
        push(&queue, &[(1, 40)]);
        assert_eq!(next(&queue).0, [(1, 30), (1, 40)], "alone, a tenant has whole batches");
    }

    #[test]
    fn one_worker_is_kept_free_of_what_is_large() {
        for workers in 2..4 {
            let queue = FairQueue::new(Rules { workers, ..RULES });
            let large: Vec<_> = (1..workers as u128)
                .map(|tenant| {
                    push(&queue, &[(tenant, 90)]);
                    let (batch, hold) = next(&queue);
                    assert_eq!(batch, [(tenant, 90)]);
                    hold
                })
                .collect();
            push(&queue, &[(8, 90)]);
            assert_eq!(next(&queue).0, []);
            push(&queue, &[(9, 1), (7, 15), (7, 15)]);
            let (batch, _small) = next(&queue);
            assert_eq!(batch, [(9, 1)], "what was put off has kept its turn, and half of a batch");
            drop(large);
            assert_eq!(next(&queue).0, [(8, 90)]);
        }
    }

    #[test]
    fn a_lone_worker_takes_what_is_large() {
        let queue = FairQueue::new(Rules { workers: 1, ..RULES });
        push(&queue, &[(1, 90)]);
        assert_eq!(next(&queue).0, [(1, 90)]);
    }

    #[tokio::test]
    async fn a_worker_that_waits_is_woken_by_what_another_one_leaves() {
        let queue = FairQueue::new(RULES);
        push(&queue, &[(1, 1), (2, 1)]);
        let (_, both) = next(&queue);
        let mut waiting = std::pin::pin!(queue.next(Takes::All));
        assert!(futures::poll!(&mut waiting).is_pending());
        push(&queue, &[(1, 30), (2, 1)]);
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(both);
        let (batch, _large) = next(&queue);
        assert_eq!(batch, [(1, 30)]);
        let woken = waiting.now_or_never().expect("it is woken");
        assert_eq!(woken.map(|batch| batch.requests), Some(vec![(2, 1)]));
    }
}
