//! Applies a batch of changes, in order, to the heads and quotas that the batch has locked. Decides
//! optimistic concurrency, idempotency and quotas.

#[cfg(test)]
mod model;

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::change::{Action, Change, Expected, Outcome};
use super::idempotency::{Idempotency, IdempotencyKey, RequestHash};
use super::sha256::Sha256Sum;
use super::usage::{IDEMPOTENCY_ROW, Usage, WriteLimits};
use crate::domain::{EntryKey, TenantId};

/// The state of an entry: its latest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The latest version's id.
    pub version_id: Uuid,
    /// The latest version's number, from 1.
    pub version: i64,
    /// When the latest version was written.
    pub updated_at: Timestamp,
    /// When its value stops being served.
    pub expires_at: Option<Timestamp>,
    /// Whether the latest version is a tombstone.
    pub deleted: bool,
}

impl Head {
    fn live(&self, now: Timestamp) -> bool {
        !self.deleted && self.expires_at.is_none_or(|at| at > now)
    }
}

/// A version to be written: the change that makes it, and the head right after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewVersion {
    /// Index of the change in the batch.
    pub change: usize,
    /// The entry's state after the change.
    pub head: Head,
}

/// The first answer to a request with an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The request's hash.
    pub request_hash: RequestHash,
    /// The version it wrote and its moment; `None` if a delete found nothing.
    pub version: Option<(Uuid, Timestamp)>,
}

/// The state that a batch has locked, as it was before the batch.
#[derive(Debug, Default)]
pub struct LockedState {
    /// Heads of the batch's entries; one that is absent was never written.
    pub heads: HashMap<EntryKey, Head>,
    /// The SHA-256 of live values, by their version, of entries whose changes expect one.
    pub sums: HashMap<Uuid, Sha256Sum>,
    /// What each tenant has used.
    pub used: HashMap<TenantId, Usage>,
    /// Answers that the batch's idempotency keys already have.
    pub answered: HashMap<(TenantId, IdempotencyKey), Answered>,
    /// Keys whose answers are too old to be given, and whose rows are there yet: a new answer takes no more storage.
    pub outdated: HashSet<(TenantId, IdempotencyKey)>,
}

/// The result of applying a batch.
#[derive(Debug, Default)]
pub struct Applied {
    /// One outcome a change, in the batch's order. They hold once the versions are committed.
    pub outcomes: Vec<Outcome>,
    /// The versions to write, in the batch's order; the last of an entry is its new head.
    pub versions: Vec<NewVersion>,
    /// The changes whose answers must be stored, with these answers.
    pub answers: Vec<(usize, Answered)>,
    /// The growth of each tenant's usage.
    pub usage: HashMap<TenantId, Usage>,
}

/// Applies `groups` of changes in order to `locked`, at the moment `now`. A group is applied all or none.
pub fn apply_changes(
    groups: &[&[&Change]],
    locked: &LockedState,
    limits: &WriteLimits,
    now: Timestamp,
) -> Applied {
    let mut application = Application { locked, limits, now, delta: Delta::default() };
    let mut applied = Applied::default();
    let mut first = 0;
    for group in groups {
        // What a group has done is forgotten when one of its changes is refused.
        let before = (group.len() > 1).then(|| application.delta.clone());
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(group.len());
        for (change, index) in group.iter().zip(first..) {
            outcomes.push(application.apply(index, change));
        }
        if let Some(before) = before.filter(|_| outcomes.iter().any(Outcome::is_refusal)) {
            application.delta = before;
            outcomes.iter_mut().filter(|o| !o.is_refusal()).for_each(|o| *o = Outcome::Undone);
        }
        applied.outcomes.append(&mut outcomes);
        first += group.len();
    }
    let Delta { versions, answers, usage, .. } = application.delta;
    Applied { versions, answers, usage, ..applied }
}

struct Application<'a> {
    locked: &'a LockedState,
    limits: &'a WriteLimits,
    now: Timestamp,
    delta: Delta<'a>,
}

