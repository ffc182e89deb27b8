//! The plan of a move or delete: what is seen at each path, and the versions that it will get.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::domain::memory::path::InvalidPath;
use crate::domain::memory::subtree::Destination;
use crate::domain::memory::usage::{Usage, VERSION_ROW};

/// By how much the number of a copy is ahead of the next one of its path. A copy is written before anything is locked: a put to its
/// path takes the next number meanwhile, and does not wait for it.
const AHEAD: i64 = 1 << 20;

/// A live entry, as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) version_id: Uuid,
    pub(super) version: i64,
    pub(super) updated_at: Timestamp,
    /// A touch changes nothing else.
    pub(super) expires_at: Option<Timestamp>,
}

/// The latest version of a path, live or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latest {
    pub(super) version: i64,
    pub(super) updated_at: Timestamp,
}

/// What becomes of an entry.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) seen: Seen,
    pub(super) tombstone: Uuid,
    /// Of a move.
    pub(super) copy: Option<Copied>,
}

/// The version at the new path.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    pub(super) path: String,
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) at: Timestamp,
    /// Bytes of its value, and of its tags.
    pub(super) bytes: (i64, i64),
}

/// A head as it will be.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewHead<'a> {
    pub(super) path: &'a str,
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) deleted: bool,
}

impl Planned {
    pub(super) fn new(seen: Seen, copy: Option<Copied>) -> Self {
        Self { seen, tombstone: Uuid::now_v7(), copy }
    }

    /// Whether the entry, and what is at its new path, are still as it was planned.
    pub(super) fn holds(&self, seen: Option<&Seen>, there: &HashMap<String, Latest>) -> bool {
        let is_free = |copy: &Copied| {
            there
                .get(&copy.path)
                .is_none_or(|latest| latest.version < copy.version && latest.updated_at < copy.at)
        };
        seen == Some(&self.seen) && self.copy.as_ref().is_none_or(is_free)
    }
}

/// The new paths of `seen`, or the first one that is none.
pub(super) fn new_paths(
    destination: &Destination,
    seen: &BTreeMap<String, Seen>,
) -> Result<Vec<String>, InvalidPath> {
    seen.keys().map(|path| Ok(destination.of(path)?.as_str().to_owned())).collect()
}

impl Copied {
    /// At `path`, where `latest` is.
    pub(super) fn new(path: String, latest: Option<&Latest>, now: Timestamp) -> Self {
        let version = latest.map_or(0, |latest| latest.version) + 1 + AHEAD;
        let at = after(latest.map(|latest| latest.updated_at), now);
        Self { path, id: Uuid::now_v7(), version, at, bytes: (0, 0) }
    }
}

/// The heads that the plan makes, in the order in which they are locked.
pub(super) fn heads(planned: &BTreeMap<String, Planned>, now: Timestamp) -> Vec<NewHead<'_>> {
    let tombstones = planned.iter().map(|(path, planned)| NewHead {
        path,
        id: planned.tombstone,
        version: planned.seen.version + 1,
        at: after(Some(planned.seen.updated_at), now),
        expires_at: None,
        deleted: true,
    });
    let copies = planned.values().filter_map(|planned| {
        let copy = planned.copy.as_ref()?;
        Some(NewHead {
            path: &copy.path,
            id: copy.id,
            version: copy.version,
            at: copy.at,
            expires_at: planned.seen.expires_at,
            deleted: false,
        })
    });
    let mut heads: Vec<NewHead<'_>> = tombstones.chain(copies).collect();
    heads.sort_unstable_by_key(|head| head.path);
    heads
}

/// What the plan uses of the tenant's quotas: an entry counts as one write, and each of its versions as stored.
pub(super) fn usage(agent: &str, planned: &BTreeMap<String, Planned>) -> Usage {
    let mut usage = Usage { writes: planned.len() as i64, ..Usage::default() };
    let row = |path: &str| VERSION_ROW + (agent.len() + path.len()) as i64;
    for (path, planned) in planned {
        usage.stored_bytes += row(path);
        if let Some(copy) = &planned.copy {
            let (value, tags) = copy.bytes;
            usage.bytes += value;
            usage.stored_bytes += row(&copy.path) + value + tags;
        }
    }
    usage
}

/// The moment of a version that follows one of the moment `before`.
fn after(before: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let next = before.and_then(|at| at.checked_add(SignedDuration::from_micros(1)).ok());
    next.map_or(now, |next| next.max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seen(version: i64) -> Seen {
        Seen { version_id: Uuid::now_v7(), version, updated_at: at(version), expires_at: None }
    }

    #[test]
    fn a_plan_holds_while_nothing_has_changed() {
        let latest = Latest { version: 7, updated_at: at(50) };
        let (source, copy) = (seen(1), Copied::new("/b".into(), Some(&latest), at(20)));
        assert_eq!(copy.at, at(50) + SignedDuration::from_micros(1));
        let planned = Planned::new(source, Some(copy.clone()));
        let there = |version, updated_at| {
            HashMap::from([("/b".to_owned(), Latest { version, updated_at })])
        };
        let holds = |seen: Option<Seen>, there| planned.holds(seen.as_ref(), &there);
        assert!(holds(Some(source), there(7, at(50))));
        assert!(holds(Some(source), HashMap::new()));
        assert!(!holds(None, there(7, at(50))), "deleted");
        assert!(!holds(Some(seen(2)), there(7, at(50))), "put");
        let touched = Seen { expires_at: Some(at(90)), ..source };
        assert!(!holds(Some(touched), there(7, at(50))), "touched");
        assert!(!holds(Some(source), there(8, at(51))), "something newer is there");
        assert!(!holds(Some(source), there(copy.version, at(50))), "something newer is there");
    }

    #[test]
    fn heads_are_sorted_and_what_is_stored_is_counted() {
        let mut copy = Copied::new("/0/é".into(), None, at(9));
        copy.bytes = (10, 3);
        let planned = BTreeMap::from([
            ("/a/é".to_owned(), Planned::new(seen(2), Some(copy))),
            ("/a".to_owned(), Planned::new(seen(12), None)),
        ]);
        let heads = heads(&planned, at(9));
        assert_eq!(
            heads.iter().map(|h| (h.path, h.deleted)).collect::<Vec<_>>(),
            [("/0/é", false), ("/a", true), ("/a/é", true)]
        );
        assert_eq!(heads[1].version, 13);
        assert!(heads[1].at > at(12));
        let used = usage("ada", &planned);
        let stored_bytes = 3 * (VERSION_ROW + 3) + 5 + 2 + 5 + 13;
        assert_eq!(used, Usage { writes: 2, bytes: 10, idempotency_keys: 0, stored_bytes });
    }
}
