//! Group commit of writes: concurrent writes share one transaction.

mod answers;
mod parts;

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use self::answers::Answers;
use self::parts::{Form, Part, Parts, TRIES, Trouble};
use super::BatchError;
use super::queue::{BatchHandler, Bounds, Pending, longest_wait};
use crate::domain::memory::change::{Action, Change, Outcome};
use crate::domain::memory::usage::WriteLimits;
use crate::domain::{DEFAULT_TENANT, TenantId};
use crate::runtime::byte_budget::Reservation;
use crate::runtime::metrics::Metrics;
use crate::store::StoreError;
use crate::store::connection::address::Link;
use crate::store::entries::fast_put::{self, Put};
use crate::store::entries::get::Entry;
use crate::store::entries::locked_write::LockedWriteError;
use crate::store::entries::{commit_lookup, locked_write};

/// Bounds of one batch of writes.
pub const BOUNDS: Bounds = Bounds { rows: 128, bytes: 4 << 20 };
/// The same while several tenants wait: searchable text of this size takes PostgreSQL about 20 ms.
const SHARED: Bounds = Bounds { bytes: 128 << 10, ..BOUNDS };

/// Longest time for one batch; then the connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long an unacknowledged COMMIT is looked up before its writes are answered as unknown.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);
const LOOKUP_PAUSE: Duration = Duration::from_millis(200);

/// Changes that a client sends at once, in order, all of one tenant.
#[derive(Debug)]
pub struct Submission {
    /// The changes.
    pub changes: Vec<Change>,
    /// Whether all or none of them are made.
    pub atomic: bool,
    /// Their bytes of the budget, until they are committed: also where the client has gone meanwhile.
    pub reserved: Reservation,
}

/// The outcome of a change, with the entry that a read has found.
#[derive(Debug, Clone)]
pub struct Done {
    /// The outcome.
    pub outcome: Outcome,
    /// The entry of [`Outcome::Read`].
    pub entry: Option<Entry>,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, entry: None }
    }
}

type Write = Pending<Submission, Vec<ChangeResult>>;
/// The answer to a change.
pub type ChangeResult = Result<Done, BatchError>;

/// Writes on a connection of its own.
#[derive(Debug)]
pub struct Writer {
    link: Link,
    limits: WriteLimits,
    metrics: Metrics,
}

impl Writer {
    /// Creates a writer that connects on first use.
    pub fn new(link: Link, limits: WriteLimits, metrics: Metrics) -> Self {
        Self { link, limits, metrics }
    }