/// What the changes so far have added to the locked state.
#[derive(Clone, Default)]
struct Delta<'a> {
    heads: HashMap<&'a EntryKey, Head>,
    values: HashMap<Uuid, &'a Action>,
    answered: HashMap<(TenantId, &'a IdempotencyKey), Answered>,
    versions: Vec<NewVersion>,
    answers: Vec<(usize, Answered)>,
    usage: HashMap<TenantId, Usage>,
}

impl<'a> Application<'a> {
    fn apply(&mut self, index: usize, change: &'a Change) -> Outcome {
        if let Some(repeated) = self.repeated(change) {
            return repeated;
        }
        let head = self.delta.heads.get(&change.key).or_else(|| self.locked.heads.get(&change.key));
        let head = head.copied();
        let live = head.filter(|h| h.live(self.now)).map(|h| h.version_id);
        match change.expected {
            Some(Expected::Absent) if live.is_some() => return Outcome::Conflict { current: live },
            Some(Expected::Version(id)) if live != Some(id) => {
                return Outcome::Conflict { current: live };
            }
            Some(Expected::Sha256(sum)) if live.and_then(|id| self.sum(id)) != Some(sum) => {
                return Outcome::Conflict { current: live };
            }
            _ => {}
        }
        let makes_version = match &change.action {
            Action::Read => return Outcome::Read(live),
            Action::Delete => live.is_some(),
            Action::Put(_) => true,
        };
        let tenant = change.key.tenant;
        let costs = self.costs(change, makes_version);
        let mut used = self.locked.used.get(&tenant).copied().unwrap_or_default();
        let delta = self.delta.usage.entry(tenant).or_default();
        used += *delta;
        if let Some(quota) = self.limits.exceeded(used, costs) {
            return Outcome::QuotaExceeded(quota);
        }
        *delta += costs;
        let written = makes_version.then(|| {
            let next = successor(head, change, self.now);
            self.delta.heads.insert(&change.key, next);
            self.delta.values.insert(change.version_id, &change.action);
            self.delta.versions.push(NewVersion { change: index, head: next });
            (change.version_id, next.updated_at)
        });
        if let Some(Idempotency { key, request_hash }) = &change.idempotency {
            let answered = Answered { request_hash: *request_hash, version: written };
            self.delta.answered.insert((tenant, key), answered);
            self.delta.answers.push((index, answered));
        }
        written_or_nothing(written)
    }

    /// The outcome of a change whose idempotency key came before.
    fn repeated(&self, change: &Change) -> Option<Outcome> {
        let Idempotency { key, request_hash } = change.idempotency.as_ref()?;
        let tenant = change.key.tenant;
        let first = self.delta.answered.get(&(tenant, key));
        let first = first.or_else(|| self.locked.answered.get(&(tenant, key.clone())))?;
        Some(if first.request_hash == *request_hash {
            written_or_nothing(first.version)
        } else {
            Outcome::KeyReused
        })
    }

    /// The SHA-256 of the value of a live version, of this batch or of before.
    fn sum(&self, version: Uuid) -> Option<Sha256Sum> {
        match self.delta.values.get(&version) {
            Some(Action::Put(new)) => Some(Sha256Sum::of(new.value.as_str())),
            Some(Action::Delete | Action::Read) => None,
            None => self.locked.sums.get(&version).copied(),
        }
    }

    /// What a change uses that may or may not make a version. The answer of an idempotency key is kept in either case.
    fn costs(&self, change: &Change, makes_version: bool) -> Usage {
        let mut costs = Usage::default();
        if makes_version {
            costs.writes = 1;
            costs.bytes = change.action.bytes() as i64;
            costs.stored_bytes = change.stored_bytes();
        }
        if let Some(Idempotency { key, .. }) = &change.idempotency {
            costs.idempotency_keys = 1;
            if !self.locked.outdated.contains(&(change.key.tenant, key.clone())) {
                costs.stored_bytes += IDEMPOTENCY_ROW;
            }
        }
        costs
    }
}

