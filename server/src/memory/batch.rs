//! Does several gets, puts and deletes: in order and each for itself, or all at one moment or none.

use futures::future::join_all;

use super::delete::DeleteRequest;
use super::get::{GetAnswer, GetRequest};
use super::put::PutRequest;
use super::reserve::MAX_SMALL;
use super::write::{once, refusal};
use super::{MAX_BYTES, Memory, MemoryError, NewVersion};
use crate::domain::access::scope::Scope;
use crate::domain::memory::by::By;
use crate::domain::memory::change::{Action, Change, Outcome};
use crate::domain::memory::idempotency::IdempotencyKey;
use crate::domain::{EntryKey, TenantId};
use crate::group_commit::BatchError;
use crate::group_commit::reads::Get;
use crate::group_commit::writes::{Done, Submission};
use crate::runtime::byte_budget::{Reservation, UNCOUNTED};
use crate::store::connection::pool::Pool;
use crate::store::entries::get::{SnapshotEntry, snapshot};

/// Most operations of a batch.
pub const MAX_OPERATIONS: usize = 100;
/// Gets that are submitted at once where nothing tells how large their values are; these are in memory together.
const FIRST: usize = 8;

/// One validated operation of a batch.
#[derive(Debug)]
pub struct Operation(Change);

/// The answer to an operation: that of its own use case.
#[derive(Debug)]
pub enum Answer {
    /// Of a get.
    Got(GetAnswer),
    /// Of a put.
    Put(NewVersion),
    /// Of a delete.
    Deleted(Option<NewVersion>),
}

impl Answer {
    /// The bytes of its value.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Got(GetAnswer { entry: Some(entry), .. }) => entry.value.len(),
            Self::Got(_) | Self::Put(_) | Self::Deleted(_) => 0,
        }
    }
}

/// The answers of a batch.
#[derive(Debug)]
pub struct BatchAnswer {
    /// Of each operation, in order.
    pub answers: Vec<Answered>,
    /// Their bytes of the budget.
    pub reserved: Reservation,
}

/// The outcome of an operation.
pub type Answered = Result<Answer, MemoryError>;

/// The values that a batch has read so far.
#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    /// The largest of them.
    largest: Option<usize>,
}

impl Seen {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.largest = self.largest.max(Some(bytes));
    }

    /// How many gets are submitted at once: as many as fit into the answer if their values are like those so far.
    fn at_once(&self) -> usize {
        let room = MAX_BYTES.saturating_sub(self.bytes);
        self.largest.map_or(FIRST, |largest| (room / largest.max(UNCOUNTED)).max(FIRST))
    }
}

/// The kind of an operation and its entry, for its answer.
#[derive(Debug, Clone)]
struct Asked {
    op: Op,
    key: EntryKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Get,
    Put,
    Delete,
}

impl Operation {
    /// A get; of the present only.
    pub fn get(tenant: TenantId, request: &GetRequest) -> Result<Self, MemoryError> {
        Ok(Self(Change::new(request.key_of_now(tenant)?, Action::Read)))
    }

    /// A put.
    pub fn put(by: impl Into<By>, request: PutRequest) -> Result<Self, MemoryError> {
        request.change(by.into()).map(Self)
    }

    /// A delete.
    pub fn delete(by: impl Into<By>, request: DeleteRequest) -> Result<Self, MemoryError> {
        request.change(by.into()).map(Self)
    }

    /// Adds the idempotency key.
    #[must_use]
    pub fn once(self, key: Option<IdempotencyKey>) -> Self {
        Self(once(self.0, key))
    }

    /// The scope that it needs.
    pub fn scope(&self) -> Scope {
        match self.0.action {
            Action::Read => Scope::MemoryRead,
            Action::Put(_) | Action::Delete => Scope::MemoryWrite,
        }
    }

    fn asked(&self) -> Asked {
        let op = match self.0.action {
            Action::Read => Op::Get,
            Action::Put(_) => Op::Put,
            Action::Delete => Op::Delete,
        };
        Asked { op, key: self.0.key.clone() }
    }
}

impl Memory {
    /// Does `operations` of `tenant`, and answers each of them in order. `atomic`: all in one transaction, or none. `request` are
    /// the request's bytes of the budget.
    pub async fn batch(
        &self,
        tenant: TenantId,
        operations: Vec<Operation>,
        atomic: bool,
        request: Reservation,
    ) -> Result<BatchAnswer, MemoryError> {
        let asked: Vec<Asked> = operations.iter().map(Operation::asked).collect();
        let gets = asked.iter().filter(|asked| asked.op == Op::Get).count();
        // One by one, what is large takes its bytes when it is read.
        let bytes = if atomic { self.page_bytes(gets) } else { gets * MAX_SMALL };
        let mut reserved = self.reserve(tenant, bytes).await?;
        let changes = operations.into_iter().map(|Operation(change)| change).collect();
        let done = match (atomic, gets == asked.len()) {
            (false, _) => self.one_by_one(&asked, changes, request, &mut reserved).await,
            (true, true) => self.at_one_moment(&asked).await?,
            (true, false) => self.all_or_none(changes, request).await?,
        };
        let answers = asked.into_iter().zip(done);
        let answers = answers.map(|(asked, done)| done.and_then(|done| answer(asked, done)));
        Ok(BatchAnswer { answers: answers.collect(), reserved })
    }

