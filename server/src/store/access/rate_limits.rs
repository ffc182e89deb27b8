//! Leases rate limit tokens to replicas, from one table.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::domain::access::rate_limit::{Lease, PerMinute};
use crate::store::StoreError;

/// A request for tokens of one bucket.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The bucket's rate limit.
    pub limit: PerMinute,
    /// Tokens.
    pub tokens: u32,
}

/// The database's clock decides the minute, for all replicas alike. A bucket that another transaction has taken into the
/// next minute while this one waited for it stays there. `leased` may grow past the limit: what is granted is cut here.
/// A row that another transaction wrote than the one that it names came with a restore, and counts nothing.
const LEASE: &str = "
INSERT INTO rate_limits AS r (bucket, minute, leased, written_by)
SELECT w.bucket, floor(extract(epoch FROM now()) / 60)::bigint, w.tokens, pg_current_xact_id()::xid
  FROM unnest($1::text[], $2::bigint[]) AS w (bucket, tokens)
    ON CONFLICT (bucket) DO UPDATE
   SET minute = CASE WHEN r.written_by = r.xmin AND r.minute = excluded.minute + 1 THEN r.minute ELSE excluded.minute END,
       leased = CASE WHEN r.written_by = r.xmin AND r.minute IN (excluded.minute, excluded.minute + 1) THEN r.leased ELSE 0 END
              + excluded.leased,
       written_by = excluded.written_by
RETURNING bucket, minute, leased, extract(epoch FROM clock_timestamp())::float8";

/// Leases tokens for buckets, which must be sorted and unique. Answers in their order.
pub async fn lease(
    connection: &mut PgConnection,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Lease>, StoreError> {
    let rows = sqlx::query(LEASE)
        .bind(wanted.iter().map(|w| w.bucket).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| i64::from(w.tokens)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut leases: Vec<(String, i64, i64, f64)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
        .collect::<Result<_, sqlx::Error>>()?;
    leases.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(wanted
        .iter()
        .zip(leases)
        .map(|(wanted, (_, minute, leased, now))| granted(wanted, minute, leased, now))
        .collect())
}

/// The part of the requested tokens that lies within the limit. `leased` includes them; `now` is in seconds since 1970.
fn granted(wanted: &Wanted<'_>, minute: i64, leased: i64, now: f64) -> Lease {
    let left = |leased: i64| i64::from(wanted.limit.get()).saturating_sub(leased).max(0);
    let tokens = i64::from(wanted.tokens);
    let count = |tokens: i64| u32::try_from(tokens).unwrap_or(u32::MAX);
    let ends = minute.saturating_add(1).saturating_mul(60) as f64;
    Lease {
        minute,
        rest: Duration::try_from_secs_f64(ends - now).unwrap_or_default(),
        granted: count(left(leased.saturating_sub(tokens)).min(tokens)),
        unleased: count(left(leased)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_the_limit_is_not_granted() {
        let of = |leased| {
            let limit = PerMinute::new(25).unwrap();
            let lease = granted(&Wanted { bucket: "b", limit, tokens: 10 }, 2, leased, 170.5);
            assert_eq!((lease.minute, lease.rest), (2, Duration::from_millis(9500)));
            (lease.granted, lease.unleased)
        };
        assert_eq!(of(10), (10, 15));
        assert_eq!(of(20), (10, 5));
        assert_eq!(of(30), (5, 0));
        assert_eq!(of(40), (0, 0));
    }
}
