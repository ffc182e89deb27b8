//! A line: an entry, as an object with the fields of a put.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client;
use crate::domain::DEFAULT_TENANT;
use crate::domain::json_error;
use crate::domain::json_object::{self, Parsed, unknown_fields};
use crate::domain::memory::path::{EntryPath, Prefix};
use crate::domain::memory::tags::TagList;
use crate::memory::batch::Operation;
use crate::memory::put::PutRequest;

/// An entry, as it is written in a file.
#[derive(Debug, Deserialize)]
struct Line {
    path: String,
    value: Box<RawValue>,
    #[serde(default)]
    tags: TagList,
    #[serde(default)]
    importance: f32,
    #[serde(default)]
    searchable: bool,
    ttl_seconds: Option<i64>,
    /// As an export writes it.
    expires_at: Option<String>,
}

/// Where entries go.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) agent: String,
    /// What they are put below.
    pub(super) prefix: Prefix,
}

/// An operation of a batch.
#[derive(Serialize)]
struct Put<'a> {
    op: &'static str,
    agent_id: &'a str,
    path: &'a str,
    value: &'a RawValue,
    tags: &'a [String],
    importance: f32,
    searchable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<i64>,
    idempotency_key: &'a str,
}

/// What is to be done for a line.
#[derive(Debug, PartialEq)]
pub(super) enum Todo {
    /// Nothing: the entry has expired.
    Expired,
    /// Nothing: the line is longer than any request.
    TooLong,
    /// This operation of a batch.
    Put {
        path: String,
        json: String,
        /// Whether it is another one a moment later, since it has less time to live.
        is_of_now: bool,
    },
}

impl Destination {
    /// What is to be done for a line, or what is wrong with it.
    pub(super) fn todo(&self, line: &[u8], key: &str, now: Timestamp) -> Result<Todo, String> {
        let line = parse(line)?;
        let own = EntryPath::parse(&line.path).map_err(|error| error.to_string())?;
        let path = format!("{}{}", self.prefix.as_str(), own.as_str());
        let expires_at = line.expires_at.as_deref().map(moment).transpose()?;
        let ttl_seconds = match (line.ttl_seconds, expires_at) {
            (Some(_), Some(_)) => {
                return Err("it has both ttl_seconds and expires_at; give one of them".to_owned());
            }
            (_, Some(at)) if at <= now => return Ok(Todo::Expired),
            (ttl, None) => ttl,
            (None, Some(at)) => Some(seconds_until(at, now)),
        };
        let tags = line.tags.clone().all().unwrap_or_default();
        let put = Put {
            op: "put",
            agent_id: &self.agent,
            path: &path,
            value: &line.value,
            tags: &tags,
            importance: line.importance,
            searchable: line.searchable,
            ttl_seconds,
            idempotency_key: key,
        };
        let json = client::body(&put);
        // As the server would, so that what it would refuse is known before anything is sent.
        let request = PutRequest {
            agent_id: self.agent.clone(),
            path: path.clone(),
            value: line.value,
            ttl_seconds,
            tags: line.tags,
            importance: line.importance,
            searchable: false,
            if_version: None,
        };
        Operation::put(DEFAULT_TENANT, request).map_err(|error| error.to_string())?;
        Ok(Todo::Put { path, json, is_of_now: expires_at.is_some() })
    }
}

fn parse(line: &[u8]) -> Result<Line, String> {
    let Parsed { object, unknown } = json_object::parse::<Line>(line, &[]);
    if !unknown.is_empty() {
        return Err(unknown_fields::<Line>(&unknown, &[]));
    }
    object.map_err(|error| {
        // Every line is the first one of its own text.
        json_error::sentence(&error).replace(" at line 1 column ", " at column ")
    })
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!("expires_at is {text:?}; it must be a moment with its offset, such as 2026-01-31T12:00:00Z (RFC 3339)")
    })
}

/// Whole seconds, so that it expires no earlier.
fn seconds_until(at: Timestamp, now: Timestamp) -> i64 {
    let left = at.duration_since(now);
    left.as_secs() + i64::from(left.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn todo(line: &str) -> Result<Todo, String> {
        let prefix = Prefix::parse("/old/").unwrap();
        let to = Destination { agent: "ada".to_owned(), prefix };
        to.todo(line.as_bytes(), "key", "2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_line_becomes_a_put_below_the_prefix_with_its_value_as_it_is() {
        let line = r#"{"path": "/notes//a", "value": {"b": 1.0, "a": 1e2}, "tags": ["x"], "importance": 0.1, "ttl_seconds": 9}"#;
        let Ok(Todo::Put { path, json, is_of_now: false }) = todo(line) else { panic!("{line}") };
        assert_eq!(path, "/old/notes/a");
        assert!(json.contains(r#""value":{"b": 1.0, "a": 1e2}"#), "{json}");
        let mut put: Value = serde_json::from_str(&json).unwrap();
        put["value"].take();
        let expected = json!({
            "op": "put", "agent_id": "ada", "path": "/old/notes/a", "value": null, "tags": ["x"],
            "importance": 0.1, "searchable": false, "ttl_seconds": 9, "idempotency_key": "key",
        });
        assert_eq!(put, expected);
    }

    #[test]
    fn what_expires_has_the_rest_of_its_time_and_what_has_expired_is_left_out() {
        let of = |at: &str| todo(&format!(r#"{{"path":"/a","value":1,"expires_at":"{at}"}}"#));
        assert_eq!(of("2026-01-01T00:00:00Z"), Ok(Todo::Expired));
        let Ok(Todo::Put { json, is_of_now: true, .. }) = of("2026-01-01T00:01:00.5Z") else {
            panic!()
        };
        assert!(json.contains(r#""ttl_seconds":61,"#), "{json}");
        assert!(of("tomorrow").unwrap_err().contains("such as 2026-01-31T12:00:00Z"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        for (line, said) in [
            (r#"{"path":"/a","value":1"#, "it ends within an object at column 22"),
            (r#"{"path":"/a"}"#, "missing field `value`"),
            ("[1]", "expected an object, found a list"),
            (r#"{"path":"notes","value":1}"#, "path must start with '/', got \"notes\""),
            (
                r#"{"path":"/a","value":1,"tag":["x"]}"#,
                "the field `tag` is not known; did you mean `tags`?",
            ),
            (
                r#"{"path":"/a","value":1,"importance":2}"#,
                "importance is 2; it must be between 0 and 1",
            ),
            (r#"{"path":"/a","value":"\u0000"}"#, "which cannot be stored"),
            (r#"{"path":"/a","value":1,"ttl_seconds":0}"#, "ttl_seconds is 0; it must be"),
            (
                r#"{"path":"/a","value":1,"ttl_seconds":1,"expires_at":"2027-01-01T00:00:00Z"}"#,
                "give one of them",
            ),
        ] {
            let error = todo(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
        let tags = vec!["x"; 21];
        let line = json!({"path": "/a", "value": 1, "tags": tags}).to_string();
        assert!(todo(&line).unwrap_err().contains("tags has 21 items"));
    }
}
