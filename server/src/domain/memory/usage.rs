//! What writes use of their tenant's quotas.

use std::ops::AddAssign;

/// Bytes that a version takes besides its agent's id, path, value and tags: its row, and the indexes' copies of it.
pub const VERSION_ROW: i64 = 256;
/// Bytes that an idempotency key takes for the 24 hours that it is kept, whatever its length: its row and the indexes' copies.
pub const IDEMPOTENCY_ROW: i64 = 512;

/// What a tenant has used, or what a write uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Versions written today.
    pub writes: i64,
    /// Bytes of their values.
    pub bytes: i64,
    /// Rows of idempotency keys written today.
    pub idempotency_keys: i64,
    /// Bytes that versions and idempotency keys take in storage, whenever they were written.
    pub stored_bytes: i64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.writes += other.writes;
        self.bytes += other.bytes;
        self.idempotency_keys += other.idempotency_keys;
        self.stored_bytes += other.stored_bytes;
    }
}

/// A quota that bounds writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteQuota {
    /// Versions a day.
    Writes,
    /// Bytes of values a day.
    Bytes,
    /// Idempotency keys a day.
    IdempotencyKeys,
    /// Bytes stored.
    StoredBytes,
}

/// The most that a tenant may use; `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteLimits {
    /// Versions a day (UTC).
    pub writes: Option<i64>,
    /// Bytes of values a day (UTC).
    pub bytes: Option<i64>,
    /// Idempotency keys a day (UTC).
    pub idempotency_keys: Option<i64>,
    /// Bytes stored.
    pub stored_bytes: Option<i64>,
}

impl WriteLimits {
    /// The first quota that `more` does not fit under, where `used` is used already. What a write does not use cannot be the
    /// reason to refuse it.
    pub fn exceeded(&self, used: Usage, more: Usage) -> Option<WriteQuota> {
        let quotas = [
            (WriteQuota::Writes, self.writes, used.writes, more.writes),
            (WriteQuota::Bytes, self.bytes, used.bytes, more.bytes),
            (
                WriteQuota::IdempotencyKeys,
                self.idempotency_keys,
                used.idempotency_keys,
                more.idempotency_keys,
            ),
            (WriteQuota::StoredBytes, self.stored_bytes, used.stored_bytes, more.stored_bytes),
        ];
        let over = |limit: Option<i64>, used: i64, more: i64| {
            more > 0 && limit.is_some_and(|limit| used.saturating_add(more) > limit)
        };
        quotas
            .into_iter()
            .find(|&(_, limit, used, more)| over(limit, used, more))
            .map(|(quota, ..)| quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quota_that_is_used_up_is_named() {
        let limits = WriteLimits {
            writes: Some(2),
            bytes: Some(10),
            idempotency_keys: None,
            stored_bytes: Some(1000),
        };
        let used = Usage { writes: 1, bytes: 4, idempotency_keys: 9, stored_bytes: 600 };
        let more = |writes, bytes, stored_bytes| Usage {
            writes,
            bytes,
            idempotency_keys: 1,
            stored_bytes,
        };
        assert_eq!(limits.exceeded(used, more(1, 6, 400)), None, "up to the limit");
        assert_eq!(limits.exceeded(used, more(2, 7, 401)), Some(WriteQuota::Writes));
        assert_eq!(limits.exceeded(used, more(1, 7, 401)), Some(WriteQuota::Bytes));
        assert_eq!(limits.exceeded(used, more(1, 6, 401)), Some(WriteQuota::StoredBytes));
        let full = Usage { writes: 5, bytes: 50, idempotency_keys: 0, stored_bytes: 0 };
        assert_eq!(limits.exceeded(full, more(0, 0, 512)), None, "it writes no version");
        assert_eq!(WriteLimits::default().exceeded(full, more(1, 1, 1)), None);
    }
}
