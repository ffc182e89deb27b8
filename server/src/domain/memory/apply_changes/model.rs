//! Tests `apply_changes` against a model that knows no batches: however a series of changes is cut into batches and groups,
//! each change has the outcome that it has alone, except that a group is applied all or none.

use std::collections::HashMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Head, LockedState, apply_changes};
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::change::{Action, Change, Expected, NewValue, Outcome};
use crate::domain::memory::idempotency::{Idempotency, IdempotencyKey};
use crate::domain::memory::path::EntryPath;
use crate::domain::memory::tags::Tags;
use crate::domain::memory::usage::{IDEMPOTENCY_ROW, Usage, VERSION_ROW, WriteLimits, WriteQuota};
use crate::domain::memory::value::JsonText;
use crate::domain::{DEFAULT_TENANT, EntryKey};

/// Any of them is used up by some of the series.
const LIMITS: WriteLimits = WriteLimits {
    writes: Some(12),
    bytes: Some(30),
    idempotency_keys: Some(3),
    stored_bytes: Some(13 * VERSION_ROW),
};

/// The precondition of a change.
#[derive(Debug, Clone, Copy)]
enum Expects {
    Anything,
    Absent,
    /// The version that the change so many places before would make.
    Back(usize),
}

/// A generated change.
#[derive(Debug, Clone)]
struct Plan {
    path: u8,
    kind: u8,
    expects: Expects,
    key: Option<u8>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let expects = prop_oneof![
        4 => Just(Expects::Anything),
        1 => Just(Expects::Absent),
        2 => (1_usize..4).prop_map(Expects::Back),
    ];
    let key = prop_oneof![3 => Just(None), 1 => (0_u8..5).prop_map(Some)];
    (0_u8..3, 0_u8..6, expects, key).prop_map(|(path, kind, expects, key)| Plan {
        path,
        kind,
        expects,
        key,
    })
}

fn change(plan: &Plan, before: &[Change]) -> Change {
    let key = EntryKey {
        tenant: DEFAULT_TENANT,
        agent: AgentId::parse("a").unwrap(),
        path: EntryPath::parse(&format!("/{}", plan.path)).unwrap(),
    };
    let put = |value: u8| {
        let raw = RawValue::from_string("1".repeat(value.into())).unwrap();
        Action::Put(NewValue {
            value: JsonText::normalise(&raw).unwrap(),
            tags: Tags::default(),
            importance: 0.0,
            words: None,
            ttl_seconds: None,
        })
    };
    let action = match plan.kind {
        0 => Action::Delete,
        1 => Action::Read,
        value => put(value - 1),
    };
    let expected = match plan.expects {
        Expects::Anything => None,
        Expects::Absent => Some(Expected::Absent),
        Expects::Back(back) => {
            let seen = before.iter().rev().nth(back - 1);
            Some(seen.map_or(Expected::Absent, |change| Expected::Version(change.version_id)))
        }
    };
    let change = Change { expected, ..Change::new(key, action) };
    let key = plan.key.filter(|_| plan.kind != 1);
    let key = key.map(|key| IdempotencyKey::parse(&key.to_string()).unwrap());
    let idempotency = key.map(|key| Idempotency::of(&change, key));
    Change { idempotency, ..change }
}

/// The rules again, one change at a time, in the plainest words.
#[derive(Debug, Clone, Default)]
struct Model {
    /// The versions of each path; `None` is a tombstone.
    versions: HashMap<u8, Vec<Option<Uuid>>>,
    answers: HashMap<IdempotencyKey, ([u8; 32], Option<Uuid>)>,
    used: Usage,
}

/// An outcome without its moment.
#[derive(Debug, Clone, PartialEq)]
enum Became {
    Written(Uuid),
    Nothing,
    Read(Option<Uuid>),
    Conflict(Option<Uuid>),
    KeyReused,
    OverQuota(WriteQuota),
    Undone,
}

impl From<Outcome> for Became {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Written { version_id, .. } => Self::Written(version_id),
            Outcome::NothingToDelete => Self::Nothing,
            Outcome::Read(found) => Self::Read(found),
            Outcome::Conflict { current } => Self::Conflict(current),
            Outcome::KeyReused => Self::KeyReused,
            Outcome::QuotaExceeded(quota) => Self::OverQuota(quota),
            Outcome::Undone => Self::Undone,
        }
    }
}

