//! POST /v1/list

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::as_of::past_moment;
use super::page;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::Refusals;
use crate::runtime::replica;
use crate::store::entries::list::{After, Child, children};
use crate::store::entries::list_as_of::{Directory, Listed};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ListRequest)]
pub(crate) struct Request {
    /// The agent whose memory it is.
    #[schema(min_length = 1, max_length = 128)]
    agent_id: String,
    /// The directory; `/` is the root.
    #[schema(min_length = 1, pattern = "^/", example = "/notes")]
    prefix: String,
    /// At most this many; 1000 without it.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Read as it was at this moment (RFC 3339).
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// See at least this version, and all that was committed before it: the `version_id` of a put or delete. It matters
    /// where reads may go to a replica.
    min_version: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListAnswer)]
pub(crate) struct Response {
    /// Sorted by path; a path that is both has both.
    items: Vec<Item>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListItem)]
struct Item {
    path: String,
    r#type: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ListItemType)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Dir,
}

/// The direct children of a directory
#[utoipa::path(post, path = "/v1/list", tag = "memory", request_body = Request,
    responses((status = 200, description = "A page of children.", body = Response), Refusals))]
pub(crate) async fn list(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let agent = AgentId::parse(&request.agent_id)?;
    let prefix = Prefix::parse(&request.prefix)?;
    let limit = page::NAMES.limit(request.limit)?;
    let from = match &request.cursor {
        None => After::Start,
        Some(cursor) => page::place(cursor, |place| after(place, &prefix))?,
    };
    let as_of = past_moment(&app, request.as_of.as_deref()).await?;
    // One child more than fits tells whether there is more.
    let enough = limit + 1;
    let Listed { children, rest } = match as_of {
        None => {
            let (agent, prefix, from) = (&agent, &prefix, &from);
            let read = |pool: PgPool| async move {
                children(&pool, tenant, agent, prefix, from, enough).await
            };
            let seen = request.min_version;
            let children =
                replica::read(app.replica.as_ref(), &app.pool, tenant, seen, read).await?;
            Listed { children, rest: None }
        }
        Some(as_of) => {
            let directory = Directory { tenant, agent: &agent, prefix: &prefix, as_of };
            directory.children(&app.pool, &from, enough).await?
        }
    };
    let mut page = paged(children, limit);
    page.next_cursor = page.next_cursor.or(rest.as_ref().map(cursor));
    Ok(Answer(page))
}

/// At most `limit` items; a child that is both entry and directory gives two, which may lie on two pages.
fn paged(children: Vec<Child>, limit: usize) -> Response {
    let mut items = children.into_iter().flat_map(|child| {
        let file = child.is_entry.then(|| Item { path: child.path.clone(), r#type: Kind::File });
        let dir = child.is_directory.then_some(Item { path: child.path, r#type: Kind::Dir });
        file.into_iter().chain(dir)
    });
    let page: Vec<Item> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    let next_cursor = page.last().filter(|_| more).map(|last| cursor(&last.place()));
    Response { items: page, next_cursor }
}

impl Item {
    /// Where a listing goes on that has this item.
    fn place(&self) -> After {
        match self.r#type {
            Kind::File => After::Entry(self.path.clone()),
            Kind::Dir => After::Subtree(self.path.clone()),
        }
    }
}

fn cursor(place: &After) -> String {
    page::cursor(&match place {
        After::Start => String::new(),
        After::Entry(child) => format!("f{child}"),
        After::Subtree(child) => format!("d{child}"),
        After::Within { path, .. } => format!("w{path}"),
    })
}

/// What a cursor says, unless it is not of a list of `prefix`.
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
        let first = paged(vec![both], 1);
        assert_eq!(first.items[0].r#type, Kind::File);
        let prefix = Prefix::parse("/a").unwrap();
        let next = page::place(&first.next_cursor.unwrap(), |place| after(place, &prefix));
        assert_eq!(next.unwrap(), After::Entry("/a/b".into()));
    }

    #[test]
    fn foreign_cursors_are_refused() {
        let prefix = Prefix::parse("/a").unwrap();
        for text in ["f", "x/a/b", "w/a/b", "w/a//b", "f/b/c", "f/a/b/c", "f/a", "f/ab", "é/a/b"] {
            assert_eq!(after(text, &prefix), None, "{text}");
        }
        let within = After::Within { child: "/a/b".into(), path: "/a/b/c/d".into() };
        assert_eq!(after("w/a/b/c/d", &prefix), Some(within));
        assert!(page::place("%%%", |place| after(place, &prefix)).is_err());
    }
}
