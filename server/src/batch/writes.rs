//! Writes of one moment, committed together (group commit).

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::BatchError;
use super::queue::{Bounds, Waiting, Worker};
use crate::domain::change::{Action, Change, Outcome};
use crate::metrics::Metrics;
use crate::store::connect::Link;
use crate::store::plain_put::Put;
use crate::store::{StoreError, lookup, ordered_write, plain_put};

/// One batch of writes.
pub const BOUNDS: Bounds = Bounds { rows: 128, bytes: 4 << 20 };

/// Longest time for one batch; a connection that is silent for longer is given up.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a lost COMMIT is asked after before its writes are answered as unknown.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);
const LOOKUP_PAUSE: Duration = Duration::from_millis(200);
/// Tries of a single write that meets a lock.
const TRIES: usize = 3;

type Write = Waiting<Change, Outcome>;
type Written = Result<Outcome, BatchError>;

/// Writes on a connection of its own.
#[derive(Debug)]
pub struct Writer {
    link: Link,
    daily_writes: Option<i64>,
    metrics: Metrics,
}

impl Writer {
    /// A writer that connects when it is first asked. `daily_writes`: versions a tenant may write a day.
    pub fn new(link: Link, daily_writes: Option<i64>, metrics: Metrics) -> Self {
        Self { link, daily_writes, metrics }
    }

    /// Writes `changes` in order and answers for each. A batch that fails on data or a lock is split until only the
    /// guilty write fails.
    async fn write_all(&mut self, changes: &[&Change]) -> Vec<Written> {
        let mut results: Vec<Written> = vec![Err(BatchError::Failed); changes.len()];
        // Depth first, left to right: the order of an entry's writes stays.
        let mut rest = vec![Part::of_all(changes)];
        while let Some(part) = rest.pop() {
            let chosen: Vec<&Change> = part.indices.iter().map(|&i| changes[i]).collect();
            match self.write(&chosen, part.form).await {
                Ok(Done::Outcomes(outcomes)) => {
                    part.answer(&mut results, outcomes.into_iter().map(Ok));
                }
                Ok(Done::Moments(moments)) => {
                    // A tenant whose share did not fit as a whole is granted what is left, in order.
                    let indices = part.indices.iter().zip(&moments).filter(|(_, at)| at.is_none());
                    let indices: Vec<usize> = indices.map(|(&i, _)| i).collect();
                    if !indices.is_empty() {
                        rest.push(Part { indices, form: Form::Ordered, tries: 1 });
                    }
                    let outcomes = moments.into_iter().map(|at| {
                        at.map_or(Err(BatchError::Failed), |created_at| {
                            Ok(Outcome::Written { created_at })
                        })
                    });
                    part.answer(&mut results, outcomes);
                }
                Err(Failure::Lost(error)) => {
                    tracing::error!(
                        requests = chosen.len(),
                        "connection lost during a write: {error}"
                    );
                    part.answer(&mut results, self.ask_after(&chosen).await.into_iter());
                }
                Err(Failure::Statement(StoreError::Contended(_)))
                    if chosen.len() == 1 && part.tries < TRIES =>
                {
                    rest.push(Part { tries: part.tries + 1, ..part });
                }
                Err(Failure::Statement(StoreError::Contended(_) | StoreError::Refused(_)))
                    if chosen.len() > 1 =>
                {
                    rest.extend(part.split());
                }
                Err(Failure::NotSent(error) | Failure::Statement(error)) => {
                    tracing::error!(requests = chosen.len(), "write failed: {error}");
                    part.answer(&mut results, chosen.iter().map(|_| Err(BatchError::from(&error))));
                }
            }
        }
        results
    }

    async fn write(&mut self, changes: &[&Change], form: Form) -> Result<Done, Failure> {
        self.link.connection().await.map_err(Failure::NotSent)?;
        let written = tokio::time::timeout(TIMEOUT, self.send(changes, form)).await;
        let error = match written {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into(),
        };
        if matches!(error, StoreError::Unreachable(_)) {
            self.link.disconnect();
            return Err(Failure::Lost(error));
        }
        Err(Failure::Statement(error))
    }

