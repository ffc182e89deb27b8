//! Looks for an old snapshot, and prepares for one that stays.

use std::time::{Duration, Instant};

use crate::store::StoreError;
use crate::store::connection::oldest_snapshot::{OldestSnapshot, oldest};
use crate::store::connection::pool::Pool;
use crate::store::entries::newest_day;

/// From this age on, rows have so many versions that it matters how they are found.
const OLD: Duration = Duration::from_secs(5);

/// The oldest snapshot as it was seen before. PostgreSQL hides the times of other roles' sessions, but not what they hold.
#[derive(Debug, Default)]
pub(super) struct OldSnapshot(Option<(String, Instant)>);

impl OldSnapshot {
    /// Returns the age of the oldest snapshot.
    pub(super) async fn look(&mut self, pool: &Pool) -> Result<Duration, StoreError> {
        let mut connection = pool.acquire().await?;
        let age = self.age(pool.noting(oldest(&mut connection)).await?, Instant::now());
        if age >= OLD
            && let Err(error) = pool.noting(newest_day::plan_anew(&mut connection)).await
        {
            // A database that takes no writes refuses it.
            tracing::debug!("the quota rows' table cannot be analysed: {error}");
        }
        Ok(age)
    }

    /// The time for which the snapshot was seen, if PostgreSQL does not tell more.
    fn age(&mut self, snapshot: Option<OldestSnapshot>, now: Instant) -> Duration {
        let Some(OldestSnapshot { xid, age }) = snapshot else {
            self.0 = None;
            return Duration::ZERO;
        };
        let since = match self.0.take() {
            Some((seen, since)) if seen == xid => since,
            _ => now,
        };
        self.0 = Some((xid, since));
        age.max(now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_whose_age_is_hidden_is_as_old_as_it_has_been_seen() {
        let (mut snapshot, began) = (OldSnapshot::default(), Instant::now());
        let mut age = |seen: Option<(&str, u64)>, after: u64| {
            let seen = seen.map(|(xid, age)| OldestSnapshot {
                xid: xid.to_owned(),
                age: Duration::from_secs(age),
            });
            snapshot.age(seen, began + Duration::from_secs(after)).as_secs()
        };
        assert_eq!(age(Some(("7", 0)), 0), 0);
        assert_eq!(age(Some(("7", 0)), 40), 40);
        assert_eq!(age(Some(("7", 90)), 55), 90, "PostgreSQL knows it better");
        assert_eq!(age(Some(("8", 0)), 70), 0, "another one");
        assert_eq!(age(None, 85), 0);
        assert_eq!(age(Some(("8", 0)), 100), 0);
    }
}