impl Model {
    fn make(&mut self, path: u8, change: &Change) -> Became {
        if let Some(idempotency) = &change.idempotency
            && let Some((hash, answer)) = self.answers.get(&idempotency.key)
        {
            return match answer {
                _ if *hash != idempotency.request_hash => Became::KeyReused,
                Some(id) => Became::Written(*id),
                None => Became::Nothing,
            };
        }
        let live = self.versions.get(&path).and_then(|versions| *versions.last()?);
        let as_expected = match change.expected {
            None => true,
            Some(Expected::Absent) => live.is_none(),
            Some(Expected::Version(id)) => live == Some(id),
            Some(Expected::Sha256(_)) => unreachable!("the model knows no values"),
        };
        if !as_expected {
            return Became::Conflict(live);
        }
        if let Action::Read = change.action {
            return Became::Read(live);
        }
        let value = match &change.action {
            Action::Put(new) => Some(new.value.as_str().len() as i64),
            _ => None,
        };
        let deletes_nothing = value.is_none() && live.is_none();
        let keys = i64::from(change.idempotency.is_some());
        let mut after = self.used;
        after.idempotency_keys += keys;
        after.stored_bytes += keys * IDEMPOTENCY_ROW;
        if !deletes_nothing {
            after.writes += 1;
            after.bytes += value.unwrap_or_default();
            after.stored_bytes +=
                VERSION_ROW + ("a".len() + "/1".len()) as i64 + value.unwrap_or_default();
        }
        let over =
            |limit: Option<i64>, before: i64, after: i64| after > before && after > limit.unwrap();
        let used = self.used;
        if over(LIMITS.writes, used.writes, after.writes) {
            return Became::OverQuota(WriteQuota::Writes);
        }
        if over(LIMITS.bytes, used.bytes, after.bytes) {
            return Became::OverQuota(WriteQuota::Bytes);
        }
        if over(LIMITS.idempotency_keys, used.idempotency_keys, after.idempotency_keys) {
            return Became::OverQuota(WriteQuota::IdempotencyKeys);
        }
        if over(LIMITS.stored_bytes, used.stored_bytes, after.stored_bytes) {
            return Became::OverQuota(WriteQuota::StoredBytes);
        }
        self.used = after;
        let became = if deletes_nothing {
            Became::Nothing
        } else {
            let version = value.map(|_| change.version_id);
            self.versions.entry(path).or_default().push(version);
            Became::Written(change.version_id)
        };
        if let Some(Idempotency { key, request_hash }) = &change.idempotency {
            let answer = (became != Became::Nothing).then_some(change.version_id);
            self.answers.insert(key.clone(), (*request_hash, answer));
        }
        became
    }

    /// All of `group` or nothing.
    fn make_all(&mut self, group: &[(u8, &Change)]) -> Vec<Became> {
        let before = self.clone();
        let mut became: Vec<Became> =
            group.iter().map(|(path, change)| self.make(*path, change)).collect();
        let refused = |b: &Became| {
            matches!(b, Became::Conflict(_) | Became::KeyReused | Became::OverQuota(_))
        };
        if group.len() > 1 && became.iter().any(refused) {
            *self = before;
            became.iter_mut().filter(|b| !refused(b)).for_each(|b| *b = Became::Undone);
        }
        became
    }
}

proptest! {
    #[test]
    fn changes_follow_the_model(
        plans in proptest::collection::vec(plan(), 1..40),
        groups in proptest::collection::vec(1_usize..5, 40),
        batches in proptest::collection::vec(1_usize..6, 40),
    ) {
        let mut changes: Vec<Change> = Vec::new();
        for plan in &plans {
            let next = change(plan, &changes);
            changes.push(next);
        }
        let mut model = Model::default();
        let mut locked = LockedState::default();
        let (mut rest, mut groups) = (&changes[..], groups.into_iter().cycle());
        let mut number = 0;
        for size in batches.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let mut batch: Vec<Vec<&Change>> = Vec::new();
            for _ in 0..size {
                let (group, after) = rest.split_at(groups.next().unwrap_or(1).min(rest.len()));
                rest = after;
                batch.extend((!group.is_empty()).then(|| group.iter().collect()));
            }
            let now = Timestamp::from_second(number).unwrap();
            let slices: Vec<&[&Change]> = batch.iter().map(Vec::as_slice).collect();
            let applied = apply_changes(&slices, &locked, &LIMITS, now);
            let mut expected = Vec::new();
            let mut place = usize::try_from(number).unwrap();
            for group in &batch {
                let planned: Vec<(u8, &Change)> =
                    group.iter().zip(&plans[place..]).map(|(c, plan)| (plan.path, *c)).collect();
                expected.extend(model.make_all(&planned));
                place += group.len();
            }
            let became: Vec<Became> = applied.outcomes.iter().map(|o| (*o).into()).collect();
            prop_assert_eq!(became, expected);
            // What is written is what the next batch finds locked.
            let flat = batch.concat();
            for version in &applied.versions {
                let head: Head = version.head;
                let key = &flat[version.change].key;
                let earlier = locked.heads.insert(key.clone(), head);
                prop_assert_eq!(head.version, earlier.map_or(1, |h| h.version + 1));
                prop_assert!(earlier.is_none_or(|h| h.updated_at < head.updated_at));
            }
            for (index, answered) in applied.answers {
                let key = flat[index].idempotency.as_ref().unwrap().key.clone();
                locked.answered.insert((DEFAULT_TENANT, key), answered);
            }
            let usage = applied.usage.get(&DEFAULT_TENANT).copied().unwrap_or_default();
            prop_assert_eq!(usage.writes, applied.versions.len() as i64);
            *locked.used.entry(DEFAULT_TENANT).or_default() += usage;
            prop_assert_eq!(locked.used[&DEFAULT_TENANT], model.used);
            number += flat.len() as i64;
        }
    }
}
