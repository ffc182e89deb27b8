//! Moves or deletes a subtree, in a transaction of its own.
//!
//! What takes long comes first and keeps nobody waiting: values are copied to their new paths, and tombstones are written at the old
//! ones, as versions that no head names yet. Then the tenant's writers are locked out, as by every write, and the heads are moved on,
//! those first that are as they were seen; for the others, versions are written anew. That takes a fraction of a second for the largest
//! subtree.

mod copies;
mod plan;
mod statements;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use self::plan::{Ahead, Copied, Latest, Planned, Seen, usage};
use super::live_entries::{COUNT, of_subtree};
use super::locked_write::{self, Moment};
use crate::domain::EntryKey;
use crate::domain::access::api_key::KeyId;
use crate::domain::memory::apply_changes::{Answered, Applied, LockedState};
use crate::domain::memory::change::{Action, Change};
use crate::domain::memory::idempotency::Idempotency;
use crate::domain::memory::path::InvalidPath;
use crate::domain::memory::subtree::{Destination, MAX_ENTRIES};
use crate::domain::memory::usage::{IDEMPOTENCY_ROW, WriteLimits, WriteQuota};
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::time::{from_sql, to_sql};

/// Most entries that are planned anew while the tenant's writers wait.
const MAX_LATE: usize = 1000;
/// How far a subtree that is too large is counted.
const COUNTED: i64 = 100_000;

/// A move, or a delete where there is no destination.
#[derive(Debug, Clone, Copy)]
pub struct SubtreeChange<'a> {
    /// The path of the subtree.
    pub root: &'a EntryKey,
    /// Where it is moved to.
    pub to: Option<&'a Destination>,
    /// The idempotency key of the request, if it has one.
    pub idempotency: Option<&'a Idempotency>,
    /// The key that asks for it.
    pub author: Option<&'a KeyId>,
    /// The quotas of the tenant.
    pub limits: &'a WriteLimits,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// How many entries.
    pub entries: i64,
    /// The version of the first of them in path order, at its new path or its tombstone, and the moment.
    pub first: Option<(Uuid, Timestamp)>,
}

/// The outcome. Whatever is not done has changed nothing.
#[derive(Debug)]
pub enum SubtreeOutcome {
    /// It is done and committed, now or when the same request came first.
    Done(Changed),
    /// It was done, and COMMIT was not acknowledged: whether the first version is there tells whether it is committed.
    Unacknowledged(Changed),
    /// A live entry is where the subtree is to be moved to.
    Occupied(String),
    /// A new path would be none.
    InvalidPath(InvalidPath),
    /// It has this many entries, or more where it is as far as they are counted.
    TooManyEntries {
        /// The entries.
        entries: i64,
        /// Whether there may be more.
        or_more: bool,
    },
    /// Its values have more bytes than this.
    TooManyBytes(i64),
    /// It is written too fast to be moved.
    Overtaken,
    /// The idempotency key belongs to another request.
    KeyReused,
    /// The tenant has used up a quota.
    QuotaExceeded(WriteQuota),
}

/// Makes the change.
pub async fn change(pool: &Pool, change: SubtreeChange<'_>) -> Result<SubtreeOutcome, StoreError> {
    pool.noting(async {
        let mut transaction = pool.begin_with(statements::BEGIN).await?;
        let work =
            Work { connection: &mut transaction, change, planned: BTreeMap::new(), to_replace: 0 };
        match work.run().await? {
            Run::Commit(changed) => match transaction.commit().await.map_err(StoreError::from) {
                Ok(()) => Ok(SubtreeOutcome::Done(changed)),
                Err(StoreError::Unreachable(error)) => {
                    tracing::warn!("connection lost at the commit of a move or delete: {error}");
                    Ok(SubtreeOutcome::Unacknowledged(changed))
                }
                Err(error) => Err(error),
            },
            Run::End(outcome) => {
                transaction.rollback().await?;
                Ok(outcome)
            }
        }
    })
    .await
}

