//! The queue behind group commit: its workers take everything that waits, up to a bound, and never wait for
//! more. Its bounded capacity is the backpressure on clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::progress::Progress;
use super::{Backlog, BatchError};

/// Most waiting requests. Further ones wait in their connections (backpressure).
const CAPACITY: usize = 4096;

/// The bounds of one batch.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most rows.
    pub rows: usize,
    /// Most bytes. A single request that exceeds a bound is a batch of its own.
    pub bytes: usize,
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
    /// How long it has waited.
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Sends the answer; a client that has disconnected is ignored.
    pub fn answer(self, answer: Result<A, BatchError>) {
        self.reply.send(answer).ok();
    }

    /// Whether the client has disconnected.
    pub fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// Handles batches of requests.
pub trait BatchHandler: Send + 'static {
    /// A request.
    type Request: Send + 'static;
    /// An answer.
    type Answer: Send + 'static;

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
    sender: mpsc::Sender<Pending<H::Request, H::Answer>>,
    progress: Arc<Progress>,
}

impl<H: BatchHandler> Clone for Queue<H> {
    fn clone(&self) -> Self {
        Self { name: self.name, sender: self.sender.clone(), progress: self.progress.clone() }
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
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let progress = Arc::new(Progress::new());
        let intake = Intake::<H> { receiver, carried: None, progress: progress.clone() };
        let intake = Arc::new(Mutex::new(intake));
        for _ in 0..workers {
            tokio::spawn(supervise(name, intake.clone(), bounds, make.clone()));
        }
        Self { name, sender, progress }
    }

    /// The name that metrics and logs call it by.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The requests that wait for a worker.
    pub fn backlog(&self) -> Backlog {
        self.progress.backlog(self.sender.max_capacity() - self.sender.capacity())
    }

    /// Queues a request and waits for its answer.
    pub async fn submit(&self, request: H::Request) -> Result<H::Answer, BatchError> {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { request, since: Instant::now(), reply };
        self.sender.send(pending).await.map_err(|_| BatchError::Failed)?;
        // The sender is dropped only where a worker panicked in the middle of this batch.
        answer.await.unwrap_or(Err(BatchError::Unavailable { unknown: true }))
    }
}

async fn supervise<H: BatchHandler>(
    name: &'static str,
    intake: Arc<Mutex<Intake<H>>>,
    bounds: Bounds,
    make: impl Fn() -> H,
) {
    loop {
        match tokio::spawn(work(intake.clone(), bounds, make())).await {
            Err(end) if end.is_panic() => {
                tracing::error!(queue = name, "a worker panicked; it is replaced");
            }
            Ok(()) | Err(_) => return,
        }
    }
}

async fn work<H: BatchHandler>(intake: Arc<Mutex<Intake<H>>>, bounds: Bounds, mut handler: H) {
    loop {
        let batch = intake.lock().await.next(bounds).await;
        match batch {
            Some(batch) => handler.process(batch).await,
            None => return,
        }
    }
}

struct Intake<H: BatchHandler> {
    receiver: mpsc::Receiver<Pending<H::Request, H::Answer>>,
    /// Taken from the queue, but too large for the batch it was taken for.
    carried: Option<Pending<H::Request, H::Answer>>,
    progress: Arc<Progress>,
}

impl<H: BatchHandler> Intake<H> {
    /// Waits for one request, then takes what else is there. `None` when the queue is closed and empty.
    async fn next(&mut self, bounds: Bounds) -> Option<Vec<Pending<H::Request, H::Answer>>> {
        let first = if let Some(carried) = self.carried.take() {
            carried
        } else {
            self.progress.idle();
            self.receiver.recv().await?
        };
        let (mut rows, mut bytes) = (H::rows(&first.request), H::bytes(&first.request));
        let mut batch = vec![first];
        while rows < bounds.rows
            && let Ok(next) = self.receiver.try_recv()
        {
            rows = rows.saturating_add(H::rows(&next.request));
            bytes = bytes.saturating_add(H::bytes(&next.request));
            if rows > bounds.rows || bytes > bounds.bytes {
                self.carried = Some(next);
                break;
            }
            batch.push(next);
        }
        if let Some(last) = batch.last() {
            self.progress.taken(last.since, self.carried.is_some());
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    use futures::future::join_all;
    use tokio::sync::Semaphore;

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

    /// Answers with the size of the batch; a request of 666 makes it panic.
    struct Counting(Arc<Gate>);

    impl BatchHandler for Counting {
        type Request = usize;
        type Answer = usize;

        fn bytes(request: &usize) -> usize {
            *request
        }

        async fn process(&mut self, batch: Vec<Pending<usize, usize>>) {
            assert!(batch.iter().all(|w| w.request != 666), "asked to panic");
            self.0.reached.add_permits(1);
            self.0.open.acquire().await.unwrap().forget();
            let size = batch.len();
            for pending in batch {
                pending.answer(Ok(size));
            }
        }
    }

    fn queue(gate: &Arc<Gate>, rows: usize, bytes: usize) -> Queue<Counting> {
        let gate = gate.clone();
        Queue::start("test", 1, Bounds { rows, bytes }, move || Counting(gate.clone()))
    }

    /// The size of the batch that each request was in, where all of them waited for the one before.
    async fn sizes(rows: usize, bytes: usize, requests: &[usize]) -> Vec<usize> {
        let gate = Gate::closed();
        let queue = queue(&gate, rows, bytes);
        let first = tokio::spawn({
            let queue = queue.clone();
            async move { queue.submit(0).await }
        });
        gate.reached.acquire().await.unwrap().forget();
        let mut answers = pin!(join_all(requests.iter().map(|&request| queue.submit(request))));
        // Asked once, each of them is in the queue.
        assert!(futures::poll!(&mut answers).is_pending());
        gate.open();
        let answers = answers.await;
        assert_eq!(first.await.unwrap().unwrap(), 1, "a lone request waits for nobody");
        answers.into_iter().map(Result::unwrap).collect()
    }

    #[tokio::test]
    async fn what_waits_together_is_taken_together_up_to_the_bounds() {
        assert_eq!(sizes(3, 100, &[0; 5]).await, [3, 3, 3, 2, 2]);
        assert_eq!(sizes(9, 100, &[60, 60, 500, 1]).await, [1, 1, 1, 1]);
        assert_eq!(sizes(9, 100, &[50, 50, 1]).await, [2, 2, 1]);
    }

    #[tokio::test]
    async fn a_panic_fails_its_batch_alone() {
        let gate = Gate::closed();
        gate.open();
        let queue = queue(&gate, 1, 1000);
        assert!(matches!(queue.submit(666).await, Err(BatchError::Unavailable { unknown: true })));
        assert_eq!(queue.submit(1).await.unwrap(), 1);
    }
}