    async fn send(&mut self, changes: &[&Change], form: Form) -> Result<Done, StoreError> {
        let connection = self.link.connection().await?;
        let puts: Option<Vec<Put<'_>>> = changes.iter().map(|change| as_put(change)).collect();
        match (form, puts) {
            (Form::Cheapest, Some(puts)) => {
                plain_put::put(connection, &puts, self.daily_writes).await.map(Done::Moments)
            }
            _ => ordered_write::write(connection, changes, self.daily_writes)
                .await
                .map(Done::Outcomes),
        }
    }

    /// Answers for writes whose COMMIT may or may not have happened: by looking, never by writing again.
    async fn ask_after(&mut self, changes: &[&Change]) -> Vec<Written> {
        let deadline = tokio::time::Instant::now() + LOOKUP_PATIENCE;
        let committed = loop {
            match self.look_up(changes).await {
                Ok(committed) => break committed,
                Err(_) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOOKUP_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(
                        requests = changes.len(),
                        "what became of writes is unknown: {error}"
                    );
                    break HashMap::new();
                }
            }
        };
        changes
            .iter()
            .map(|change| {
                committed
                    .get(&change.version_id)
                    .map(|&created_at| Outcome::Written { created_at })
                    .ok_or(BatchError::Unavailable { unknown: true })
            })
            .collect()
    }

    async fn look_up(
        &mut self,
        changes: &[&Change],
    ) -> Result<HashMap<Uuid, Timestamp>, StoreError> {
        let connection = self.link.connection().await?;
        let found = lookup::committed(connection, changes).await;
        if matches!(found, Err(StoreError::Unreachable(_))) {
            self.link.disconnect();
        }
        found
    }
}

/// How a part of a batch is written.
#[derive(Clone, Copy)]
enum Form {
    /// In one statement where there are only puts.
    Cheapest,
    /// Lock, fold, write.
    Ordered,
}

/// What a write gave.
enum Done {
    /// Of plain puts: when each was written; none where its tenant's share did not fit.
    Moments(Vec<Option<Timestamp>>),
    /// Of an ordered write.
    Outcomes(Vec<Outcome>),
}

/// A part of a batch that is still to be written: positions in the batch, in order.
struct Part {
    indices: Vec<usize>,
    form: Form,
    tries: usize,
}

impl Part {
    fn of_all(changes: &[&Change]) -> Self {
        Self { indices: (0..changes.len()).collect(), form: Form::Cheapest, tries: 1 }
    }

    /// The right half first: the last of a stack is taken first.
    fn split(mut self) -> [Self; 2] {
        let right = self.indices.split_off(self.indices.len() / 2);
        [Self { indices: right, form: self.form, tries: 1 }, Self { tries: 1, ..self }]
    }

    fn answer(&self, results: &mut [Written], answers: impl Iterator<Item = Written>) {
        for (&index, answer) in self.indices.iter().zip(answers) {
            results[index] = answer;
        }
    }
}

enum Failure {
    /// There was no connection: nothing was written.
    NotSent(StoreError),
    /// The connection was lost after the statement was sent.
    Lost(StoreError),
    /// The statement failed: nothing was written.
    Statement(StoreError),
}

fn as_put(change: &Change) -> Option<Put<'_>> {
    match &change.action {
        Action::Put(new) => Some(Put { change, new }),
        Action::Delete => None,
    }
}

impl Worker for Writer {
    type Request = Change;
    type Answer = Outcome;

    fn bytes(change: &Change) -> usize {
        change.action.bytes()
    }

    async fn process(&mut self, batch: Vec<Write>) {
        self.metrics.batch("writes", batch.len(), batch[0].waited());
        let results = {
            let changes: Vec<&Change> = batch.iter().map(|write| &write.request).collect();
            self.write_all(&changes).await
        };
        batch.into_iter().zip(results).for_each(|(write, result)| write.answer(result));
    }
}
