//! `memory_write`: a value at a path.

use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::json as schema;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::super::server::{Server, invalid};
use super::{Answer, Effect, Tool, boolean, if_version, integer, json, path, string, strings};
use crate::domain::access::scope::Scope;
use crate::domain::json_error;
use crate::domain::memory::change::Expected;
use crate::domain::memory::tags::TagList;
use crate::domain::rfc3339;
use crate::http::error::ApiError;
use crate::memory::NewVersion;
use crate::memory::put::PutRequest;
use crate::runtime::cpu::compute;

pub(super) const TOOL: Tool = Tool {
    name: "memory_write",
    title: "Write an entry",
    description: "Write an entry: a text, or any other value as JSON. It replaces what is at the path, tags included; the earlier versions stay in \
                  memory_history. To change a part of a text use memory_edit.",
    scopes: &[Scope::MemoryWrite],
    effect: Effect::Sets,
    properties: || {
        schema!({
            "path": path(),
            "text": string("The value, if it is a text. Give either text or json."),
            "json": string("The value as JSON text, if it is no text, such as {\"done\": true} or [1, 2]. Give either text or json."),
            "tags": strings("At most 20 tags of at most 64 characters. Defaults to none."),
            "searchable": boolean("Whether memory_search may find it. Defaults to true."),
            "importance": {
                "type": "number", "minimum": 0, "maximum": 1,
                "description": "From 0 to 1, kept with the value. Defaults to 0.",
            },
            "ttl_seconds": integer("Seconds until the value expires. Defaults to never.", 1, i32::MAX.into()),
            "if_version": if_version(),
            "create_only": boolean("Only if there is no entry at the path yet. Defaults to false."),
        })
    },
    required: &["path"],
    call: |server, arguments| Box::pin(call(server, arguments)),
};

/// Models send null for what they leave out.
#[derive(Debug, Deserialize)]
struct Arguments {
    agent_id: Option<String>,
    path: String,
    text: Option<String>,
    json: Option<String>,
    tags: Option<TagList>,
    searchable: Option<bool>,
    importance: Option<f32>,
    ttl_seconds: Option<i64>,
    if_version: Option<Uuid>,
    create_only: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Written {
    version_id: Uuid,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<usize>,
}

async fn call(server: &Server, arguments: &JsonObject) -> Answer {
    let by = server.may_write()?;
    let reserved = server.release();
    let arguments: Arguments = server.arguments(arguments)?;
    let bytes = [&arguments.text, &arguments.json].into_iter().flatten().map(String::len).sum();
    let (text, json_text) = (arguments.text, arguments.json);
    let value = compute(Some(by.tenant), bytes, || value(text.as_deref(), json_text.as_deref()));
    let put = PutRequest {
        agent_id: server.agent(arguments.agent_id)?,
        path: arguments.path,
        value: value.await?,
        ttl_seconds: arguments.ttl_seconds,
        tags: arguments.tags.unwrap_or_default(),
        importance: arguments.importance.unwrap_or_default(),
        searchable: arguments.searchable.unwrap_or(true),
        if_version: expected(arguments.if_version, arguments.create_only.unwrap_or_default())?,
    };
    let version = server.app.memory.put(by, put, None, reserved).await?;
    json(&Written::of(version, None))
}

/// The JSON text of what is written, with its numbers as they are.
fn value(text: Option<&str>, json: Option<&str>) -> Result<Box<RawValue>, ApiError> {
    match (text, json) {
        (Some(text), None) => to_raw_value(text).map_err(|_| ApiError::internal()),
        (None, Some(json)) => serde_json::from_str(json).map_err(|error| {
            let why = json_error::sentence(&error);
            invalid(format!("json is not valid JSON: {why}; to store it as it is, give it as text"))
        }),
        _ => Err(invalid(
            "give either text or json: text for a text, json for any other value".to_owned(),
        )),
    }
}

fn expected(version: Option<Uuid>, create_only: bool) -> Result<Option<Expected>, ApiError> {
    match (version, create_only) {
        (Some(_), true) => {
            Err(invalid("create_only and if_version exclude each other; give one".to_owned()))
        }
        (None, true) => Ok(Some(Expected::Absent)),
        (version, false) => Ok(version.map(Expected::Version)),
    }
}

impl Written {
    /// That of a new version, in which an edit has replaced so many occurrences.
    pub(super) fn of(version: NewVersion, replaced: Option<usize>) -> Self {
        Self { version_id: version.id, created_at: rfc3339(version.created_at), replaced }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_text_or_json_with_its_numbers_as_they_are() {
        let written = |text, json| value(text, json).map(|value| value.get().to_owned());
        assert_eq!(written(Some("a\"\n"), None).unwrap(), r#""a\"\n""#);
        assert_eq!(
            written(None, Some("[12345678901234567890, 1.0]")).unwrap(),
            "[12345678901234567890, 1.0]"
        );
        for wrong in [(None, None), (Some("a"), Some("1")), (None, Some("{a}"))] {
            assert!(written(wrong.0, wrong.1).is_err(), "{wrong:?}");
        }
    }
}
