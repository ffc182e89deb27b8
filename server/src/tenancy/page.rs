//! Pages of lists.

use uuid::Uuid;

use super::TenancyError;
use crate::domain::page_size::NAMES;
use crate::domain::{TenantId, cursor};

/// An unvalidated request for a page of a list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Most items.
    pub limit: Option<i64>,
    /// The cursor of the previous page.
    pub cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
}

/// Where a page begins, and how many items it may have.
#[derive(Debug)]
pub(super) struct Bounds<P> {
    pub(super) after: Option<P>,
    pub(super) limit: usize,
}

impl PageRequest {
    /// `read`: the place that a cursor names.
    pub(super) fn bounds<P>(
        &self,
        read: impl FnOnce(&str) -> Option<P>,
    ) -> Result<Bounds<P>, TenancyError> {
        let limit = NAMES.limit(self.limit)?;
        Ok(Bounds { after: cursor::decode(self.cursor.as_deref(), read)?, limit })
    }

    /// The bounds of a list whose cursors name tenants.
    pub(super) fn after_tenant(&self) -> Result<Bounds<TenantId>, TenancyError> {
        self.bounds(|place| place.parse::<Uuid>().ok().map(TenantId))
    }
}

impl<P> Bounds<P> {
    /// How many items to ask for: one more shows that there is another page.
    pub(super) fn to_fetch(&self) -> usize {
        self.limit + 1
    }

    /// The page of the items that were found. `place`: what the cursor names an item by.
    pub(super) fn page<T>(&self, mut items: Vec<T>, place: impl FnOnce(&T) -> String) -> Page<T> {
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| has_more);
        let next_cursor = last.map(|last| cursor::encode(&place(last)));
        Page { items, next_cursor }
    }
}
