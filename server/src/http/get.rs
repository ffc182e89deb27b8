//! POST /v1/get

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::as_of::past_moment;
use super::error::{ApiError, Code};
use super::extract::{Json, MemoryReader};
use super::{App, splice};
use crate::domain::agent_id::AgentId;
use crate::domain::path::EntryPath;
use crate::domain::{EntryKey, TenantId, rfc3339};
use crate::store::get::{Entry, entry_as_of};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    agent_id: String,
    path: String,
    as_of: Option<String>,
}

pub(super) async fn get(
    State(app): State<App>,
    MemoryReader(tenant): MemoryReader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let key = request.key(tenant)?;
    let path = key.path.clone();
    let entry = match past_moment(&app, request.as_of.as_deref()).await? {
        None => app.reads.ask(key).await?,
        Some(as_of) => entry_as_of(&app.pool, &key, as_of).await?,
    };
    Ok(splice::answer(answer(&path, entry.as_ref())?))
}

impl Request {
    /// The entry that is asked for, by one who can only be shown what is there now.
    pub(super) fn key_of_now(&self, tenant: TenantId) -> Result<EntryKey, ApiError> {
        if self.as_of.is_some() {
            let sentence = "a batch reads what is there now; give as_of to /v1/get";
            return Err(ApiError::new(Code::ValidationError, sentence));
        }
        self.key(tenant)
    }

    /// The entry that is asked for, checked.
    fn key(&self, tenant: TenantId) -> Result<EntryKey, ApiError> {
        Ok(EntryKey {
            tenant,
            path: EntryPath::parse(&self.path)?,
            agent: AgentId::parse(&self.agent_id)?,
        })
    }
}

/// The answer as JSON.
pub(super) fn answer(path: &EntryPath, entry: Option<&Entry>) -> Result<Vec<u8>, ApiError> {
    entry.map_or_else(|| Ok(br#"{"found":false}"#.to_vec()), |entry| found(path, entry))
}

#[derive(Serialize)]
struct Rest<'a> {
    path: &'a str,
    version_id: Uuid,
    created_at: String,
    expires_at: Option<String>,
    tags: &'a [String],
}

fn found(path: &EntryPath, entry: &Entry) -> Result<Vec<u8>, ApiError> {
    let rest = Rest {
        path: path.as_str(),
        version_id: entry.version_id,
        created_at: rfc3339(entry.created_at),
        expires_at: entry.expires_at.map(rfc3339),
        tags: &entry.tags,
    };
    let mut json = Vec::with_capacity(entry.value.len() + 256);
    json.extend_from_slice(br#"{"found":true,"#);
    splice::value(&mut json, &entry.value, &rest)?;
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
        };
        let json = found(&EntryPath::parse("/x").unwrap(), &entry).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"found":true,"value":[1.0,1e2],"path":"/x","version_id":"00000000-0000-0000-0000-000000000000","created_at":"1970-01-01T00:00:00.000000Z","expires_at":null,"tags":["a\"b"]}"#
        );
    }
}
