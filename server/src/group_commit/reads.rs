//! Answers concurrent gets with one statement.

use std::time::Duration;

use futures::StreamExt as _;

use super::BatchError;
use super::queue::{BatchHandler, Bounds, Pending, longest_wait};
use crate::domain::{EntryKey, TenantId};
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::connection::address::Link;
use crate::store::entries::get::{Entry, get};

/// Bounds of one batch of gets. Values are passed on as they are read, so their bytes need no bound.
pub const BOUNDS: Bounds = Bounds { rows: 128, bytes: usize::MAX };

/// Longest time for one statement; then the connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(20);

type Get = Pending<EntryKey, Option<Entry>>;

/// Reads heads on a connection of its own.
#[derive(Debug)]
pub struct Reader {
    queue: &'static str,
    link: Link,
    metrics: Metrics,
}

impl Reader {
    /// Creates a reader of the queue with the name `queue`, that connects on first use.
    pub fn new(queue: &'static str, link: Link, metrics: Metrics) -> Self {
        Self { queue, link, metrics }
    }

    /// Answers what it can of `pending`; returns the unanswered rest with the error.
    async fn read(&mut self, pending: Vec<Get>) -> Result<(), (Vec<Get>, StoreError)> {
        let mut pending: Vec<Option<Get>> = pending.into_iter().map(Some).collect();
        let read = tokio::time::timeout(TIMEOUT, self.answer(&mut pending)).await;
        let error = match read {
            Ok(Ok(())) => {
                pending.into_iter().flatten().for_each(|get| get.answer(Ok(None)));
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into(),
        };
        self.link.note(&error);
        Err((pending.into_iter().flatten().collect(), error))
    }

    async fn answer(&mut self, pending: &mut [Option<Get>]) -> Result<(), StoreError> {
        let connection = self.link.connection().await?;
        let keys: Vec<&EntryKey> = pending.iter().flatten().map(|get| &get.request).collect();
        let mut rows = get(connection, &keys);
        while let Some(row) = rows.next().await {
            let (index, entry) = row?;
            if let Some(get) = pending.get_mut(index).and_then(Option::take) {
                get.answer(Ok(Some(entry)));
            }
        }
        Ok(())
    }
}

impl BatchHandler for Reader {
    type Request = EntryKey;
    type Answer = Option<Entry>;

    fn tenant(key: &EntryKey) -> TenantId {
        key.tenant
    }

    fn bytes(_: &EntryKey) -> usize {
        0
    }

    async fn process(&mut self, mut batch: Vec<Get>) {
        batch.retain(|get| !get.abandoned());
        if batch.is_empty() {
            return;
        }
        self.metrics.batch(self.queue, batch.len(), longest_wait(&batch));
        let Err((rest, error)) = self.read(batch).await else { return };
        // The connection may have been closed while idle, or one request may spoil the statement: each has one more try.
        let groups: Vec<Vec<Get>> = if error.is_connection_broken() {
            vec![rest]
        } else {
            rest.into_iter().map(|get| vec![get]).collect()
        };
        for group in groups {
            if let Err((rest, error)) = self.read(group).await {
                tracing::error!(requests = rest.len(), "read failed: {error}");
                for get in rest {
                    get.answer(Err(BatchError::from(&error)));
                }
            }
        }
    }
}
