//! The versions that are live, and those that a switch took out.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::agents::Acknowledged;
use super::place::Lost;
use crate::support::database::Database;

/// The ids of all versions, and when those were written that are not live any more.
pub struct Sides {
    live: HashSet<Uuid>,
    /// In the previous tables and not live, in microseconds since 1970.
    lost: HashMap<Uuid, (Uuid, i64)>,
}

impl Sides {
    pub async fn read(database: &Database) -> Self {
        let mut connection = database.connect().await;
        let live = sqlx::query_scalar("SELECT id FROM entry_versions");
        let live: HashSet<Uuid> =
            live.fetch_all(&mut connection).await.unwrap().into_iter().collect();
        let previous: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
            "SELECT id, tenant_id, (extract(epoch FROM created_at) * 1000000)::bigint FROM agentfs_old.entry_versions",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let lost = previous.into_iter().filter(|(id, ..)| !live.contains(id));
        let lost = lost.map(|(id, tenant, at)| (id, (tenant, at))).collect();
        Self { live, lost }
    }

    /// Each acknowledged version is live or lost. It cannot be both: what is live is not lost.
    pub fn hold_each(&self, acknowledged: &[Acknowledged]) {
        let neither = acknowledged
            .iter()
            .filter(|one| !self.live.contains(&one.id) && !self.lost.contains_key(&one.id));
        let neither: Vec<_> = neither.collect();
        assert!(neither.is_empty(), "{} acknowledged and nowhere: {neither:?}", neither.len());
    }

    /// Some of these were lost and some are live, and none that is lost was begun after one that is live was acknowledged: what is
    /// written after the switch stays.
    pub fn are_in_order(&self, acknowledged: &[Acknowledged]) {
        let (live, lost): (Vec<_>, Vec<_>) =
            acknowledged.iter().partition(|one| self.live.contains(&one.id));
        let stays = live.iter().map(|one| one.ended).min().expect("some are live");
        let goes = lost.iter().map(|one| one.began).max().expect("some are lost");
        assert!(goes <= stays, "one begun at {goes} is lost, one acknowledged at {stays} is live");
    }

    /// The list of the lost is right.
    pub fn are_listed(&self, listed: &[Lost]) {
        let mut expected: HashMap<Uuid, (i64, i64, i64)> = HashMap::new();
        for (tenant, at) in self.lost.values() {
            let (count, from, to) = expected.entry(*tenant).or_insert((0, *at, *at));
            (*count, *from, *to) = (*count + 1, *at.min(from), *at.max(to));
        }
        let micros = |at: &Timestamp| at.as_microsecond();
        let listed = listed
            .iter()
            .map(|lost| (lost.tenant, (lost.versions, micros(&lost.from), micros(&lost.to))));
        assert_eq!(listed.collect::<HashMap<_, _>>(), expected);
    }

    /// A put that was repeated with its key is written again only where its version was lost.
    pub fn repeat_what_was_lost(&self, repeated: &[[Uuid; 2]]) {
        for [first, again] in repeated {
            let is_replayed = first == again;
            assert!(is_replayed || self.lost.contains_key(first), "{first} was written twice");
            assert!(self.live.contains(again) || self.lost.contains_key(again));
        }
    }
}
