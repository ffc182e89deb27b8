//! Takes the bytes of a page from the budget before it is read: as many as it may have. What it does not need goes back as soon as
//! its answer is written.

use super::{MAX_BYTES, Memory, MemoryError};
use crate::domain::TenantId;
use crate::runtime::byte_budget::{Purpose, Reservation, UNCOUNTED};

/// Most bytes that an answer says of an entry besides its value: its path and its tags, each character escaped.
const AROUND_VALUE: usize = 12 << 10;
/// Most bytes of an entry whose value is not counted by itself.
pub(super) const MAX_SMALL: usize = UNCOUNTED + AROUND_VALUE;
/// Most bytes of a path in an answer, with its kind.
const NAME: usize = 4 << 10;

/// Most bytes of an answer with `items` names.
pub(super) const fn names_bytes(items: usize) -> usize {
    items * NAME
}

/// Most bytes of an answer with `items` names and all else that is said of entries besides their values.
pub(super) const fn details_bytes(items: usize) -> usize {
    items * AROUND_VALUE
}

impl Memory {
    /// Most bytes of an answer with `items` values. A value has no more than a body; one that was put while bodies could be larger counts
    /// as if it had no more either.
    pub(super) fn page_bytes(&self, items: usize) -> usize {
        let value = self.largest_value;
        let values = if items > MAX_BYTES / value { MAX_BYTES + value } else { items * value };
        values + items * AROUND_VALUE
    }

    /// Takes `bytes` of the budget for what is read for `tenant`.
    pub(super) async fn reserve(
        &self,
        tenant: TenantId,
        bytes: usize,
    ) -> Result<Reservation, MemoryError> {
        Ok(self.budget.reserve(Some(tenant), bytes, Purpose::Answer).await?)
    }
}