    /// One by one, in order; consecutive gets together, and so consecutive changes. The bytes of large values are added to
    /// `reserved`.
    async fn one_by_one(
        &self,
        asked: &[Asked],
        mut changes: Vec<Change>,
        mut request: Reservation,
        reserved: &mut Reservation,
    ) -> Vec<Result<Done, MemoryError>> {
        let mut done = Vec::with_capacity(asked.len());
        let mut seen = Seen::default();
        for run in asked.chunk_by(|a, b| (a.op == Op::Get) == (b.op == Op::Get)) {
            let own: Vec<Change> = changes.drain(..run.len()).collect();
            if run[0].op == Op::Get {
                let mut left = run;
                while !left.is_empty() {
                    let (now, later) = left.split_at(seen.at_once().min(left.len()));
                    done.extend(self.gets(now, &mut seen, reserved).await);
                    left = later;
                }
            } else {
                let bytes = own.iter().map(|change| change.action.bytes()).sum();
                let reserved = request.split(bytes);
                let submission = Submission { changes: own, atomic: false, reserved };
                let written = self.writes.submit(submission).await;
                let failed = |error: BatchError| vec![Err(error); run.len()];
                let written = written.unwrap_or_else(failed).into_iter();
                done.extend(written.map(|one| one.map_err(Into::into)));
            }
        }
        done
    }

    /// Gets, in one statement unless other requests fill it.
    async fn gets(
        &self,
        asked: &[Asked],
        seen: &mut Seen,
        reserved: &mut Reservation,
    ) -> Vec<Result<Done, MemoryError>> {
        if seen.bytes > MAX_BYTES {
            return asked.iter().map(|_| Err(MemoryError::BatchTooLarge)).collect();
        }
        let get = |asked: &Asked| Get { key: asked.key.clone(), reserved: Reservation::default() };
        let answers = self.reads.submit_all(asked.iter().map(get).collect()).await;
        let found =
            answers.into_iter().map(|answer| async move { self.found(&self.reads, answer?).await });
        let done = join_all(found).await.into_iter().map(|found| {
            let entry = found?.map(|found| {
                reserved.merge(found.reserved);
                found.entry
            });
            seen.add(entry.as_ref().map_or(0, |entry| entry.value.len()));
            Ok(Done { outcome: Outcome::Read(entry.as_ref().map(|e| e.version_id)), entry })
        });
        done.collect()
    }

    /// Only gets: one statement sees one snapshot.
    async fn at_one_moment(
        &self,
        asked: &[Asked],
    ) -> Result<Vec<Result<Done, MemoryError>>, MemoryError> {
        let keys: Vec<&EntryKey> = asked.iter().map(|asked| &asked.key).collect();
        let keys = keys.as_slice();
        let Some(tenant) = keys.first().map(|key| key.tenant) else { return Ok(Vec::new()) };
        let read = |pool: Pool| async move { snapshot(&pool, keys).await };
        let found = self.pool.retrying(tenant, read).await?.into_iter();
        let done = |found: SnapshotEntry| Done {
            outcome: Outcome::Read(found.version_id),
            entry: found.entry,
        };
        Ok(found.map(|found| Ok(done(found))).collect())
    }

    /// Everything in one transaction, or nothing.
    async fn all_or_none(
        &self,
        changes: Vec<Change>,
        reserved: Reservation,
    ) -> Result<Vec<Result<Done, MemoryError>>, MemoryError> {
        let done = self.writes.submit(Submission { changes, atomic: true, reserved }).await?;
        let done = done.into_iter().collect::<Result<Vec<Done>, BatchError>>()?;
        let reason = done
            .iter()
            .enumerate()
            .find(|(_, done)| done.outcome.is_refusal() && done.outcome != Outcome::Undone);
        if let Some((index, Done { outcome, .. })) = reason {
            let error = refusal(*outcome).unwrap_or(MemoryError::Mismatched);
            return Err(MemoryError::Operation { index, error: Box::new(error) });
        }
        Ok(done.into_iter().map(Ok).collect())
    }
}

/// The answer to an operation that was done.
fn answer(Asked { op, key }: Asked, done: Done) -> Answered {
    if let Some(refusal) = refusal(done.outcome) {
        return Err(refusal);
    }
    match (op, done) {
        (Op::Get, Done { outcome: Outcome::Read(Some(_)), entry: None }) => {
            Err(MemoryError::BatchTooLarge)
        }
        (Op::Get, Done { entry, .. }) => {
            let reserved = Reservation::default();
            Ok(Answer::Got(GetAnswer { path: key.path, entry, reserved }))
        }
        (Op::Put, done) => NewVersion::of_put(done.outcome).map(Answer::Put),
        (Op::Delete, done) => NewVersion::of_delete(done.outcome).map(Answer::Deleted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(seen: &[usize]) -> usize {
        let mut all = Seen::default();
        seen.iter().for_each(|bytes| all.add(*bytes));
        all.at_once()
    }

    #[test]
    fn as_many_gets_are_submitted_as_their_values_let_expect_to_fit() {
        assert_eq!(at_once(&[]), FIRST, "values may have a mebibyte each");
        assert!(at_once(&[100; FIRST]) > MAX_OPERATIONS);
        assert!(at_once(&[0; FIRST]) > MAX_OPERATIONS, "nothing was there");
        assert_eq!(at_once(&[100, 100 << 10, 100]), 80);
        assert_eq!(at_once(&[1 << 20; 8]), FIRST, "what is too large is told so by the next");
    }
}
