//! Hashes what a request asks for, by which a repetition under one idempotency key is told from another request.

use sha2::{Digest as _, Sha256};

use super::change::{Action, Change, Expected};
use super::idempotency::{Idempotency, IdempotencyKey};

impl Idempotency {
    /// Of `change`, without its version id. Requests for the same are equal however their JSON is spaced, ordered and
    /// escaped; numbers count as they are written.
    pub fn of(change: &Change, key: IdempotencyKey) -> Self {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        field(change.key.agent.as_str().as_bytes());
        field(change.key.path.as_str().as_bytes());
        match &change.expected {
            None => field(b""),
            Some(Expected::Absent) => field(b"absent"),
            Some(Expected::Version(id)) => field(id.as_bytes()),
        }
        match &change.action {
            Action::Delete => field(b"delete"),
            Action::Read => field(b"read"),
            Action::Put(new) => {
                field(b"put");
                field(new.value.canonical().as_bytes());
                field(&new.importance.to_be_bytes());
                field(&[u8::from(new.words.is_some())]);
                field(&new.ttl_seconds.map_or(Vec::new(), |ttl| ttl.to_be_bytes().to_vec()));
                new.tags.as_slice().iter().for_each(|tag| field(tag.as_bytes()));
            }
        }
        Self { key, request_hash: hash.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::memory::agent_id::AgentId;
    use crate::domain::memory::change::NewValue;
    use crate::domain::memory::idempotency::RequestHash;
    use crate::domain::memory::path::EntryPath;
    use crate::domain::memory::tags::Tags;
    use crate::domain::memory::value::JsonText;
    use crate::domain::{DEFAULT_TENANT, EntryKey};
    use serde_json::value::RawValue;

    fn hash(value: &str, tags: &[&str], expected: Option<Expected>) -> RequestHash {
        let key = EntryKey {
            tenant: DEFAULT_TENANT,
            agent: AgentId::parse("a").unwrap(),
            path: EntryPath::parse("/x").unwrap(),
        };
        let raw = RawValue::from_string(value.to_owned()).unwrap();
        let new = NewValue {
            value: JsonText::normalise(&raw).unwrap(),
            tags: Tags::new(tags.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>().into())
                .unwrap(),
            importance: 0.0,
            words: None,
            ttl_seconds: None,
        };
        let change = Change { expected, ..Change::new(key, Action::Put(new)) };
        Idempotency::of(&change, IdempotencyKey::parse("k").unwrap()).request_hash
    }

    #[test]
    fn the_same_in_other_words_is_the_same() {
        let one = hash(r#"{"a":[1,"é"],"b":null}"#, &["t"], None);
        assert_eq!(one, hash("{ \"b\": null, \"\\u0061\": [1, \"\\u00e9\"] }", &["t"], None));
        assert_ne!(one, hash(r#"{"a":[1.0,"é"],"b":null}"#, &["t"], None));
        assert_ne!(one, hash(r#"{"a":["é",1],"b":null}"#, &["t"], None));
        assert_ne!(one, hash(r#"{"a":[1,"é"],"b":null}"#, &["t", "u"], None));
        assert_ne!(one, hash(r#"{"a":[1,"é"],"b":null}"#, &["t"], Some(Expected::Absent)));
    }
}
