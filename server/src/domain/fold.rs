//! Folding a batch of changes, in order, onto the heads and quotas that the batch has locked.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::change::{Action, Change, Outcome};
use super::{EntryKey, TenantId};

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
    /// True after a delete.
    pub deleted: bool,
}

impl Head {
    fn live(&self, now: Timestamp) -> bool {
        !self.deleted && self.expires_at.is_none_or(|at| at > now)
    }
}

/// What a tenant has written today.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Versions written.
    pub writes: i64,
    /// Bytes of their values.
    pub bytes: i64,
}

/// A version to be written: which change makes it, and the head as it is right after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewVersion {
    /// Index of the change in the batch.
    pub change: usize,
    /// The entry's state after the change.
    pub head: Head,
}

/// The result of a fold.
#[derive(Debug, Default)]
pub struct Folded {
    /// One outcome a change, in the batch's order. They hold once the versions are committed.
    pub outcomes: Vec<Outcome>,
    /// The versions to write, in the batch's order; the last of an entry is its new head.
    pub versions: Vec<NewVersion>,
    /// What each tenant's usage grows by.
    pub usage: HashMap<TenantId, Usage>,
}

/// Folds `changes` in order onto `heads` (absent means never written) at the moment `now`.
/// `used` is what each tenant has written today, `daily_writes` the most it may; `None` is without limit.
pub fn fold(
    changes: &[&Change],
    heads: &HashMap<EntryKey, Head>,
    used: &HashMap<TenantId, i64>,
    daily_writes: Option<i64>,
    now: Timestamp,
) -> Folded {
    let mut folded = Folded::default();
    let mut current: HashMap<&EntryKey, Head> = HashMap::new();
    for (index, change) in changes.iter().enumerate() {
        let head = current.get(&change.key).or_else(|| heads.get(&change.key)).copied();
        let outcome = 'outcome: {
            if matches!(change.action, Action::Delete) && !head.is_some_and(|h| h.live(now)) {
                break 'outcome Outcome::NothingToDelete;
            }
            let tenant = change.key.tenant;
            let grown = folded.usage.entry(tenant).or_default();
            let before = used.get(&tenant).copied().unwrap_or_default() + grown.writes;
            if daily_writes.is_some_and(|limit| before >= limit) {
                break 'outcome Outcome::QuotaExceeded;
            }
            grown.writes += 1;
            grown.bytes += i64::try_from(change.action.bytes()).unwrap_or(i64::MAX);
            let next = successor(head, change, now);
            current.insert(&change.key, next);
            folded.versions.push(NewVersion { change: index, head: next });
            Outcome::Written { created_at: next.updated_at }
        };
        folded.outcomes.push(outcome);
    }
    folded
}

fn successor(head: Option<Head>, change: &Change, now: Timestamp) -> Head {
    // Clocks of replicas and a clock set back must not make a later version look older.
    let updated_at = match head {
        Some(h) => {
            now.max(h.updated_at.saturating_add(SignedDuration::from_micros(1)).unwrap_or(now))
        }
        None => now,
    };
    let (expires_at, deleted) = match &change.action {
        Action::Delete => (None, true),
        Action::Put(new) => (
            new.ttl_seconds
                .and_then(|ttl| updated_at.checked_add(SignedDuration::from_secs(ttl.into())).ok()),
            false,
        ),
    };
    Head {
        version_id: change.version_id,
        version: head.map_or(0, |h| h.version) + 1,
        updated_at,
        expires_at,
        deleted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agent_id::AgentId;
    use crate::domain::change::NewValue;
    use crate::domain::path::EntryPath;
    use crate::domain::value::JsonText;
    use crate::domain::{DEFAULT_TENANT, tags::Tags};
    use serde_json::value::RawValue;

    fn change(path: &str, action: Action) -> Change {
        let key = EntryKey {
            tenant: DEFAULT_TENANT,
            agent: AgentId::parse("a").unwrap(),
            path: EntryPath::parse(path).unwrap(),
        };
        Change { key, version_id: Uuid::now_v7(), action }
    }

    fn put(path: &str) -> Change {
        let raw = RawValue::from_string("1".into()).unwrap();
        change(
            path,
            Action::Put(NewValue {
                value: JsonText::normalise(&raw).unwrap(),
                tags: Tags::default(),
                importance: 0.0,
                searchable: false,
                ttl_seconds: None,
            }),
        )
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(changes: &[Change], used: i64, limit: Option<i64>) -> Folded {
        let used = HashMap::from([(DEFAULT_TENANT, used)]);
        fold(&changes.iter().collect::<Vec<_>>(), &HashMap::new(), &used, limit, at(100))
    }

    #[test]
    fn put_delete_delete_put_is_a_sequence() {
        let batch =
            [put("/x"), change("/x", Action::Delete), change("/x", Action::Delete), put("/x")];
        let folded = run(&batch, 0, None);
        let versions: Vec<_> =
            folded.versions.iter().map(|v| (v.change, v.head.version, v.head.deleted)).collect();
        assert_eq!(versions, [(0, 1, false), (1, 2, true), (3, 3, false)]);
        assert_eq!(folded.outcomes[2], Outcome::NothingToDelete);
        let times: Vec<_> = folded.versions.iter().map(|v| v.head.updated_at).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }

    #[test]
    fn a_delete_of_nothing_costs_no_quota_and_the_rest_is_granted_in_order() {
        let batch = [change("/y", Action::Delete), put("/a"), put("/b"), put("/c")];
        let folded = run(&batch, 7, Some(9));
        assert!(matches!(folded.outcomes[1], Outcome::Written { .. }));
        assert!(matches!(folded.outcomes[2], Outcome::Written { .. }));
        assert_eq!(folded.outcomes[3], Outcome::QuotaExceeded);
        assert_eq!(folded.usage[&DEFAULT_TENANT], Usage { writes: 2, bytes: 2 });
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
        let folded = fold(&[&delete, &again], &heads, &HashMap::new(), None, at(100));
        assert_eq!(folded.outcomes[0], Outcome::NothingToDelete);
        assert_eq!(folded.versions[0].head.version, 5);
        assert!(folded.versions[0].head.updated_at > at(500));
    }
}
