//! A queue that is fair among the tenants: each has its own line, and the lines take turns.
//!
//! The order within a line stays. While several tenants wait, none gets more than half of a batch.

use std::collections::{BTreeMap, HashMap, VecDeque};
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

/// A queue of `T`. Workers share it.
pub(super) struct FairQueue<T> {
    state: Mutex<State<T>>,
    arrived: Notify,
}

/// The sending end. The queue is closed when it is dropped.
pub(super) struct Entrance<T>(pub(super) Arc<FairQueue<T>>);

/// The place of a request that waits in its connection: dropped, it takes the request out of the queue.
pub(super) struct Place<'a, T> {
    queue: &'a FairQueue<T>,
    tenant: TenantId,
    number: u64,
}

struct State<T> {
    /// A tenant of which nothing waits has no line.
    lines: HashMap<TenantId, Line<T>>,
    /// The tenants that wait. Who was served the longest ago comes first.
    turns: VecDeque<TenantId>,
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
    pub(super) fn new() -> Self {
        let state = State {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            queued: 0,
            places: 0,
            batch: 0,
            spare: VecDeque::new(),
            closed: false,
        };
        Self { state: Mutex::new(state), arrived: Notify::new() }
    }

    /// Queues a request of `tenant`. Where the tenant has no room, the request waits as long as its place is kept.
    pub(super) fn push(&self, tenant: TenantId, request: T, size: Bounds) -> Option<Place<'_, T>> {
        let number = self.state().push(tenant, Waiting { request, size });
        self.arrived.notify_one();
        number.map(|number| Place { queue: self, tenant, number })
    }

    /// Waits for a request, then takes all that wait, up to `bounds`. `None` when the queue is closed and empty.
    pub(super) async fn next(&self, bounds: Bounds) -> Option<Vec<T>> {
        loop {
            {
                let mut state = self.state();
                let batch = state.take(bounds);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if state.closed {
                    // Each worker that ends wakes the next one.
                    self.arrived.notify_one();
                    return None;
                }
            }
            self.arrived.notified().await;
        }
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
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.queue.state().leave(self.tenant, self.number);
    }
}

impl<T> State<T> {
    /// A tenant may have as many requests in the queue as there is room left, so that there is always some for others.
    fn push(&mut self, tenant: TenantId, waiting: Waiting<T>) -> Option<u64> {
        let line = self.lines.entry(tenant).or_insert_with(|| {
            self.turns.push_back(tenant);
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

    /// Fills a batch: one request of each tenant in turn. The first one fits whatever its size.
    fn take(&mut self, bounds: Bounds) -> Vec<T> {
        self.batch += 1;
        let several = self.turns.len() > 1;
        let share = if several { bounds.half() } else { bounds };
        let (mut batch, mut size) = (Vec::new(), Bounds::NONE);
        // Tenants whose next request does not fit; they come first in the next batch.
        let mut put_off = Vec::new();
        while size.rows < bounds.rows
            && let Some(tenant) = self.turns.pop_front()
        {
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            let Some(next) = line.first().map(|first| first.size) else { continue };
            let own = if line.taken.0 == self.batch { line.taken.1 } else { Bounds::NONE };
            let (with_next, own) = (size.plus(next), own.plus(next));
            let fits = bounds.hold(with_next) && share.hold(own);
            if !fits && !batch.is_empty() {
                put_off.push(tenant);
                continue;
            }
            line.taken = (self.batch, own);
            size = with_next;
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
        batch
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
