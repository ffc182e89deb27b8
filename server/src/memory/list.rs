//! Lists what is in a directory: its direct children, or all down to a depth.

use uuid::Uuid;

use super::reserve::{details_bytes, names_bytes};
use super::{Memory, MemoryError};
use crate::domain::TenantId;
use crate::domain::cursor;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::{MAX_SEGMENTS, Prefix};
use crate::domain::page_size::NAMES;
use crate::runtime::byte_budget::Reservation;
use crate::store::connection::pool::Pool;
use crate::store::entries::details::Details;
use crate::store::entries::list::{After, Child, Tree};
use crate::store::entries::list_as_of::{Directory, Listed};

/// An unvalidated request to list a directory.
#[derive(Debug, Default)]
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
    /// How deep; 1, the default, is the direct children.
    pub depth: Option<i64>,
    /// Whether entries come with their details.
    pub details: bool,
}

/// A page of children.
#[derive(Debug)]
pub struct ListPage {
    /// Sorted by path, segment by segment; a path that is both has both.
    pub items: Vec<Item>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// Its bytes of the budget.
    pub reserved: Reservation,
}

/// What is in a directory.
#[derive(Debug, PartialEq)]
pub struct Item {
    /// Its path.
    pub path: String,
    /// Its kind.
    pub kind: Kind,
    /// The details of an entry, if they are asked for.
    pub details: Option<Details>,
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
    /// Lists what is in a directory.
    pub async fn list(
        &self,
        tenant: TenantId,
        request: ListRequest,
    ) -> Result<ListPage, MemoryError> {
        let agent = AgentId::parse(&request.agent_id)?;
        let prefix = Prefix::parse(&request.prefix)?;
        let limit = NAMES.limit(request.limit)?;
        let depth = depth(&request)?;
        let details = request.details;
        let from = cursor::decode(request.cursor.as_deref(), |place| after(place, &prefix, depth))?;
        let from = from.unwrap_or(After::Start);
        let as_of = self.past_moment(tenant, request.as_of.as_deref()).await?;
        let bytes = if details { details_bytes(limit) } else { names_bytes(limit) };
        let reserved = self.reserve(tenant, bytes).await?;
        // One child more than fits tells whether there is more.
        let enough = limit + 1;
        let Listed { children, rest } = match as_of {
            None => {
                let tree = Tree { tenant, agent: &agent, prefix: &prefix, depth, details };
                let (tree, from) = (&tree, &from);
                let read = |pool: Pool| async move { tree.children(&pool, from, enough).await };
                let children = self.read(tenant, request.min_version, read).await?;
                Listed { children, rest: None }
            }
            // The past is asked of the primary, whose clock dates the versions.
            Some(as_of) => {
                let directory =
                    Directory { tenant, agent: &agent, prefix: &prefix, as_of, details };
                let (directory, from) = (&directory, &from);
                let read =
                    |pool: Pool| async move { directory.children(&pool, from, enough).await };
                self.read_primary(tenant, request.min_version, read).await?
            }
        };
        let has_more = children.len() > limit;
        let items: Vec<Item> = children.into_iter().take(limit).map(Item::from).collect();
        let next = items.last().filter(|_| has_more).map(|last| last.place(&prefix, depth));
        let next_cursor = next.or(rest).as_ref().map(encoded);
        Ok(ListPage { items, next_cursor, reserved })
    }
}

/// The depth of a list.
fn depth(request: &ListRequest) -> Result<usize, MemoryError> {
    let given = request.depth.unwrap_or(1);
    let depth = usize::try_from(given).ok().filter(|depth| (1..=MAX_SEGMENTS).contains(depth));
    let depth = depth.ok_or(MemoryError::Depth(given))?;
    if depth > 1 && request.as_of.is_some() {
        return Err(MemoryError::DepthOfPast);
    }
    Ok(depth)
}

impl From<Child> for Item {
    fn from(Child { path, version_id, details, .. }: Child) -> Self {
        let kind = if version_id.is_some() { Kind::File } else { Kind::Directory };
        Self { path, kind, details }
    }
}

impl Item {
    /// The position after this item in a list of `prefix`, which is `depth` deep.
    fn place(&self, prefix: &Prefix, depth: usize) -> After {
        let path = self.path.clone();
        let own = path[prefix.as_str().len()..].matches('/').count();
        match self.kind {
            Kind::File => After::Entry(path),
            Kind::Directory if own < depth => After::Below(path),
            Kind::Directory => After::Subtree(path),
        }
    }
}

fn encoded(place: &After) -> String {
    cursor::encode(&match place {
        After::Start => String::new(),
        After::Entry(child) => format!("f{child}"),
        After::Below(directory) => format!("b{directory}"),
        After::Subtree(child) => format!("d{child}"),
        After::Within { path, .. } => format!("w{path}"),
    })
}

/// Decodes a cursor of a list of `prefix`, which is `depth` deep.
fn after(place: &str, prefix: &Prefix, depth: usize) -> Option<After> {
    if place.is_empty() {
        return Some(After::Start);
    }
    let path = place.get(1..)?;
    let below = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
    if below.contains('\0') || below.split('/').any(str::is_empty) {
        return None;
    }
    let segments = below.split('/').count();
    match place.as_bytes()[0] {
        b'f' if segments <= depth => Some(After::Entry(path.to_owned())),
        b'b' if segments < depth => Some(After::Below(path.to_owned())),
        b'd' if segments == depth => Some(After::Subtree(path.to_owned())),
        b'w' if depth == 1 => {
            let (name, _) = below.split_once('/')?;
            let child = format!("{}/{name}", prefix.as_str());
            Some(After::Within { child, path: path.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_after_its_last_item() {
        let prefix = Prefix::parse("/a").unwrap();
        let entry = Item::from(Child::entry("/a/b".into(), Uuid::nil(), None));
        assert_eq!(entry.place(&prefix, 1), After::Entry("/a/b".into()));
        for (path, depth, place) in [
            ("/a/b", 1, After::Subtree("/a/b".into())),
            ("/a/b", 2, After::Below("/a/b".into())),
            ("/a/b/c", 2, After::Subtree("/a/b/c".into())),
        ] {
            let directory = Item::from(Child::directory(path.into()));
            assert_eq!(directory.place(&prefix, depth), place);
            let next = cursor::decode(Some(&encoded(&place)), |text| after(text, &prefix, depth));
            assert_eq!(next.unwrap().unwrap(), place);
        }
    }

    #[test]
    fn foreign_cursors_are_refused() {
        let prefix = Prefix::parse("/a").unwrap();
        for text in [
            "f", "x/a/b", "w/a/b", "w/a//b", "f/b/c", "f/a/b/c", "f/a", "f/ab", "é/a/b", "b/a/b",
            "d/a/b/c",
        ] {
            assert_eq!(after(text, &prefix, 1), None, "{text}");
        }
        let within = After::Within { child: "/a/b".into(), path: "/a/b/c/d".into() };
        assert_eq!(after("w/a/b/c/d", &prefix, 1), Some(within));
        for text in ["w/a/b/c/d", "d/a/b", "b/a/b/c", "f/a/b/c/d", "f/a//b"] {
            assert_eq!(after(text, &prefix, 2), None, "{text}");
        }
        assert!(cursor::decode(Some("%%%"), |place| after(place, &prefix, 1)).is_err());
    }
}
