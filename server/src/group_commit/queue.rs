//! The queue behind group commit: its workers take everything that waits, up to a bound, and never wait for
//! more. Its bounded capacity is the backpressure on clients. The tenants that wait share its batches and its capacity.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::oneshot;

use super::fair_queue::{Batch, Entrance, FairQueue, Rules, Takes};
use super::{Backlog, BatchError};
use crate::domain::TenantId;

/// The bounds of one batch, and the size of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most rows.
    pub rows: usize,
    /// Most bytes. A single request that exceeds a bound is a batch of its own.
    pub bytes: usize,
}

impl Bounds {
    /// The size of nothing.
    pub(super) const NONE: Self = Self { rows: 0, bytes: 0 };
    /// No bounds.
    pub(super) const ANY: Self = Self { rows: usize::MAX, bytes: usize::MAX };

    /// The lesser of both, of rows and of bytes.
    pub(super) fn least(self, other: Self) -> Self {
        Self { rows: self.rows.min(other.rows), bytes: self.bytes.min(other.bytes) }
    }

    /// The sum of two sizes.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Half of it, rounded up.
    pub(super) fn half(self) -> Self {
        Self { rows: self.rows.div_ceil(2), bytes: self.bytes.div_ceil(2) }
    }

    /// Whether a size exceeds none of the bounds.
    pub(super) fn hold(self, size: Self) -> bool {
        size.rows <= self.rows && size.bytes <= self.bytes
    }
}

/// A waiting request, with the channel for its answer.
#[derive(Debug)]
pub struct Pending<Q, A> {
    /// The request.
    pub request: Q,
    since: Instant,
    reply: oneshot::Sender<Result<A, BatchError>>,
}

impl<Q, A> Pending<Q, A> {
    /// Sends the answer; a client that has disconnected is ignored.
    pub fn answer(self, answer: Result<A, BatchError>) {
        self.reply.send(answer).ok();
    }

    /// Whether the client has disconnected.
    pub fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// How long the oldest request of a batch has waited.
pub fn longest_wait<Q, A>(batch: &[Pending<Q, A>]) -> Duration {
    batch.iter().map(|pending| pending.since).min().map(|since| since.elapsed()).unwrap_or_default()
}

/// Handles batches of requests.
pub trait BatchHandler: Send + 'static {
    /// A request.
    type Request: Send + 'static;
    /// An answer.
    type Answer: Send + 'static;

    /// Closer bounds of a batch while several tenants wait. One that exceeds these is of one tenant, and of several workers one
    /// at least is always free of such.
    const SHARED: Bounds = Bounds::ANY;
    /// Whether a tenant's requests are with one worker at a time.
    const ONE_WORKER_PER_TENANT: bool = false;
    /// Whether there is one more worker, which takes whole batches alone: two halves would cost more than the whole.
    const ONE_MORE_FOR_FULL_BATCHES: bool = false;

    /// The tenant whose request it is: tenants take turns.
    fn tenant(request: &Self::Request) -> TenantId;

    /// Bytes of a request, for the bound of a batch.
    fn bytes(request: &Self::Request) -> usize;

    /// Rows of a request, for the bound of a batch.
    fn rows(_: &Self::Request) -> usize {
        1
    }

    /// Answers every request of a batch; requests dropped unanswered are answered as failed.
    fn process(
        &mut self,
        batch: Vec<Pending<Self::Request, Self::Answer>>,
    ) -> impl Future<Output = ()> + Send;
}

/// The sending end of a queue.
#[derive(Debug)]
pub struct Queue<H: BatchHandler> {
    name: &'static str,
    entrance: Arc<Entrance<Waiting<H>>>,
}

type Waiting<H> = Pending<<H as BatchHandler>::Request, <H as BatchHandler>::Answer>;

impl<H: BatchHandler> Clone for Queue<H> {
    fn clone(&self) -> Self {
        Self { name: self.name, entrance: self.entrance.clone() }
    }
}

impl<H: BatchHandler> Queue<H> {
    /// Starts `workers` tasks on one queue. A task that panics fails its batch and is replaced by a new worker.
    pub fn start(
        name: &'static str,
        workers: usize,
        bounds: Bounds,
        make: impl Fn() -> H + Send + Clone + 'static,
    ) -> Self {
        let queue = Arc::new(FairQueue::new(Rules {
            workers,
            bounds,
            shared: H::SHARED,
            one_worker_per_tenant: H::ONE_WORKER_PER_TENANT,
        }));
        let one_more = H::ONE_MORE_FOR_FULL_BATCHES.then_some(Takes::Full);
        for takes in iter::repeat_n(Takes::All, workers).chain(one_more) {
            tokio::spawn(supervise(name, queue.clone(), takes, make.clone()));
        }
        Self { name, entrance: Arc::new(Entrance(queue)) }
    }

