//! POST /v1/list

use axum::Json as Answer;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::App;
use super::error::{ApiError, Code};
use super::extract::{Json, MemoryReader};
use crate::domain::agent_id::AgentId;
use crate::domain::path::Prefix;
use crate::store::list::{After, Child, children};

const MAX_LIMIT: i32 = 1000;

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
    let limit = request.limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let sentence = format!("limit is {limit}; it must be between 1 and {MAX_LIMIT}");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let after = match &request.cursor {
        None => After::Start,
        Some(cursor) => decode(cursor, &prefix)?,
    };
    // One child more than fits tells whether there is more.
    let found = children(&app.pool, tenant, &agent, &prefix, &after, limit + 1).await?;
    Ok(Answer(page(found, usize::try_from(limit).unwrap_or_default())))
}

/// At most `limit` items; a child that is both entry and directory gives two, which may lie on two pages.
fn page(children: Vec<Child>, limit: usize) -> Response {
    let mut items = children.into_iter().flat_map(|child| {
        let file = child.is_entry.then(|| Item { path: child.path.clone(), r#type: Kind::File });
        let dir = child.is_directory.then_some(Item { path: child.path, r#type: Kind::Dir });
        file.into_iter().chain(dir)
    });
    let page: Vec<Item> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    let next_cursor = page.last().filter(|_| more).map(encode);
    Response { items: page, next_cursor }
}

fn encode(last: &Item) -> String {
    let kind = match last.r#type {
        Kind::File => 'f',
        Kind::Dir => 'd',
    };
    URL_SAFE_NO_PAD.encode(format!("{kind}{}", last.path))
}

fn decode(cursor: &str, prefix: &Prefix) -> Result<After, ApiError> {
    let after = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| {
            let path = text.get(1..)?;
            let child = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
            if child.is_empty() || child.contains(['/', '\0']) {
                return None;
            }
            match text.as_bytes()[0] {
                b'f' => Some(After::Entry(path.to_owned())),
                b'd' => Some(After::Subtree(path.to_owned())),
                _ => None,
            }
        });
    after.ok_or_else(|| {
        ApiError::new(
            Code::ValidationError,
            "cursor is not one that a list of this prefix has given; start without it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_both_kinds_may_be_cut_in_the_middle() {
        let both = Child { path: "/a/b".into(), is_entry: true, is_directory: true };
        let first = page(vec![both], 1);
        assert_eq!(first.items[0].r#type, Kind::File);
        let prefix = Prefix::parse("/a").unwrap();
        let after = decode(&first.next_cursor.unwrap(), &prefix).unwrap();
        assert_eq!(after, After::Entry("/a/b".into()));
    }

    #[test]
    fn foreign_cursors_are_refused() {
        let prefix = Prefix::parse("/a").unwrap();
        for text in ["", "f", "x/a/b", "f/b/c", "f/a/b/c", "f/a", "f/ab", "é/a/b"] {
            assert!(decode(&URL_SAFE_NO_PAD.encode(text), &prefix).is_err(), "{text}");
        }
        assert!(decode("%%%", &prefix).is_err());
    }
}
