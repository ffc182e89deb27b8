//! The plan of a move or delete: what is seen at each path, and the versions that it will get.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::domain::memory::path::InvalidPath;
use crate::domain::memory::subtree::Destination;
use crate::domain::memory::usage::{Usage, VERSION_ROW};

/// By how much the numbers of a change's versions are ahead at least, and by twice as much at most.
const AHEAD: i64 = 1 << 20;

/// The numbers and the moment of the versions of one change.
///
/// They are written before anything is locked, so their numbers are ahead of the next ones of their paths: a put takes the next number
/// meanwhile, and does not wait for it. At random, so that another change of the same paths hardly ever waits either.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    pub(super) by: i64,
    pub(super) now: Timestamp,
}

impl Ahead {
    pub(super) fn at(now: Timestamp) -> Self {
        Self { by: rand::random_range(AHEAD..2 * AHEAD), now }
    }

    /// A version that follows `latest`.
    fn of(self, latest: Option<Latest>) -> NewVersion {
        let after = latest
            .and_then(|latest| latest.updated_at.checked_add(SignedDuration::from_micros(1)).ok());
        NewVersion {
            id: Uuid::now_v7(),
            number: latest.map_or(0, |latest| latest.version) + self.by,
            at: after.map_or(self.now, |after| after.max(self.now)),
        }
    }
}

/// A version that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewVersion {
    pub(super) id: Uuid,
    pub(super) number: i64,
    pub(super) at: Timestamp,
}

/// A live entry, as it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) version_id: Uuid,
    pub(super) latest: Latest,
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
    pub(super) tombstone: NewVersion,
    /// Of a move.
    pub(super) copy: Option<Copied>,
}

/// The version at the new path.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    pub(super) path: String,
    pub(super) version: NewVersion,
    /// Bytes of its value, and of its tags.
    pub(super) bytes: (i64, i64),
}

impl Planned {
    pub(super) fn new(seen: Seen, copy: Option<Copied>, ahead: Ahead) -> Self {
        Self { seen, tombstone: ahead.of(Some(seen.latest)), copy }
    }

    /// Whether what is at its new path is still older than the copy.
    pub(super) fn fits(&self, there: &HashMap<String, Latest>) -> bool {
        let Some(Copied { path, version, .. }) = &self.copy else { return true };
        there
            .get(path)
            .is_none_or(|latest| latest.version < version.number && latest.updated_at < version.at)
    }

    /// The version that is answered.
    pub(super) fn version(&self) -> NewVersion {
        self.copy.as_ref().map_or(self.tombstone, |copy| copy.version)
    }

    /// The versions that are written.
    pub(super) fn into_ids(self) -> impl Iterator<Item = Uuid> {
        [Some(self.tombstone.id), self.copy.map(|copy| copy.version.id)].into_iter().flatten()
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
    pub(super) fn new(path: String, latest: Option<Latest>, ahead: Ahead) -> Self {
        Self { path, version: ahead.of(latest), bytes: (0, 0) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn latest(version: i64, second: i64) -> Latest {
        Latest { version, updated_at: at(second) }
    }

    fn seen(version: i64) -> Seen {
        Seen { version_id: Uuid::now_v7(), latest: latest(version, version), expires_at: None }
    }

    #[test]
    fn versions_are_ahead_of_what_a_put_writes_meanwhile_and_later() {
        let ahead = Ahead::at(at(20));
        assert!((AHEAD..2 * AHEAD).contains(&ahead.by));
        let first = ahead.of(None);
        assert_eq!((first.number, first.at), (ahead.by, at(20)));
        let next = ahead.of(Some(latest(7, 50)));
        assert_eq!((next.number, next.at), (7 + ahead.by, at(50) + SignedDuration::from_micros(1)));
        let differs = (0..20).any(|_| Ahead::at(at(20)).by != ahead.by);
        assert!(differs, "another change has others");
    }

    #[test]
    fn a_copy_fits_while_nothing_newer_is_at_its_path() {
        let ahead = Ahead { by: AHEAD, now: at(20) };
        let copy = Copied::new("/b".into(), Some(latest(7, 50)), ahead);
        let number = copy.version.number;
        let moved = Planned::new(seen(1), Some(copy), ahead);
        let there = |version, second| HashMap::from([("/b".to_owned(), latest(version, second))]);
        assert!(moved.fits(&there(7, 50)));
        assert!(moved.fits(&HashMap::new()));
        assert!(!moved.fits(&there(8, 51)), "a later one");
        assert!(!moved.fits(&there(number, 50)), "one of the same number");
        assert!(Planned::new(seen(1), None, ahead).fits(&there(8, 51)), "a delete has no copy");
    }

    #[test]
    fn what_is_written_and_stored_is_counted() {
        let ahead = Ahead::at(at(9));
        let mut copy = Copied::new("/0/é".into(), None, ahead);
        copy.bytes = (10, 3);
        let planned = BTreeMap::from([
            ("/a/é".to_owned(), Planned::new(seen(2), Some(copy), ahead)),
            ("/a".to_owned(), Planned::new(seen(12), None, ahead)),
        ]);
        let used = usage("ada", &planned);
        let stored_bytes = 3 * (VERSION_ROW + 3) + 5 + 2 + 5 + 13;
        assert_eq!(used, Usage { writes: 2, bytes: 10, idempotency_keys: 0, stored_bytes });
        let ids = |path: &str| planned[path].clone().into_ids().collect::<Vec<_>>();
        assert_eq!(ids("/a"), [planned["/a"].version().id]);
        assert_eq!(ids("/a/é")[1..], [planned["/a/é"].version().id]);
    }
}