    /// The name that metrics and logs call it by.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The requests that wait for a worker.
    pub fn backlog(&self) -> Backlog {
        self.entrance.0.backlog(|pending| pending.since)
    }

    /// Queues a request and waits for its answer.
    pub async fn submit(&self, request: H::Request) -> Result<H::Answer, BatchError> {
        let tenant = H::tenant(&request);
        let (waiting, answer) = Self::waiting(request, Instant::now());
        let _place = self.entrance.0.push_all(tenant, [waiting]).pop();
        answered::<H>(answer.await)
    }

    /// Queues requests of one tenant together, and waits for the answers to all of them.
    pub async fn submit_all(
        &self,
        requests: Vec<H::Request>,
    ) -> Vec<Result<H::Answer, BatchError>> {
        let Some(tenant) = requests.first().map(H::tenant) else { return Vec::new() };
        let since = Instant::now();
        let waiting = |request| Self::waiting(request, since);
        let (waiting, answers): (Vec<_>, Vec<_>) = requests.into_iter().map(waiting).unzip();
        let _places = self.entrance.0.push_all(tenant, waiting);
        join_all(answers).await.into_iter().map(answered::<H>).collect()
    }

    fn waiting(request: H::Request, since: Instant) -> ((Waiting<H>, Bounds), Reply<H>) {
        let (reply, answer) = oneshot::channel();
        let size = Bounds { rows: H::rows(&request), bytes: H::bytes(&request) };
        ((Pending { request, since, reply }, size), answer)
    }
}

type Reply<H> = oneshot::Receiver<Result<<H as BatchHandler>::Answer, BatchError>>;

/// The sender is dropped only where a worker panicked in the middle of this batch.
fn answered<H: BatchHandler>(
    answer: Result<Result<H::Answer, BatchError>, oneshot::error::RecvError>,
) -> Result<H::Answer, BatchError> {
    answer.unwrap_or(Err(BatchError::Unavailable { unknown: true }))
}

async fn supervise<H: BatchHandler>(
    name: &'static str,
    queue: Arc<FairQueue<Waiting<H>>>,
    takes: Takes,
    make: impl Fn() -> H,
) {
    loop {
        match tokio::spawn(work(queue.clone(), takes, make())).await {
            Err(end) if end.is_panic() => {
                tracing::error!(queue = name, "a worker panicked; it is replaced");
            }
            Ok(()) | Err(_) => return,
        }
    }
}

