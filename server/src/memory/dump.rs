//! Reads the entries of an agent with their values: all, or those at a path or below it.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{MAX_BYTES, Memory, MemoryError};
use crate::domain::TenantId;
use crate::domain::cursor;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::filter::Filter;
use crate::domain::memory::path::{EntryPath, Prefix};
use crate::domain::page_size::PageSize;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::dump::{Order, Page, Place, Subtree};
use crate::store::entries::versions::Version;

const SIZE: PageSize = PageSize { default: 200, max: 500 };

/// An unvalidated request for a dump.
#[derive(Debug)]
pub struct DumpRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Most entries.
    pub limit: Option<i64>,
    /// The cursor of the previous page.
    pub cursor: Option<String>,
    /// The moment to read at; `None` is now.
    pub as_of: Option<String>,
    /// Only entries at or below this path.
    pub prefix: Option<String>,
    /// Only entries whose values meet these conditions.
    pub filter: Option<Box<RawValue>>,
    /// The order.
    pub order: Order,
}

/// A page of entries.
#[derive(Debug)]
pub struct DumpPage {
    /// The versions that the entries show, in order. It ends early when their values are large, and when much was looked at for a
    /// filter.
    pub entries: Vec<Version>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

impl Memory {
    /// Reads the entries of an agent.
    pub async fn dump(
        &self,
        tenant: TenantId,
        request: DumpRequest,
    ) -> Result<DumpPage, MemoryError> {
        let agent = AgentId::parse(&request.agent_id)?;
        let limit = SIZE.limit(request.limit)?;
        let prefix = Prefix::parse(request.prefix.as_deref().unwrap_or("/"))?;
        let filter = request.filter.as_deref().map(Filter::parse).transpose()?;
        let order = request.order;
        if order == Order::Newest && request.as_of.is_some() {
            return Err(MemoryError::NewestOfPast);
        }
        let after = cursor::decode(request.cursor.as_deref(), |text| place(text, &prefix, order))?;
        let as_of = self.past_moment(tenant, request.as_of.as_deref()).await?;
        let (agent, prefix, filter) = (&agent, &prefix, filter.as_ref());
        let tree = &Subtree { tenant, agent, prefix, as_of, order, filter };
        let after = after.as_ref();
        let read = |pool: Pool| async move { tree.page(&pool, after, limit, MAX_BYTES).await };
        let reserved = self.reserve(tenant, self.page_bytes(limit)).await?;
        let Page { versions, rest, too_many } = self.pool.retrying(tenant, read).await?;
        if too_many {
            return Err(MemoryError::TooManyToOrder);
        }
        let next_cursor = rest.as_ref().map(encoded);
        Ok(DumpPage { entries: versions, next_cursor, reserved })
    }
}

fn encoded(place: &Place) -> String {
    let at = place.updated_at.map(|at| at.as_microsecond().to_string());
    cursor::encode(&(at.unwrap_or_default() + &place.path))
}

/// Decodes a cursor of a dump of `prefix` in `order`: a path, behind the moment where that is the order.
fn place(text: &str, prefix: &Prefix, order: Order) -> Option<Place> {
    let (at, path) = text.split_at(text.find('/')?);
    let updated_at = match order {
        Order::Path if at.is_empty() => None,
        Order::Path => return None,
        Order::Newest => Some(Timestamp::from_microsecond(at.parse().ok()?).ok()?),
    };
    let path = EntryPath::parse(path).ok().filter(|path| prefix.holds(path))?;
    Some(Place { updated_at, path: path.as_str().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_prefix_and_order() {
        let prefix = Prefix::parse("/a").unwrap();
        let at = Some(Timestamp::from_microsecond(1_700_000_000_000_001).unwrap());
        for (order, updated_at, other) in
            [(Order::Path, None, Order::Newest), (Order::Newest, at, Order::Path)]
        {
            let given = Place { updated_at, path: "/a/b".into() };
            let text = encoded(&given);
            let decoded = |prefix: &Prefix, order| {
                cursor::decode(Some(&text), |text| place(text, prefix, order))
            };
            assert_eq!(decoded(&prefix, order).unwrap(), Some(given));
            assert!(decoded(&prefix, other).is_err());
            assert!(decoded(&Prefix::parse("/a/c").unwrap(), order).is_err());
        }
    }
}
