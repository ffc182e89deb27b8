//! Lists the direct children of a directory.

use uuid::Uuid;

use super::reserve::names_bytes;
use super::{Memory, MemoryError};
use crate::domain::TenantId;
use crate::domain::cursor;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;
use crate::domain::page_size::NAMES;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::list::{After, Child, children};
use crate::store::entries::list_as_of::{Directory, Listed};

/// An unvalidated request to list a directory.
#[derive(Debug)]
pub struct ListRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// The directory.
    pub prefix: String,
    /// Most items.
    pub limit: Option<i64>,
    /// The cursor of the previous page.
    pub cursor: Option<String>,
    /// The moment to read at; `None` is now.
    pub as_of: Option<String>,
    /// A version that the read must see.
    pub min_version: Option<Uuid>,
}

/// A page of children.
#[derive(Debug)]
pub struct ListPage {
    /// Sorted by path; a path that is both has both.
    pub items: Vec<Item>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

/// A child of a directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its path.
    pub path: String,
    /// Its kind.
    pub kind: Kind,
}

/// The kind of a directory's child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An entry.
    File,
    /// A path that has entries below it.
    Directory,
}

impl Memory {
    /// Lists the direct children of a directory.
    pub async fn list(
        &self,
        tenant: TenantId,
        request: ListRequest,
    ) -> Result<ListPage, MemoryError> {
        let agent = AgentId::parse(&request.agent_id)?;
        let prefix = Prefix::parse(&request.prefix)?;
        let limit = NAMES.limit(request.limit)?;
        let from = cursor::decode(request.cursor.as_deref(), |place| after(place, &prefix))?;
        let from = from.unwrap_or(After::Start);
        let as_of = self.past_moment(tenant, request.as_of.as_deref()).await?;
        let reserved = self.reserve(tenant, names_bytes(limit)).await?;
        // One child more than fits tells whether there is more.
        let enough = limit + 1;
        let Listed { children, rest } = match as_of {
            None => {
                let (agent, prefix, from) = (&agent, &prefix, &from);
                let read = |pool: Pool| async move {
                    children(&pool, tenant, agent, prefix, from, enough).await
                };
                let children = self.read(tenant, request.min_version, read).await?;
                Listed { children, rest: None }
            }
            // The past is asked of the primary, whose clock dates the versions.
            Some(as_of) => {
                let directory = Directory { tenant, agent: &agent, prefix: &prefix, as_of };
                let (directory, from) = (&directory, &from);
                let read =
                    |pool: Pool| async move { directory.children(&pool, from, enough).await };
                self.read_primary(tenant, request.min_version, read).await?
            }
        };
        let (items, next) = paged(children, limit);
        let next_cursor = next.or(rest.as_ref().map(encoded));
        Ok(ListPage { items, next_cursor, reserved })
    }
}

/// At most `limit` items, and the cursor of more; a child that is both entry and directory yields two, which may lie on two pages.
fn paged(children: Vec<Child>, limit: usize) -> (Vec<Item>, Option<String>) {
    let mut items = children.into_iter().flat_map(|child| {
        let file = child.is_entry.then(|| Item { path: child.path.clone(), kind: Kind::File });
        let directory =
            child.is_directory.then_some(Item { path: child.path, kind: Kind::Directory });
        file.into_iter().chain(directory)
    });
    let page: Vec<Item> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    let next_cursor = page.last().filter(|_| more).map(|last| encoded(&last.place()));
    (page, next_cursor)
}

impl Item {
    /// The position after this item.
    fn place(&self) -> After {
        match self.kind {
            Kind::File => After::Entry(self.path.clone()),
            Kind::Directory => After::Subtree(self.path.clone()),
        }
    }
}

fn encoded(place: &After) -> String {
    cursor::encode(&match place {
        After::Start => String::new(),
        After::Entry(child) => format!("f{child}"),
        After::Subtree(child) => format!("d{child}"),
        After::Within { path, .. } => format!("w{path}"),
    })
}

/// Decodes a cursor of a list of `prefix`.
fn after(place: &str, prefix: &Prefix) -> Option<After> {
    if place.is_empty() {
        return Some(After::Start);
    }
    let path = place.get(1..)?;
    let below = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
    let (child, rest) = below.split_once('/').map_or((below, None), |(c, rest)| (c, Some(rest)));
    if child.is_empty() || below.contains('\0') {
        return None;
    }
    match (place.as_bytes()[0], rest) {
        (b'f', None) => Some(After::Entry(path.to_owned())),
        (b'd', None) => Some(After::Subtree(path.to_owned())),
        (b'w', Some(rest)) => {
            let child = path.get(..path.len() - rest.len() - 1)?.to_owned();
            Some(After::Within { child, path: path.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_both_kinds_may_be_cut_in_the_middle() {
        let both = Child { path: "/a/b".into(), is_entry: true, is_directory: true };
        let (items, next_cursor) = paged(vec![both], 1);
        assert_eq!(items[0].kind, Kind::File);
        let prefix = Prefix::parse("/a").unwrap();
        let next = cursor::decode(next_cursor.as_deref(), |place| after(place, &prefix));
        assert_eq!(next.unwrap().unwrap(), After::Entry("/a/b".into()));
    }

    #[test]
    fn foreign_cursors_are_refused() {
        let prefix = Prefix::parse("/a").unwrap();
        for text in ["f", "x/a/b", "w/a/b", "w/a//b", "f/b/c", "f/a/b/c", "f/a", "f/ab", "é/a/b"] {
            assert_eq!(after(text, &prefix), None, "{text}");
        }
        let within = After::Within { child: "/a/b".into(), path: "/a/b/c/d".into() };
        assert_eq!(after("w/a/b/c/d", &prefix), Some(within));
        assert!(cursor::decode(Some("%%%"), |place| after(place, &prefix)).is_err());
    }
}