async fn work<H: BatchHandler>(queue: Arc<FairQueue<Waiting<H>>>, takes: Takes, mut handler: H) {
    while let Some(Batch { requests, hold }) = queue.next(takes).await {
        handler.process(requests).await;
        drop(hold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    use tokio::sync::Semaphore;
    use uuid::Uuid;

    /// Where a worker waits with its batch until the test has queued what it wants to.
    struct Gate {
        reached: Semaphore,
        open: Semaphore,
    }

    impl Gate {
        fn closed() -> Arc<Self> {
            Arc::new(Self { reached: Semaphore::new(0), open: Semaphore::new(0) })
        }

        fn open(&self) {
            self.open.add_permits(Semaphore::MAX_PERMITS / 2);
        }
    }

    /// A tenant's request of some bytes.
    type Request = (u128, usize);

    /// Answers with the number of the batch, from 0 on, and its size; a request of 666 bytes makes it panic.
    struct Counting {
        gate: Arc<Gate>,
        batches: usize,
    }

    impl BatchHandler for Counting {
        type Request = Request;
        type Answer = (usize, usize);

        const ONE_WORKER_PER_TENANT: bool = true;

        fn tenant((tenant, _): &Request) -> TenantId {
            TenantId(Uuid::from_u128(*tenant))
        }

        fn bytes((_, bytes): &Request) -> usize {
            *bytes
        }

        async fn process(&mut self, batch: Vec<Pending<Request, (usize, usize)>>) {
            assert!(batch.iter().all(|w| w.request.1 != 666), "asked to panic");
            self.gate.reached.add_permits(1);
            self.gate.open.acquire().await.unwrap().forget();
            let answer = (self.batches, batch.len());
            self.batches += 1;
            for pending in batch {
                pending.answer(Ok(answer));
            }
        }
    }

    fn queue(gate: &Arc<Gate>, rows: usize, bytes: usize) -> Queue<Counting> {
        let gate = gate.clone();
        let make = move || Counting { gate: gate.clone(), batches: 0 };
        Queue::start("test", 1, Bounds { rows, bytes }, make)
    }

    /// The number and size of the batch that each request was in, where all of them waited for the one before.
    async fn batches(rows: usize, bytes: usize, requests: &[Request]) -> Vec<(usize, usize)> {
        let gate = Gate::closed();
        let queue = queue(&gate, rows, bytes);
        let first = tokio::spawn({
            let queue = queue.clone();
            async move { queue.submit((0, 0)).await }
        });
        gate.reached.acquire().await.unwrap().forget();
        let mut answers = pin!(join_all(requests.iter().map(|&request| queue.submit(request))));
        // Asked once, each of them is in the queue.
        assert!(futures::poll!(&mut answers).is_pending());
        assert_eq!(queue.backlog().requests, requests.len());
        gate.open();
        let answers = answers.await;
        assert_eq!(first.await.unwrap().unwrap(), (0, 1), "a lone request waits for nobody");
        assert_eq!(queue.backlog(), Backlog::NONE);
        answers.into_iter().map(Result::unwrap).collect()
    }

    /// The sizes of the batches that a tenant's requests were in.
    async fn sizes(rows: usize, bytes: usize, requests: &[usize]) -> Vec<usize> {
        let requests: Vec<Request> = requests.iter().map(|&bytes| (1, bytes)).collect();
        batches(rows, bytes, &requests).await.into_iter().map(|(_, size)| size).collect()
    }

    #[tokio::test]
    async fn what_waits_together_is_taken_together_up_to_the_bounds() {
        assert_eq!(sizes(3, 100, &[0; 5]).await, [3, 3, 3, 2, 2]);
        assert_eq!(sizes(9, 100, &[60, 60, 500, 1]).await, [1, 1, 1, 1]);
        assert_eq!(sizes(9, 100, &[50, 50, 1]).await, [2, 2, 1]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_submitted_together_is_taken_together_by_a_worker_that_waits() {
        let gate = Gate::closed();
        gate.open();
        let queue = queue(&gate, 128, 1000);
        for batch in 0..50 {
            let answers = queue.submit_all(vec![(1, 1); 100]).await;
            assert_eq!(answers.len(), 100);
            assert!(answers.into_iter().all(|answer| answer.unwrap() == (batch, 100)));
        }
        assert!(queue.submit_all(Vec::new()).await.is_empty());
    }

    #[tokio::test]
    async fn a_tenant_that_fills_the_queue_keeps_no_other_from_the_next_batch() {
        let mut requests = vec![(1, 0); 10_000];
        requests.extend([(2, 0), (3, 0)]);
        let batches = batches(128, 100, &requests).await;
        assert_eq!(batches[10_000..], [(1, 66), (1, 66)], "64 of one, and the others");
        let own: Vec<usize> = batches[..10_000].iter().map(|(batch, _)| *batch).collect();
        assert!(own.is_sorted(), "a tenant's own order stays");
        assert_eq!(own[9999], 1 + (10_000 - 64_usize).div_ceil(128), "alone, it has whole batches");
    }

    #[tokio::test]
    async fn a_batch_has_at_most_half_of_its_bytes_from_one_tenant_while_others_wait() {
        let requests = [(1, 30), (1, 30), (1, 30), (2, 10), (2, 10), (3, 70)];
        let batches: Vec<usize> =
            batches(9, 100, &requests).await.into_iter().map(|(batch, _)| batch).collect();
        // What did not fit goes first in the next one, whatever its size.
        assert_eq!(batches, [1, 2, 3, 1, 1, 2]);
    }

    #[tokio::test]
    async fn who_leaves_takes_what_waits_in_the_connection_along() {
        let gate = Gate::closed();
        let queue = queue(&gate, 9, 100);
        let mut under_way = pin!(queue.submit((0, 0)));
        assert!(futures::poll!(&mut under_way).is_pending());
        gate.reached.acquire().await.unwrap().forget();
        {
            let mut waiting = pin!(join_all((0..5000).map(|_| queue.submit((1, 0)))));
            assert!(futures::poll!(&mut waiting).is_pending());
            let mut newcomer = pin!(queue.submit((2, 0)));
            assert!(futures::poll!(&mut newcomer).is_pending());
            assert_eq!(queue.backlog().requests, 5001);
        }
        assert_eq!(queue.backlog().requests, 2048 + 1, "half of the room, and the newcomer");
    }

    #[tokio::test]
    async fn a_panic_fails_its_batch_alone() {
        let gate = Gate::closed();
        gate.open();
        let queue = queue(&gate, 1, 1000);
        let failed = queue.submit((1, 666)).await;
        assert!(matches!(failed, Err(BatchError::Unavailable { unknown: true })));
        assert_eq!(queue.submit((1, 1)).await.unwrap(), (0, 1));
    }

    #[tokio::test]
    async fn workers_end_with_their_queue() {
        let gate = Gate::closed();
        gate.open();
        let make = {
            let gate = gate.clone();
            move || Counting { gate: gate.clone(), batches: 0 }
        };
        let queue = Queue::start("test", 3, Bounds { rows: 1, bytes: 1 }, make);
        queue.submit((1, 1)).await.unwrap();
        drop(queue);
        let ended = async {
            while Arc::strong_count(&gate) > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("they end");
    }
}