    /// Writes `groups` of changes in order and answers each. A batch that fails on data or a lock is split until only the
    /// offending group fails.
    async fn write_all(&mut self, groups: &[&[&Change]], answers: &mut Answers) {
        let of_group = |group: &&[&Change]| group.first().map_or(DEFAULT_TENANT, |c| c.key.tenant);
        let mut parts = Parts::whole(groups.iter().map(of_group).collect());
        while let Some(part) = parts.next() {
            let chosen: Vec<&[&Change]> = part.indices.iter().map(|&i| groups[i]).collect();
            let fail = |part: &Part, error: &BatchError, answers: &mut Answers| {
                for &index in &part.indices {
                    answers.done(index, vec![Err(error.clone()); groups[index].len()]);
                }
            };
            if parts.is_hopeless(&part) {
                let requests = part.indices.len();
                tracing::error!(requests, "not written: locks keep the tenant from writing");
                fail(&part, &BatchError::Busy, answers);
                continue;
            }
            let failure = match self.write(&chosen, part.form).await {
                Ok(done) => {
                    parts.written(&part);
                    let mut again = Vec::new();
                    for (&index, done) in part.indices.iter().zip(done) {
                        match done {
                            Some(done) => answers.done(index, done.into_iter().map(Ok).collect()),
                            None => again.push(index),
                        }
                    }
                    // A tenant whose share did not fit as a whole is granted what is left, in order.
                    if !again.is_empty() {
                        parts.first(part.again_locked(again));
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            if part.lost || matches!(failure, Failure::Lost(_)) {
                let changes = chosen.concat();
                let requests = changes.len();
                tracing::warn!(requests, "connection lost during a write: {}", failure.error());
                let committed = self.find_committed(&changes).await;
                // Puts that are not there are written once more. Should the first try be committed yet, their version ids
                // keep the second one from being so.
                let are_puts = || changes.iter().all(|change| as_fast_put(change).is_some());
                if !part.lost && committed.as_ref().is_some_and(HashMap::is_empty) && are_puts() {
                    parts.first(Part { lost: true, ..part });
                    continue;
                }
                let committed = committed.unwrap_or_default();
                for &index in &part.indices {
                    answers.done(index, after_loss(groups[index], &committed));
                }
                continue;
            }
            let error = failure.error();
            let trouble = match &failure {
                Failure::Statement(StoreError::Contended(_)) => Some(Trouble::Locked),
                Failure::Statement(StoreError::Refused(_)) => Some(Trouble::Refused),
                _ => None,
            };
            let may_reconnect = matches!(failure, Failure::Statement(_))
                && error.is_connection_broken()
                && !self.link.is_connected();
            let failed = match trouble {
                Some(trouble) => parts.split(part, trouble),
                None if may_reconnect && part.tries < TRIES => {
                    parts.first(Part { tries: part.tries + 1, ..part });
                    None
                }
                None => Some(part),
            };
            if let Some(part) = failed {
                tracing::error!(requests = part.indices.len(), "write failed: {error}");
                fail(&part, &BatchError::from(error), answers);
            }
        }
    }

    /// The outcomes of each group; `None` for a group that must be written again in the locked form.
    async fn write(
        &mut self,
        groups: &[&[&Change]],
        form: Form,
    ) -> Result<Vec<Option<Vec<Done>>>, Failure> {
        self.link.connection().await.map_err(Failure::NotSent)?;
        let written = tokio::time::timeout(TIMEOUT, self.send(groups, form)).await;
        let failure = match written {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Lost(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
        };
        self.link.note(failure.error());
        Err(failure)
    }

    async fn send(
        &mut self,
        groups: &[&[&Change]],
        form: Form,
    ) -> Result<Vec<Option<Vec<Done>>>, Failure> {
        let connection = self.link.connection().await.map_err(Failure::NotSent)?;
        let puts: Option<Vec<Put<'_>>> = groups
            .iter()
            .flat_map(|group| group.iter())
            .map(|change| as_fast_put(change))
            .collect();
        // A group is of one tenant, and a tenant's share of the statement is written whole or not at all.
        let done: Vec<Option<Done>> = if let (Form::Fast, Some(puts)) = (form, puts) {
            let moments = fast_put::put(connection, &puts, &self.limits).await;
            let moments = moments.map_err(Failure::of_commit)?;
            let written = |(put, at): (&Put<'_>, Option<Timestamp>)| {
                let version_id = put.change.version_id;
                at.map(|created_at| Outcome::Written { version_id, created_at }.into())
            };
            puts.iter().zip(moments).map(written).collect()
        } else {
            let locked_write::GroupOutcomes { outcomes, read } =
                locked_write::write(connection, groups, &self.limits).await?;
            let done = |outcome| match outcome {
                Outcome::Read(Some(id)) => Done { outcome, entry: read.get(&id).cloned() },
                outcome => outcome.into(),
            };
            outcomes.into_iter().map(|outcome| Some(done(outcome))).collect()
        };
        let mut done = done.into_iter();
        let of_group = |group: &&[&Change]| {
            let own: Vec<Option<Done>> = done.by_ref().take(group.len()).collect();
            own.into_iter().collect()
        };
        Ok(groups.iter().map(of_group).collect())
    }

    /// Which of `changes`, whose COMMIT was not acknowledged, are in the database; `None` if that cannot be learned.
    async fn find_committed(&mut self, changes: &[&Change]) -> Option<HashMap<Uuid, Timestamp>> {
        let deadline = tokio::time::Instant::now() + LOOKUP_PATIENCE;
        loop {
            match self.look_up(changes).await {
                Ok(committed) => return Some(committed),
                Err(_) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOOKUP_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(
                        requests = changes.len(),
                        "what became of writes is unknown: {error}"
                    );
                    return None;
                }
            }
        }
    }

    async fn look_up(
        &mut self,
        changes: &[&Change],
    ) -> Result<HashMap<Uuid, Timestamp>, StoreError> {
        let connection = self.link.connection().await?;
        let found = commit_lookup::committed(connection, changes).await;
        found.inspect_err(|error| self.link.note(error))
    }
}

/// The answer to a group whose connection was lost: success if all its versions are there, else unknown.
fn after_loss(group: &[&Change], committed: &HashMap<Uuid, Timestamp>) -> Vec<ChangeResult> {
    let written = |change: &&Change| {
        let version_id = change.version_id;
        let created_at = *committed.get(&version_id)?;
        Some(Outcome::Written { version_id, created_at }.into())
    };
    match group.iter().map(written).collect::<Option<Vec<Done>>>() {
        Some(done) => done.into_iter().map(Ok).collect(),
        None => vec![Err(BatchError::Unavailable { unknown: true }); group.len()],
    }
}

enum Failure {
    /// There was no connection: nothing was written.
    NotSent(StoreError),
    /// The connection was lost after what commits was sent.
    Lost(StoreError),
    /// The statement failed: nothing was written.
    Statement(StoreError),
}

impl From<LockedWriteError> for Failure {
    fn from(error: LockedWriteError) -> Self {
        match error {
            LockedWriteError::BeforeCommit(error) => Self::Statement(error),
            LockedWriteError::AtCommit(error) => Self::of_commit(error),
        }
    }
}

impl Failure {
    /// The failure of what commits. A connection that was lost leaves open what became of it.
    fn of_commit(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable(_) => Self::Lost(error),
            _ => Self::Statement(error),
        }
    }

    fn error(&self) -> &StoreError {
        match self {
            Self::NotSent(error) | Self::Lost(error) | Self::Statement(error) => error,
        }
    }
}

/// A plain put: without precondition or idempotency key.
fn as_fast_put(change: &Change) -> Option<Put<'_>> {
    match (&change.action, change.expected, &change.idempotency) {
        (Action::Put(new), None, None) => Some(Put { change, new }),
        _ => None,
    }
}

impl BatchHandler for Writer {
    type Request = Submission;
    type Answer = Vec<ChangeResult>;

