//! POST /v1/get

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::memory::path::EntryPath;
use crate::domain::memory::sha256::Sha256Sum;
use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, MemoryReader};
use crate::http::openapi::ReadRefusals;
use crate::http::response::raw_json;
use crate::memory::get::{GetAnswer, GetRequest};
use crate::runtime::cpu::compute;
use crate::store::entries::get::Entry;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = GetRequest)]
pub(crate) struct Request {
    /// The name of the agent.
    #[schema(min_length = 1, max_length = 128, example = "ada")]
    agent_id: String,
    /// The path of the entry. Repeated slashes collapse, and a trailing slash is dropped.
    #[schema(min_length = 2, pattern = "^/", example = "/notes/lunch")]
    path: String,
    /// Read the memory as it was at this time (RFC 3339).
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// Read a state that includes this version and all that was committed before it: the `version_id` of a put or
    /// delete. It matters if reads may go to a replica.
    min_version: Option<Uuid>,
}

/// An entry. If it does not exist, `found` is false and all other fields are absent.
#[derive(Debug, ToSchema)]
#[schema(as = GetAnswer)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
pub(crate) struct Answer {
    found: bool,
    path: Option<String>,
    /// The value, byte for byte as it was put.
    #[schema(required = false)]
    value: serde_json::Value,
    version_id: Option<Uuid>,
    /// When the version was written.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// When it expires; null if never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    tags: Option<Vec<String>>,
    importance: Option<f32>,
    searchable: Option<bool>,
    /// The bytes of the value as JSON text.
    size: Option<usize>,
    /// The SHA-256 of the value as JSON text, in hexadecimal digits.
    sha256: Option<String>,
}

/// Get the value at a path
#[utoipa::path(post, path = "/v1/get", operation_id = "get_entry", tag = "memory", request_body = Request,
    responses((status = 200, description = "The entry, or `found: false`.", body = Answer), ReadRefusals))]
pub(crate) async fn get(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let found = app.memory.get(tenant, request.into()).await?;
    let bytes = found.entry.as_ref().map_or(0, |entry| entry.value.len());
    let json = compute(Some(tenant), bytes, || answer(&found)).await?;
    Ok(raw_json::answer(json, found.reserved))
}

impl From<Request> for GetRequest {
    fn from(Request { agent_id, path, as_of, min_version }: Request) -> Self {
        Self { agent_id, path, as_of, min_version }
    }
}

/// The answer as JSON.
pub(crate) fn answer(GetAnswer { path, entry, .. }: &GetAnswer) -> Result<Vec<u8>, ApiError> {
    entry.as_ref().map_or_else(|| Ok(br#"{"found":false}"#.to_vec()), |entry| found(path, entry))
}

#[derive(Serialize)]
struct Rest<'a> {
    path: &'a str,
    version_id: Uuid,
    created_at: String,
    expires_at: Option<String>,
    tags: &'a [String],
    importance: f32,
    searchable: bool,
    size: usize,
    sha256: Sha256Sum,
}

fn found(path: &EntryPath, entry: &Entry) -> Result<Vec<u8>, ApiError> {
    let rest = Rest {
        path: path.as_str(),
        version_id: entry.version_id,
        created_at: rfc3339(entry.created_at),
        expires_at: entry.expires_at.map(rfc3339),
        tags: &entry.tags,
        importance: entry.importance,
        searchable: entry.searchable,
        size: entry.value.len(),
        sha256: Sha256Sum::of(&entry.value),
    };
    let mut json = Vec::with_capacity(entry.value.len() + 384);
    json.extend_from_slice(br#"{"found":true,"#);
    raw_json::value(&mut json, &entry.value, &rest)?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_spliced_in_byte_for_byte() {
        let entry = Entry {
            value: "[1.0,1e2]".into(),
            version_id: Uuid::nil(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            expires_at: None,
            tags: vec!["a\"b".into()],
            importance: 0.1,
            searchable: true,
        };
        let json = found(&EntryPath::parse("/x").unwrap(), &entry).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"found":true,"value":[1.0,1e2],"path":"/x","version_id":"00000000-0000-0000-0000-000000000000","created_at":"1970-01-01T00:00:00.000000Z","expires_at":null,"tags":["a\"b"],"importance":0.1,"searchable":true,"size":9,"sha256":"8cc703472eb76e525972b704682c687ff338dd271d164198702ac9c4b446eb94"}"#
        );
    }
}
