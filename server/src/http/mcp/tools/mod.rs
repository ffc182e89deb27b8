//! The tools, one file each, and how they are described.
//!
//! Each argument has one explicit type: models' providers refuse schemas that leave it open.

mod delete;
mod edit;
mod history;
mod list;
mod move_entries;
mod read;
mod search;
mod write;

use futures::future::BoxFuture;
use rmcp::model::{JsonObject, Tool as Described, ToolAnnotations};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) use self::search::about;
use super::server::Server;
use crate::domain::access::scope::Scope;
use crate::http::error::ApiError;

/// What a tool answers: texts, or an error that says what to do.
pub(super) type Answer = Result<Vec<String>, ApiError>;

/// All tools, in the order in which they are listed.
pub(super) const TOOLS: [Tool; 8] = [
    search::TOOL,
    list::TOOL,
    read::TOOL,
    write::TOOL,
    edit::TOOL,
    move_entries::TOOL,
    delete::TOOL,
    history::TOOL,
];

/// A tool.
pub(super) struct Tool {
    /// Its name, for the model and for programs.
    pub(super) name: &'static str,
    /// Its name for people.
    title: &'static str,
    /// What it does, for the model.
    description: &'static str,
    /// What a key must be allowed.
    pub(super) scopes: &'static [Scope],
    /// What it does to memory.
    effect: Effect,
    /// The JSON schemas of its arguments besides `agent_id`.
    properties: fn() -> Value,
    /// Those that are required.
    required: &'static [&'static str],
    /// Calls it.
    pub(super) call: for<'a> fn(&'a Server, &'a JsonObject) -> BoxFuture<'a, Answer>,
}

/// What a tool does to memory, as hints for whoever confirms its calls.
#[derive(Clone, Copy)]
enum Effect {
    /// Nothing.
    Reads,
    /// A repetition comes to the same.
    Sets,
    /// A repetition does something else.
    Changes,
}

impl Tool {
    /// The tool of that name.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        const ALL: &[Tool] = &TOOLS;
        ALL.iter().find(|tool| tool.name == name)
    }

    /// Its description; `is_bound`: the URL names the agent.
    pub(super) fn described(&self, is_bound: bool) -> Described {
        let reads = matches!(self.effect, Effect::Reads);
        let hints = ToolAnnotations::with_title(self.title)
            .read_only(reads)
            .destructive(!reads)
            .idempotent(!matches!(self.effect, Effect::Changes))
            .open_world(false);
        Described::new(self.name, self.description, self.schema(is_bound))
            .with_title(self.title)
            .with_annotations(hints)
    }

    fn schema(&self, is_bound: bool) -> JsonObject {
        let mut properties = (self.properties)();
        let mut required = self.required.to_vec();
        if !is_bound {
            properties["agent_id"] = string("The agent whose memory it is, such as ada.");
            required.insert(0, "agent_id");
        }
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        match schema {
            Value::Object(schema) => schema,
            _ => JsonObject::new(),
        }
    }
}

fn string(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn boolean(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn integer(description: &str, minimum: i64, maximum: i64) -> Value {
    json!({"type": "integer", "minimum": minimum, "maximum": maximum, "description": description})
}

fn strings(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "maxItems": 20, "description": description})
}

fn path() -> Value {
    string("The path of the entry, such as /notes/lunch.")
}

fn as_of() -> Value {
    string(
        "Read memory as it was at this moment (RFC 3339), such as the created_at of a version in memory_history.",
    )
}

fn cursor() -> Value {
    string("The next_cursor of the previous page; leave it out for the first page.")
}

fn min_version() -> Value {
    string(
        "The version_id of a write that the answer must include. Only needed where reads may go to a replica that is behind.",
    )
}

fn if_version() -> Value {
    string(
        "Only if this is still the latest version: the version_id that you read. Otherwise nothing happens, and the error says so.",
    )
}

/// One text with JSON in it.
fn json(answer: &impl Serialize) -> Answer {
    let json = serde_json::to_string(answer).map_err(|_| ApiError::internal())?;
    Ok(vec![json])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_arguments_have_one_type_and_a_description() {
        for tool in &TOOLS {
            for is_bound in [false, true] {
                let schema = Value::Object(tool.schema(is_bound));
                let properties = schema["properties"].as_object().unwrap();
                assert_eq!(properties.contains_key("agent_id"), !is_bound, "{}", tool.name);
                for (name, property) in properties {
                    assert!(property["type"].is_string(), "{}.{name}", tool.name);
                    assert!(property["description"].is_string(), "{}.{name}", tool.name);
                }
                for name in schema["required"].as_array().unwrap() {
                    let name = name.as_str().unwrap();
                    assert!(properties.contains_key(name), "{}.{name}", tool.name);
                }
            }
        }
    }
}
