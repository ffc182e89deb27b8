//! Validates the past moment of a read (`as_of`).

use jiff::{SignedDuration, Timestamp};

use super::{Memory, MemoryError};
use crate::domain::TenantId;
use crate::store::entries::as_of::now;

/// How far a client's clock may be ahead of the database's: a moment that is no further ahead means now.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(5);

impl Memory {
    /// Parses the given moment, which must lie in the past by the database's clock, or no more than [`MAX_SKEW`] ahead; none
    /// is now.
    pub(super) async fn past_moment(
        &self,
        tenant: TenantId,
        given: Option<&str>,
    ) -> Result<Option<Timestamp>, MemoryError> {
        let Some(text) = given else { return Ok(None) };
        let as_of = parse(text)?;
        let now = self.lookups.retrying(tenant, |pool| async move { now(&pool).await }).await?;
        if as_of.duration_since(now) > MAX_SKEW {
            return Err(MemoryError::AsOfInFuture { as_of, now });
        }
        Ok(Some(as_of.min(now)))
    }
}

/// Truncates a moment to the microsecond, the precision of versions. There is nothing before 1970, and PostgreSQL knows
/// no moment before 4713 BC.
fn parse(text: &str) -> Result<Timestamp, MemoryError> {
    text.parse()
        .ok()
        .map(|moment: Timestamp| moment.max(Timestamp::UNIX_EPOCH))
        .and_then(|moment| Timestamp::from_microsecond(moment.as_microsecond()).ok())
        .ok_or_else(|| MemoryError::AsOf(text.chars().take(40).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_to_the_microsecond_that_they_lie_in() {
        for (text, micros) in [
            ("1970-01-01T00:00:01Z", 1_000_000),
            ("1970-01-01T02:00:00.0000019+02:00", 1),
            ("1969-12-31T23:59:59Z", 0),
            ("-009999-01-02T01:59:59Z", 0),
        ] {
            assert_eq!(parse(text).unwrap().as_microsecond(), micros, "{text}");
        }
        for text in
            ["", "now", "1970-01-01", "1970-01-01T00:00:01", "12345", "+10000-01-01T00:00:00Z"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
