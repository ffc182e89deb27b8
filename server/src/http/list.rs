//! POST /v1/list

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{Json, MemoryReader};
use super::{App, page};
use crate::domain::agent_id::AgentId;
use crate::domain::path::Prefix;
use crate::store::list::{After, Child, children};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    prefix: String,
    limit: Option<i32>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Response {
    items: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Item {
    path: String,
    r#type: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Dir,
}

pub(super) async fn list(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Answer<Response>, ApiError> {
    let agent = AgentId::parse(&request.agent_id)?;
    let prefix = Prefix::parse(&request.prefix)?;
    let limit = page::limit(request.limit)?;
    let from = match &request.cursor {
        None => After::Start,
        Some(cursor) => page::place(cursor, |place| after(place, &prefix))?,
    };
    // One child more than fits tells whether there is more.
    let found = children(&app.pool, tenant, &agent, &prefix, &from, limit + 1).await?;
    Ok(Answer(paged(found, usize::try_from(limit).unwrap_or_default())))
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
    let next_cursor = page.last().filter(|_| more).map(cursor);
    Response { items: page, next_cursor }
}

fn cursor(last: &Item) -> String {
    let kind = match last.r#type {
        Kind::File => 'f',
        Kind::Dir => 'd',
    };
    page::cursor(&format!("{kind}{}", last.path))
}

/// What a cursor says, unless it is not of a list of `prefix`.
fn after(place: &str, prefix: &Prefix) -> Option<After> {
    let path = place.get(1..)?;
    let child = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
    if child.is_empty() || child.contains(['/', '\0']) {
        return None;
    }
    match place.as_bytes()[0] {
        b'f' => Some(After::Entry(path.to_owned())),
        b'd' => Some(After::Subtree(path.to_owned())),
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
        for text in ["", "f", "x/a/b", "f/b/c", "f/a/b/c", "f/a", "f/ab", "é/a/b"] {
            assert_eq!(after(text, &prefix), None, "{text}");
        }
        assert!(page::place("%%%", |place| after(place, &prefix)).is_err());
    }
}
