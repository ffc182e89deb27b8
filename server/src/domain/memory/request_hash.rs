//! Hashes what a request asks for, by which a repetition under one idempotency key is told from another request.

use sha2::{Digest as _, Sha256};

use super::change::{Action, Change, Expected};
use super::idempotency::{Idempotency, IdempotencyKey};
use super::subtree::Destination;
use crate::domain::EntryKey;

impl Idempotency {
    /// Of `change`, without its version id. Requests for the same are equal however their JSON is spaced, ordered and
    /// escaped; numbers count as they are written.
    pub fn of(change: &Change, key: IdempotencyKey) -> Self {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| add(&mut hash, bytes);
        field(change.key.agent.as_str().as_bytes());
        field(change.key.path.as_str().as_bytes());
        match &change.expected {
            None => field(b""),
            Some(Expected::Absent) => field(b"absent"),
            Some(Expected::Version(id)) => field(id.as_bytes()),
            Some(Expected::Sha256(sum)) => field(sum.as_bytes()),
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

    /// Of a move of the subtree at `root`, or of its delete, which has no destination.
    pub fn of_subtree(root: &EntryKey, to: Option<&Destination>, key: IdempotencyKey) -> Self {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| add(&mut hash, bytes);
        field(root.agent.as_str().as_bytes());
        field(root.path.as_str().as_bytes());
        match to {
            None => field(b"delete subtree"),
            Some(destination) => {
                field(b"move");
                field(destination.to().as_str().as_bytes());
                field(&[u8::from(destination.overwrite())]);
            }
        }
        Self { key, request_hash: hash.finalize().into() }
    }
}

/// Adds a field, with its length, so that no two series of fields look alike.
fn add(hash: &mut Sha256, field: &[u8]) {
    hash.update((field.len() as u64).to_be_bytes());
    hash.update(field);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DEFAULT_TENANT;
    use crate::domain::memory::agent_id::AgentId;
    use crate::domain::memory::change::NewValue;
    use crate::domain::memory::idempotency::RequestHash;
    use crate::domain::memory::path::EntryPath;
    use crate::domain::memory::tags::Tags;
    use crate::domain::memory::value::JsonText;
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

    #[test]
    fn each_part_of_a_move_counts() {
        let of = |from: &str, to: Option<(&str, bool)>| {
            let path = EntryPath::parse(from).unwrap();
            let to = to.map(|(to, overwrite)| {
                Destination::new(path.clone(), EntryPath::parse(to).unwrap(), overwrite).unwrap()
            });
            let root =
                EntryKey { tenant: DEFAULT_TENANT, agent: AgentId::parse("a").unwrap(), path };
            let key = IdempotencyKey::parse("k").unwrap();
            Idempotency::of_subtree(&root, to.as_ref(), key).request_hash
        };
        let one = of("/a", Some(("/b", false)));
        assert_eq!(one, of("//a/", Some(("/b/", false))));
        for other in [
            ("/a", Some(("/b", true))),
            ("/a", Some(("/c", false))),
            ("/c", Some(("/b", false))),
            ("/a", None),
        ] {
            assert_ne!(one, of(other.0, other.1), "{other:?}");
        }
    }
}
