//! Plans what becomes of entries, and writes their versions, which no head names yet: tombstones, and copies of what is moved.

use std::collections::{BTreeMap, HashMap};

use jiff_sqlx::ToSqlx as _;
use sqlx::Row as _;
use uuid::Uuid;

use super::plan::{Ahead, Copied, Planned, Seen, new_paths};
use super::{SubtreeOutcome, Work, statements};
use crate::domain::EntryKey;
use crate::domain::access::api_key::KeyId;
use crate::domain::memory::subtree::{Destination, MAX_BYTES};
use crate::store::StoreError;

/// Bytes on the disk of values that one statement copies: how much more than allowed may be copied before it is known.
const CHUNK: i64 = 1 << 20;

impl Work<'_> {
    /// Plans what becomes of `entries`, and writes their versions.
    pub(super) async fn prepare(
        &mut self,
        entries: BTreeMap<String, Seen>,
        ahead: Ahead,
    ) -> Result<Result<BTreeMap<String, Planned>, SubtreeOutcome>, StoreError> {
        if entries.is_empty() {
            return Ok(Ok(BTreeMap::new()));
        }
        let planned = if let Some(destination) = self.change.to {
            self.copy_all(destination, entries, ahead).await?
        } else {
            let plan = |(path, seen)| (path, Planned::new(seen, None, ahead));
            Ok(entries.into_iter().map(plan).collect())
        };
        if let Ok(planned) = &planned {
            self.write_tombstones(planned).await?;
        }
        Ok(planned.map(BTreeMap::from_iter))
    }

    /// Plans a move of `entries` to `destination`, and copies them.
    async fn copy_all(
        &mut self,
        destination: &Destination,
        entries: BTreeMap<String, Seen>,
        ahead: Ahead,
    ) -> Result<Result<Vec<(String, Planned)>, SubtreeOutcome>, StoreError> {
        let paths = match new_paths(destination, &entries) {
            Ok(paths) => paths,
            Err(error) => return Ok(Err(SubtreeOutcome::InvalidPath(error))),
        };
        let there = self.latest_at(&paths).await?;
        let mut planned: Vec<(String, Planned)> = Vec::with_capacity(entries.len());
        for ((from, seen), path) in entries.into_iter().zip(paths) {
            let latest = there.get(&path).copied();
            let copy = Copied::new(path, latest, ahead);
            planned.push((from, Planned::new(seen, Some(copy), ahead)));
        }
        let sizes = self.sizes(&planned).await?;
        let (mut begin, mut on_disk, mut bytes) = (0, 0, self.bytes());
        let all: i64 = bytes + sizes.iter().sum::<i64>();
        if all > MAX_BYTES {
            return Ok(Err(SubtreeOutcome::TooManyBytes(all)));
        }
        for end in 1..=planned.len() {
            on_disk += sizes[end - 1];
            if end < planned.len() && on_disk < CHUNK {
                continue;
            }
            bytes += self.copy(&mut planned[begin..end]).await?;
            self.make_searchable(&planned[begin..end]).await?;
            if bytes > MAX_BYTES {
                return Ok(Err(SubtreeOutcome::TooManyBytes(bytes)));
            }
            (begin, on_disk) = (end, 0);
        }
        Ok(Ok(planned))
    }

    async fn write_tombstones(&mut self, planned: &[(String, Planned)]) -> Result<(), StoreError> {
        let EntryKey { tenant, agent, .. } = self.change.root;
        let tombstones = || planned.iter().map(|(_, p)| p.tombstone);
        sqlx::query(statements::TOMBSTONES)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(self.change.author.map(KeyId::as_str))
            .bind(planned.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>())
            .bind(tombstones().map(|version| version.id).collect::<Vec<_>>())
            .bind(tombstones().map(|version| version.number).collect::<Vec<_>>())
            .bind(tombstones().map(|version| version.at.to_sqlx()).collect::<Vec<_>>())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Bytes of the values that are copied already.
    fn bytes(&self) -> i64 {
        let copies = self.planned.values().filter_map(|planned| planned.copy.as_ref());
        copies.map(|copy| copy.bytes.0).sum()
    }

    /// What the values take on the disk; those that have expired meanwhile take nothing.
    async fn sizes(&mut self, planned: &[(String, Planned)]) -> Result<Vec<i64>, StoreError> {
        let rows = sqlx::query(statements::SIZES)
            .bind(self.change.root.tenant.0)
            .bind(planned.iter().map(|(_, p)| p.seen.version_id).collect::<Vec<_>>())
            .fetch_all(&mut *self.connection)
            .await?;
        let mut sizes = vec![0; planned.len()];
        for row in rows {
            let ordinal: i64 = row.try_get(0)?;
            let slot = usize::try_from(ordinal - 1).ok().and_then(|index| sizes.get_mut(index));
            if let Some(size) = slot {
                *size = row.try_get(1)?;
            }
        }
        Ok(sizes)
    }

    /// Copies values to their new paths, and returns how many bytes they have.
    async fn copy(&mut self, planned: &mut [(String, Planned)]) -> Result<i64, StoreError> {
        let EntryKey { tenant, agent, .. } = self.change.root;
        let copies = || planned.iter().filter_map(|(_, p)| Some((p.seen, p.copy.as_ref()?)));
        let rows = sqlx::query(statements::COPY)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(self.change.author.map(KeyId::as_str))
            .bind(copies().map(|(seen, _)| seen.version_id).collect::<Vec<_>>())
            .bind(copies().map(|(_, copy)| copy.version.id).collect::<Vec<_>>())
            .bind(copies().map(|(_, copy)| copy.path.as_str()).collect::<Vec<_>>())
            .bind(copies().map(|(_, copy)| copy.version.number).collect::<Vec<_>>())
            .bind(copies().map(|(_, copy)| copy.version.at.to_sqlx()).collect::<Vec<_>>())
            .fetch_all(&mut *self.connection)
            .await?;
        let mut bytes: HashMap<Uuid, (i64, i64)> = HashMap::with_capacity(rows.len());
        for row in rows {
            bytes.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        for copy in planned.iter_mut().filter_map(|(_, planned)| planned.copy.as_mut()) {
            copy.bytes = bytes.get(&copy.version.id).copied().unwrap_or_default();
        }
        Ok(bytes.values().map(|(value, _)| value).sum())
    }

    /// Makes what search has of copies: their documents, and jobs for their embeddings.
    async fn make_searchable(&mut self, planned: &[(String, Planned)]) -> Result<(), StoreError> {
        let EntryKey { tenant, agent, .. } = self.change.root;
        let copies = || planned.iter().filter_map(|(_, p)| p.copy.as_ref());
        sqlx::query(statements::JOBS)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(copies().map(|copy| copy.path.as_str()).collect::<Vec<_>>())
            .bind(copies().map(|copy| copy.version.id).collect::<Vec<_>>())
            .execute(&mut *self.connection)
            .await?;
        let to_replace: i64 = sqlx::query_scalar(statements::ADD_DOCUMENTS)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(planned.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>())
            .bind(planned.iter().map(|(_, p)| p.seen.version_id).collect::<Vec<_>>())
            .bind(copies().map(|copy| copy.path.as_str()).collect::<Vec<_>>())
            .bind(copies().map(|copy| copy.version.id).collect::<Vec<_>>())
            .fetch_one(&mut *self.connection)
            .await?;
        self.to_replace += to_replace;
        Ok(())
    }

    /// Has the documents of copies take the place of what is at their paths.
    pub(super) async fn replace_documents(&mut self) -> Result<(), StoreError> {
        let EntryKey { tenant, agent, .. } = self.change.root;
        let copies =
            || self.planned.iter().filter_map(|(path, p)| Some((path, p.seen, p.copy.as_ref()?)));
        sqlx::query(statements::REPLACE_DOCUMENTS)
            .bind(tenant.0)
            .bind(agent.as_str())
            .bind(copies().map(|(path, ..)| path.as_str()).collect::<Vec<_>>())
            .bind(copies().map(|(_, seen, _)| seen.version_id).collect::<Vec<_>>())
            .bind(copies().map(|(.., copy)| copy.path.as_str()).collect::<Vec<_>>())
            .bind(copies().map(|(.., copy)| copy.version.id).collect::<Vec<_>>())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}