    const SHARED: Bounds = SHARED;
    /// A second one would only wait for the first one's lock of the tenant's quota row, with whatever else is in its batch.
    const ONE_WORKER_PER_TENANT: bool = true;

    fn tenant(submission: &Submission) -> TenantId {
        submission.changes.first().map_or(DEFAULT_TENANT, |change| change.key.tenant)
    }

    fn bytes(submission: &Submission) -> usize {
        submission.changes.iter().map(|change| change.action.bytes()).sum()
    }

    fn rows(submission: &Submission) -> usize {
        submission.changes.len()
    }

    async fn process(&mut self, mut batch: Vec<Write>) {
        let rows = batch.iter().map(|write| Self::rows(&write.request)).sum();
        self.metrics.batch("writes", rows, longest_wait(&batch));
        let changes: Vec<(Vec<Change>, bool)> = batch
            .iter_mut()
            .map(|write| (mem::take(&mut write.request.changes), write.request.atomic))
            .collect();
        let changes: Vec<(Vec<&Change>, usize)> = changes
            .iter()
            .map(|(changes, atomic)| {
                let together = if *atomic { changes.len().max(1) } else { 1 };
                (changes.iter().collect(), together)
            })
            .collect();
        let groups: Vec<&[&Change]> =
            changes.iter().flat_map(|(changes, together)| changes.chunks(*together)).collect();
        let numbers = changes.iter().map(|(changes, together)| changes.len().div_ceil(*together));
        let mut answers = Answers::new(batch.into_iter().zip(numbers));
        self.write_all(&groups, &mut answers).await;
    }
}