/// How a transaction ends.
enum Run {
    Commit(Changed),
    End(SubtreeOutcome),
}

struct Work<'a> {
    connection: &'a mut PgConnection,
    change: SubtreeChange<'a>,
    planned: BTreeMap<String, Planned>,
    /// How many search documents of copies take the place of others.
    to_replace: i64,
}

impl Work<'_> {
    async fn run(mut self) -> Result<Run, StoreError> {
        if let Some(answered) = self.answered().await? {
            return Ok(Run::End(answered));
        }
        let now = self.now().await?;
        let seen = self.scan(statements::SCAN).await?;
        if let Some(refusal) = self.count(&seen).await? {
            return Ok(Run::End(refusal));
        }
        let ahead = Ahead::at(now);
        // Whether it is so once all others are locked out remains to be seen.
        if self.occupied().await?.is_none() {
            match self.prepare(seen, ahead).await? {
                Ok(planned) => self.planned = planned,
                Err(refusal) => return Ok(Run::End(refusal)),
            }
        }

        let SubtreeChange { root, idempotency, limits, .. } = self.change;
        let marker = Change {
            idempotency: idempotency.cloned(),
            ..Change::new(root.clone(), Action::Delete)
        };
        let (locked, moment) =
            locked_write::lock(&mut *self.connection, &[&marker], limits).await?;
        if !locked.answered.is_empty()
            && let Some(answered) = self.answered().await?
        {
            return Ok(Run::End(answered));
        }
        if let Err(refusal) = self.take_away(ahead).await? {
            return Ok(Run::End(refusal));
        }
        if self.planned.is_empty() && (idempotency.is_none() || self.change.to.is_some()) {
            return Ok(Run::End(SubtreeOutcome::Done(Changed { entries: 0, first: None })));
        }
        self.complete(&marker, &locked, moment).await
    }

    /// The first answer to the same request.
    async fn answered(&mut self) -> Result<Option<SubtreeOutcome>, StoreError> {
        let Some(request) = self.change.idempotency else { return Ok(None) };
        let row = sqlx::query(statements::ANSWERED)
            .bind(self.change.root.tenant.0)
            .bind(request.key.as_str())
            .fetch_optional(&mut *self.connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        if row.try_get::<&[u8], _>("request_hash")? != request.request_hash {
            return Ok(Some(SubtreeOutcome::KeyReused));
        }
        let id: Option<Uuid> = row.try_get("version_id")?;
        let first = id.zip(from_sql(row.try_get("written_at")?));
        Ok(Some(SubtreeOutcome::Done(Changed { entries: row.try_get("entries")?, first })))
    }

    async fn now(&mut self) -> Result<Timestamp, StoreError> {
        let now: jiff_sqlx::Timestamp =
            sqlx::query_scalar("SELECT now()").fetch_one(&mut *self.connection).await?;
        Ok(now.to_jiff())
    }

    /// The live entries of the subtree.
    async fn scan(
        &mut self,
        statement: &'static str,
    ) -> Result<BTreeMap<String, Seen>, StoreError> {
        let root = self.change.root;
        let rows = of_subtree(statement, root.tenant, &root.agent, root.path.as_str())
            .bind(MAX_ENTRIES as i64 + 1)
            .fetch_all(&mut *self.connection)
            .await?;
        rows.iter().map(seen).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
    }

    /// The refusal of a subtree that has too many entries: those that were `seen`, and those that are taken away already.
    async fn count(
        &mut self,
        seen: &BTreeMap<String, Seen>,
    ) -> Result<Option<SubtreeOutcome>, StoreError> {
        if self.planned.len() + seen.len() <= MAX_ENTRIES {
            return Ok(None);
        }
        let root = self.change.root;
        let row = of_subtree(COUNT, root.tenant, &root.agent, root.path.as_str())
            .bind(COUNTED)
            .fetch_one(&mut *self.connection)
            .await?;
        let left: i64 = row.try_get(0)?;
        let entries = self.planned.len() as i64 + left;
        Ok(Some(SubtreeOutcome::TooManyEntries { entries, or_more: left >= COUNTED }))
    }

    /// The first live entry where the subtree is to be moved to, unless it may stay there or be replaced.
    async fn occupied(&mut self) -> Result<Option<String>, StoreError> {
        let Some(to) = self.change.to.filter(|to| !to.overwrite()) else { return Ok(None) };
        let EntryKey { tenant, agent, .. } = self.change.root;
        let first = of_subtree(statements::FIRST, *tenant, agent, to.to().as_str())
            .fetch_optional(&mut *self.connection)
            .await?;
        Ok(first.map(|row| row.try_get(0)).transpose()?)
    }

    /// What is at `paths`.
    async fn latest_at(&mut self, paths: &[String]) -> Result<HashMap<String, Latest>, StoreError> {
        if paths.is_empty() {
            return Ok(HashMap::new());
        }
        let EntryKey { tenant, agent, .. } = self.change.root;
        let rows = sqlx::query(statements::HEADS_AT)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(paths)
            .fetch_all(&mut *self.connection)
            .await?;
        let latest = |row: &PgRow| {
            let updated_at = row.try_get::<jiff_sqlx::Timestamp, _>(2)?.to_jiff();
            Ok((row.try_get(0)?, Latest { version: row.try_get(1)?, updated_at }))
        };
        rows.iter().map(latest).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
    }

    /// Takes the entries away from their old paths; plans anew, and then takes away, what others have changed since it was seen.
    async fn take_away(&mut self, ahead: Ahead) -> Result<Result<(), SubtreeOutcome>, StoreError> {
        let mut planned = std::mem::take(&mut self.planned);
        let copies = planned.values().filter_map(|planned| planned.copy.as_ref());
        let there =
            self.latest_at(&copies.map(|copy| copy.path.clone()).collect::<Vec<_>>()).await?;
        let displaced = planned.extract_if(.., |_, planned| !planned.fits(&there));
        let mut stale: Vec<Uuid> = displaced.flat_map(|(_, planned)| planned.into_ids()).collect();
        let taken = self.take(&planned, ahead).await?;
        let overtaken = planned.extract_if(.., |path, _| !taken.contains(path));
        stale.extend(overtaken.flat_map(|(_, planned)| planned.into_ids()));
        self.planned = planned;

        let late = self.scan(statements::HOLD).await?;
        if let Some(refusal) = self.count(&late).await? {
            return Ok(Err(refusal));
        }
        if !(self.planned.is_empty() && late.is_empty())
            && let Some(path) = self.occupied().await?
        {
            return Ok(Err(SubtreeOutcome::Occupied(path)));
        }
        if late.len() > MAX_LATE {
            return Ok(Err(SubtreeOutcome::Overtaken));
        }
        if !stale.is_empty() {
            sqlx::query(statements::FORGET)
                .bind(self.change.root.tenant.0)
                .bind(stale)
                .execute(&mut *self.connection)
                .await?;
        }
        let late = match self.prepare(late, ahead).await? {
            Ok(late) => late,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.take(&late, ahead).await?.len() < late.len() {
            return Ok(Err(SubtreeOutcome::Overtaken));
        }
        self.planned.extend(late);
        Ok(Ok(()))
    }

    /// Has the heads of entries come to their tombstones; returns the paths of those that are still as they were seen.
    async fn take(
        &mut self,
        planned: &BTreeMap<String, Planned>,
        ahead: Ahead,
    ) -> Result<HashSet<String>, StoreError> {
        if planned.is_empty() {
            return Ok(HashSet::new());
        }
        let EntryKey { tenant, agent, .. } = self.change.root;
        let tombstones = || planned.values().map(|planned| planned.tombstone);
        let taken: Vec<String> = sqlx::query_scalar(statements::TAKE)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(planned.keys().map(String::as_str).collect::<Vec<_>>())
            .bind(tombstones().map(|version| version.id).collect::<Vec<_>>())
            .bind(tombstones().map(|version| version.number).collect::<Vec<_>>())
            .bind(tombstones().map(|version| version.at.to_sqlx()).collect::<Vec<_>>())
            .bind(planned.values().map(|p| to_sql(p.seen.expires_at)).collect::<Vec<_>>())
            .bind(ahead.by)
            .fetch_all(&mut *self.connection)
            .await?;
        Ok(taken.into_iter().collect())
    }

    /// Has the heads at the new paths come to the copies. False where something newer is there.
    async fn give(&mut self) -> Result<bool, StoreError> {
        let moved = self.planned.values().filter_map(|p| Some((p.copy.as_ref()?, p.seen)));
        let copies: Vec<(&Copied, Seen)> = moved.collect();
        if copies.is_empty() {
            return Ok(true);
        }
        let EntryKey { tenant, agent, .. } = self.change.root;
        let given = sqlx::query(statements::GIVE)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(copies.iter().map(|(copy, _)| copy.path.as_str()).collect::<Vec<_>>())
            .bind(copies.iter().map(|(copy, _)| copy.version.id).collect::<Vec<_>>())
            .bind(copies.iter().map(|(copy, _)| copy.version.number).collect::<Vec<_>>())
            .bind(copies.iter().map(|(copy, _)| copy.version.at.to_sqlx()).collect::<Vec<_>>())
            .bind(copies.iter().map(|(_, seen)| to_sql(seen.expires_at)).collect::<Vec<_>>())
            .execute(&mut *self.connection)
            .await?;
        Ok(given.rows_affected() == copies.len() as u64)
    }

    /// Gives what was taken away to the new paths, and counts what was written.
    async fn complete(
        mut self,
        marker: &Change,
        locked: &LockedState,
        moment: Moment,
    ) -> Result<Run, StoreError> {
        let SubtreeChange { root, idempotency, limits, .. } = self.change;
        let mut costs = usage(root.agent.as_str(), &self.planned);
        if let Some(Idempotency { key, .. }) = idempotency {
            costs.idempotency_keys = 1;
            if !locked.outdated.contains(&(root.tenant, key.clone())) {
                costs.stored_bytes += IDEMPOTENCY_ROW;
            }
        }
        let used = locked.used.get(&root.tenant).copied().unwrap_or_default();
        if let Some(quota) = limits.exceeded(used, costs) {
            return Ok(Run::End(SubtreeOutcome::QuotaExceeded(quota)));
        }
        if self.to_replace > 0 {
            self.replace_documents().await?;
        }
        if !self.give().await? {
            return Ok(Run::End(SubtreeOutcome::Overtaken));
        }
        let first = self.planned.first_key_value().map(|(_, planned)| planned.version());
        let first = first.map(|version| (version.id, version.at));
        let changed = Changed { entries: self.planned.len() as i64, first };
        let answered = idempotency
            .map(|request| Answered { request_hash: request.request_hash, version: first });
        let applied = Applied {
            answers: answered.map(|answered| (0, answered)).into_iter().collect(),
            usage: HashMap::from([(root.tenant, costs)]),
            ..Applied::default()
        };
        locked_write::store(&mut *self.connection, &[marker], &applied, moment.day).await?;
        if let Some(request) = idempotency {
            sqlx::query(statements::COUNT_ANSWERED)
                .bind(root.tenant.0)
                .bind(request.key.as_str())
                .bind(changed.entries)
                .execute(&mut *self.connection)
                .await?;
        }
        Ok(Run::Commit(changed))
    }
}

fn seen(row: &PgRow) -> Result<(String, Seen), sqlx::Error> {
    let seen = Seen {
        version_id: row.try_get(1)?,
        latest: Latest {
            version: row.try_get(2)?,
            updated_at: row.try_get::<jiff_sqlx::Timestamp, _>(3)?.to_jiff(),
        },
        expires_at: from_sql(row.try_get(4)?),
    };
    Ok((row.try_get(0)?, seen))
}
