//! The domain, without any I/O: memory (paths, values, changes), access (keys, scopes, rate limits) and
//! search.

pub mod access;
pub mod at_most;
pub mod cursor;
pub mod json_error;
pub mod json_object;
pub mod memory;
pub mod nearest_name;
pub mod page_size;
pub mod search;

use jiff::Timestamp;
use uuid::Uuid;

/// Largest body of a request in bytes, where MAX_BODY_BYTES does not say otherwise.
pub const MAX_BODY: usize = 1 << 20;

/// The largest that MAX_BODY_BYTES may be.
pub const LARGEST_BODY: usize = 8 << 20;

/// A byte order mark, which some programs put before a text.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Most bytes of a page of values besides its last value.
pub const LARGEST_PAGE: u64 = 14 << 20;

/// The tenant that every database has, and that keys belong to by default.
pub const DEFAULT_TENANT: TenantId = TenantId(Uuid::nil());

/// A tenant: the unit of isolation, of quotas and of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub Uuid);

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The key of an entry. Sorts as the database sorts it, which is the order locks are taken in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The entry's tenant.
    pub tenant: TenantId,
    /// The agent within the tenant.
    pub agent: memory::agent_id::AgentId,
    /// The path within the agent's tree.
    pub path: memory::path::EntryPath,
}

/// Formats a moment for the API: RFC 3339, UTC, always six digits of a second, so that text order is time order.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_six_digits() {
        assert_eq!(
            rfc3339(Timestamp::from_microsecond(1_000_000).unwrap()),
            "1970-01-01T00:00:01.000000Z"
        );
    }
}
