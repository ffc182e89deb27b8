//! Answers concurrent gets with one statement.

use std::time::Duration;

use futures::StreamExt as _;

use super::BatchError;
use super::queue::{BatchHandler, Bounds, Pending, longest_wait};
use crate::domain::{EntryKey, TenantId};
use crate::runtime::byte_budget::{ByteBudget, Reservation};
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::connection::address::Link;
use crate::store::connection::pool::LOCKED_TRIES;
use crate::store::entries::get::{Entry, get};

/// Bounds of one batch of gets. Values are passed on as they are read, each with its bytes of the budget, so that a batch needs no
/// bound of bytes.
pub const BOUNDS: Bounds = Bounds { rows: 128, bytes: usize::MAX };

/// Longest time for one statement; then the connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A get of a live entry.
#[derive(Debug)]
pub struct Get {
    /// The entry's key.
    pub key: EntryKey,
    /// Bytes of the budget for its value; none where its size is not known yet.
    pub reserved: Reservation,
}

/// An entry, with its value's bytes of the budget.
#[derive(Debug)]
pub struct Found {
    /// The entry.
    pub entry: Entry,
    /// Its value's bytes.
    pub reserved: Reservation,
}

/// There is no room for a value that was found. Nobody waits for it here, where other gets would wait as well.
#[derive(Debug, Clone)]
pub struct NoRoom {
    /// The entry's key.
    pub key: EntryKey,
    /// The size of its value in bytes.
    pub bytes: usize,
}

type Answer = Result<Option<Found>, NoRoom>;
type PendingGet = Pending<Get, Answer>;

/// Reads heads on a connection of its own.
#[derive(Debug)]
pub struct Reader {
    queue: &'static str,
    link: Link,
    budget: ByteBudget,
    metrics: Metrics,
}

impl Reader {
    /// Creates a reader of the queue with the name `queue`, that connects on first use.
    pub fn new(queue: &'static str, link: Link, budget: ByteBudget, metrics: Metrics) -> Self {
        Self { queue, link, budget, metrics }
    }

    /// Answers what it can of `pending`; returns the unanswered rest with the error.
    async fn read(
        &mut self,
        pending: Vec<PendingGet>,
    ) -> Result<(), (Vec<PendingGet>, StoreError)> {
        let mut pending: Vec<Option<PendingGet>> = pending.into_iter().map(Some).collect();
        let read = tokio::time::timeout(TIMEOUT, self.answer(&mut pending)).await;
        let error = match read {
            Ok(Ok(())) => {
                pending.into_iter().flatten().for_each(|get| get.answer(Ok(Ok(None))));
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into(),
        };
        self.link.note(&error);
        Err((pending.into_iter().flatten().collect(), error))
    }

    async fn answer(&mut self, pending: &mut [Option<PendingGet>]) -> Result<(), StoreError> {
        let connection = self.link.connection().await?;
        let keys: Vec<&EntryKey> = pending.iter().flatten().map(|get| &get.request.key).collect();
        let mut rows = get(connection, &keys);
        while let Some(row) = rows.next().await {
            let (index, entry) = row?;
            if let Some(mut get) = pending.get_mut(index).and_then(Option::take) {
                let found = within(&self.budget, &mut get.request, entry);
                get.answer(Ok(found));
            }
        }
        Ok(())
    }
}

/// The entry, with what was reserved for it or is free now.
fn within(budget: &ByteBudget, get: &mut Get, entry: Entry) -> Answer {
    let bytes = entry.value.len();
    let mut reserved = std::mem::take(&mut get.reserved);
    reserved.shrink(bytes);
    if reserved.bytes() < bytes {
        drop(reserved);
        let now = budget.try_reserve(Some(get.key.tenant), bytes);
        reserved = now.ok_or_else(|| NoRoom { key: get.key.clone(), bytes })?;
    }
    Ok(Some(Found { entry, reserved }))
}

/// Answers with the error that they have failed with for good.
fn fail(gets: Vec<PendingGet>, error: &StoreError) {
    tracing::error!(requests = gets.len(), "read failed: {error}");
    for get in gets {
        get.answer(Err(BatchError::from(error)));
    }
}

impl BatchHandler for Reader {
    type Request = Get;
    type Answer = Answer;

    /// For the gets of batches.
    const ONE_MORE_FOR_FULL_BATCHES: bool = true;

    fn tenant(get: &Get) -> TenantId {
        get.key.tenant
    }

    fn bytes(_: &Get) -> usize {
        0
    }

    async fn process(&mut self, mut batch: Vec<PendingGet>) {
        batch.retain(|get| !get.abandoned());
        if batch.is_empty() {
            return;
        }
        self.metrics.batch(self.queue, batch.len(), longest_wait(&batch));
        let Err((mut rest, mut error)) = self.read(batch).await else { return };
        // It is one of the tables that is locked, so all wait for it together.
        for _ in 1..LOCKED_TRIES {
            if !matches!(error, StoreError::Contended(_)) {
                break;
            }
            match self.read(rest).await {
                Ok(()) => return,
                Err(again) => (rest, error) = again,
            }
        }
        // The connection may have been closed while idle, or one request may spoil the statement: each has one more try.
        let groups: Vec<Vec<PendingGet>> = match &error {
            StoreError::Contended(_) => return fail(rest, &error),
            error if error.is_connection_broken() => vec![rest],
            _ => rest.into_iter().map(|get| vec![get]).collect(),
        };
        for group in groups {
            if let Err((rest, error)) = self.read(group).await {
                fail(rest, &error);
            }
        }
    }
}