/// The outcome of a put or delete that was done, by the version that it made.
fn written_or_nothing(version: Option<(Uuid, Timestamp)>) -> Outcome {
    match version {
        Some((version_id, created_at)) => Outcome::Written { version_id, created_at },
        None => Outcome::NothingToDelete,
    }
}

fn successor(head: Option<Head>, change: &Change, now: Timestamp) -> Head {
    // Clocks of replicas and a clock set back must not make a later version look older.
    let updated_at = match head {
        Some(h) => {
            now.max(h.updated_at.saturating_add(SignedDuration::from_micros(1)).unwrap_or(now))
        }
        None => now,
    };
    let ttl = match &change.action {
        Action::Put(new) => new.ttl_seconds,
        Action::Delete | Action::Read => None,
    };
    Head {
        version_id: change.version_id,
        version: head.map_or(0, |h| h.version) + 1,
        updated_at,
        expires_at: ttl
            .and_then(|ttl| updated_at.checked_add(SignedDuration::from_secs(ttl.into())).ok()),
        deleted: matches!(change.action, Action::Delete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DEFAULT_TENANT;
    use crate::domain::memory::agent_id::AgentId;
    use crate::domain::memory::change::NewValue;
    use crate::domain::memory::path::EntryPath;
    use crate::domain::memory::tags::Tags;
    use crate::domain::memory::usage::{VERSION_ROW, WriteQuota};
    use crate::domain::memory::value::JsonText;
    use serde_json::value::RawValue;

    fn change(path: &str, action: Action) -> Change {
        let key = EntryKey {
            tenant: DEFAULT_TENANT,
            agent: AgentId::parse("a").unwrap(),
            path: EntryPath::parse(path).unwrap(),
        };
        Change::new(key, action)
    }

    fn put(path: &str) -> Change {
        let raw = RawValue::from_string("1".into()).unwrap();
        change(
            path,
            Action::Put(NewValue {
                value: JsonText::normalise(&raw).unwrap(),
                tags: Tags::default(),
                importance: 0.0,
                words: None,
                ttl_seconds: None,
            }),
        )
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Limits of the writes alone.
    fn writes(limit: i64) -> WriteLimits {
        WriteLimits { writes: Some(limit), ..WriteLimits::default() }
    }

    fn run(changes: &[Change], used: Usage, limits: &WriteLimits) -> Applied {
        let locked =
            LockedState { used: HashMap::from([(DEFAULT_TENANT, used)]), ..LockedState::default() };
        let changes: Vec<&Change> = changes.iter().collect();
        apply_changes(&changes.chunks(1).collect::<Vec<_>>(), &locked, limits, at(100))
    }

    fn keyed(change: Change, key: &str) -> Change {
        let idempotency = Idempotency::of(&change, IdempotencyKey::parse(key).unwrap());
        Change { idempotency: Some(idempotency), ..change }
    }

    fn written(outcome: Outcome) -> Uuid {
        match outcome {
            Outcome::Written { version_id, .. } => version_id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn put_delete_delete_put_is_a_sequence() {
        let batch =
            [put("/x"), change("/x", Action::Delete), change("/x", Action::Delete), put("/x")];
        let applied = run(&batch, Usage::default(), &WriteLimits::default());
        let versions: Vec<_> =
            applied.versions.iter().map(|v| (v.change, v.head.version, v.head.deleted)).collect();
        assert_eq!(versions, [(0, 1, false), (1, 2, true), (3, 3, false)]);
        assert_eq!(applied.outcomes[2], Outcome::NothingToDelete);
        let times: Vec<_> = applied.versions.iter().map(|v| v.head.updated_at).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }

    #[test]
    fn a_delete_of_nothing_costs_no_quota_and_the_rest_is_granted_in_order() {
        let batch = [change("/y", Action::Delete), put("/a"), put("/b"), put("/c")];
        let used = Usage { writes: 7, ..Usage::default() };
        let applied = run(&batch, used, &writes(9));
        assert!(matches!(applied.outcomes[1], Outcome::Written { .. }));
        assert!(matches!(applied.outcomes[2], Outcome::Written { .. }));
        assert_eq!(applied.outcomes[3], Outcome::QuotaExceeded(WriteQuota::Writes));
        let stored_bytes = 2 * (VERSION_ROW + "a".len() as i64 + "/a".len() as i64 + 1);
        let usage = Usage { writes: 2, bytes: 2, idempotency_keys: 0, stored_bytes };
        assert_eq!(applied.usage[&DEFAULT_TENANT], usage);
    }

    #[test]
    fn a_keyed_delete_of_nothing_costs_what_its_row_takes_and_no_write() {
        let delete = |key| keyed(change("/nothing", Action::Delete), key);
        let batch = ["a", "b", "a", "c"].map(delete);
        let used = Usage { writes: 9, idempotency_keys: 5, ..Usage::default() };
        let limits = WriteLimits { idempotency_keys: Some(7), ..writes(9) };
        let applied = run(&batch, used, &limits);
        assert_eq!(applied.outcomes[..3], [Outcome::NothingToDelete; 3]);
        assert_eq!(applied.outcomes[3], Outcome::QuotaExceeded(WriteQuota::IdempotencyKeys));
        let stored_bytes = 2 * IDEMPOTENCY_ROW;
        let usage = Usage { writes: 0, bytes: 0, idempotency_keys: 2, stored_bytes };
        assert_eq!(applied.usage[&DEFAULT_TENANT], usage);

        let stored = WriteLimits { stored_bytes: Some(stored_bytes), ..WriteLimits::default() };
        let applied = run(&batch, Usage::default(), &stored);
        assert_eq!(applied.outcomes[3], Outcome::QuotaExceeded(WriteQuota::StoredBytes));
        assert_eq!(applied.answers.len(), 2);
    }

    #[test]
    fn a_key_of_more_than_a_day_ago_takes_no_more_storage() {
        let (again, new) = (keyed(put("/x"), "again"), keyed(put("/x"), "new"));
        let key = again.idempotency.as_ref().unwrap().key.clone();
        let outdated = HashSet::from([(DEFAULT_TENANT, key)]);
        let locked = LockedState { outdated, ..LockedState::default() };
        let groups: [&[&Change]; 2] = [&[&again], &[&new]];
        let applied = apply_changes(&groups, &locked, &WriteLimits::default(), at(100));
        let usage = applied.usage[&DEFAULT_TENANT];
        assert_eq!(usage.idempotency_keys, 2);
        assert_eq!(usage.stored_bytes, again.stored_bytes() * 2 + IDEMPOTENCY_ROW);
    }

    #[test]
    fn an_expired_value_cannot_be_deleted_and_time_never_goes_back() {
        let delete = change("/x", Action::Delete);
        let again = put("/x");
        let head = Head {
            version_id: Uuid::now_v7(),
            version: 4,
            updated_at: at(500),
            expires_at: Some(at(99)),
            deleted: false,
        };
        let heads = HashMap::from([(again.key.clone(), head)]);
        let locked = LockedState { heads, ..LockedState::default() };
        let applied =
            apply_changes(&[&[&delete], &[&again]], &locked, &WriteLimits::default(), at(100));
        assert_eq!(applied.outcomes[0], Outcome::NothingToDelete);
        assert_eq!(applied.versions[0].head.version, 5);
        assert!(applied.versions[0].head.updated_at > at(500));
    }

    #[test]
    fn a_repetition_answers_the_first_answer_and_costs_nothing() {
        let first = keyed(put("/x"), "k");
        let again = keyed(put("/x"), "k");
        let other = keyed(put("/y"), "k");
        let nothing = keyed(change("/z", Action::Delete), "d");
        let batch = [first, again, other, nothing.clone(), put("/z"), nothing];
        let applied = run(&batch, Usage::default(), &writes(2));
        assert_eq!(written(applied.outcomes[1]), batch[0].version_id);
        assert_eq!(applied.outcomes[2], Outcome::KeyReused);
        assert_eq!(applied.outcomes[5], Outcome::NothingToDelete, "as the first time");
        assert_eq!(applied.answers.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(applied.usage[&DEFAULT_TENANT].writes, 2);
    }

    #[test]
    fn expectations_are_held_against_the_live_version() {
        let first = put("/x");
        let expecting = |path, expected| Change { expected: Some(expected), ..put(path) };
        let id = first.version_id;
        let second = expecting("/x", Expected::Version(id));
        let batch = [
            expecting("/x", Expected::Version(id)),
            first,
            expecting("/x", Expected::Absent),
            second,
            expecting("/x", Expected::Version(id)),
            change("/x", Action::Delete),
            expecting("/x", Expected::Absent),
        ];
        let applied = run(&batch, Usage::default(), &WriteLimits::default());
        assert_eq!(applied.outcomes[0], Outcome::Conflict { current: None });
        assert_eq!(applied.outcomes[2], Outcome::Conflict { current: Some(id) });
        assert_eq!(written(applied.outcomes[3]), batch[3].version_id);
        assert_eq!(applied.outcomes[4], Outcome::Conflict { current: Some(batch[3].version_id) });
        written(applied.outcomes[6]);
    }

    #[test]
    fn a_value_is_expected_by_its_sum() {
        let (stored, first) = (put("/x"), put("/y"));
        let expecting = |path, text| Change {
            expected: Some(Expected::Sha256(Sha256Sum::of(text))),
            ..put(path)
        };
        let head = Head {
            version_id: stored.version_id,
            version: 1,
            updated_at: at(1),
            expires_at: None,
            deleted: false,
        };
        let locked = LockedState {
            heads: HashMap::from([(stored.key.clone(), head)]),
            sums: HashMap::from([(stored.version_id, Sha256Sum::of("7"))]),
            ..LockedState::default()
        };
        let batch =
            [expecting("/x", "8"), expecting("/x", "7"), expecting("/x", "7"), first.clone()];
        let more = [expecting("/x", "1"), expecting("/y", "1"), expecting("/z", "1")];
        let batch: Vec<&Change> = batch.iter().chain(&more).collect();
        let groups: Vec<&[&Change]> = batch.chunks(1).collect();
        let outcomes = apply_changes(&groups, &locked, &WriteLimits::default(), at(100)).outcomes;
        assert_eq!(outcomes[0], Outcome::Conflict { current: Some(stored.version_id) });
        assert_eq!(written(outcomes[1]), batch[1].version_id);
        assert_eq!(outcomes[2], Outcome::Conflict { current: Some(batch[1].version_id) });
        assert_eq!(written(outcomes[4]), batch[4].version_id, "of a value of the same batch");
        assert_eq!(written(outcomes[5]), batch[5].version_id);
        assert_eq!(outcomes[6], Outcome::Conflict { current: None });
    }

    #[test]
    fn a_group_is_made_all_or_none() {
        let (kept, first, second) = (put("/a"), keyed(put("/a"), "k"), put("/b"));
        let conflict = Change { expected: Some(Expected::Absent), ..put("/a") };
        let read = change("/a", Action::Read);
        let groups: [&[&Change]; 3] =
            [&[&kept], &[&first, &second, &conflict], &[&read, &second, &read]];
        let applied = apply_changes(&groups, &LockedState::default(), &writes(3), at(100));
        assert_eq!(applied.outcomes[1..3], [Outcome::Undone; 2]);
        assert_eq!(applied.outcomes[3], Outcome::Conflict { current: Some(first.version_id) });
        assert_eq!(applied.outcomes[4], Outcome::Read(Some(kept.version_id)));
        written(applied.outcomes[5]);
        assert_eq!(applied.versions.iter().map(|v| v.change).collect::<Vec<_>>(), [0, 5]);
        assert!(applied.answers.is_empty());
        assert_eq!(applied.usage[&DEFAULT_TENANT].writes, 2);
    }
}
