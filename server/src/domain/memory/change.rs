//! Changes: the operations that clients request on entries, and their outcomes.

use jiff::Timestamp;
use uuid::Uuid;

use super::idempotency::Idempotency;
use super::sha256::Sha256Sum;
use super::tags::Tags;
use super::usage::{VERSION_ROW, WriteQuota};
use super::value::JsonText;
use crate::domain::EntryKey;
use crate::domain::access::api_key::KeyId;
use crate::domain::search::lexical_text::LexicalText;

/// An operation on one entry, with the id that its version will have if it makes one.
#[derive(Debug, Clone)]
pub struct Change {
    /// The entry.
    pub key: EntryKey,
    /// The id of the version that the change makes: made here, so that it can be looked up when the answer was lost.
    pub version_id: Uuid,
    /// The operation.
    pub action: Action,
    /// The expected state of the entry; `None` accepts any.
    pub expected: Option<Expected>,
    /// The idempotency key of the request, if it has one.
    pub idempotency: Option<Idempotency>,
    /// The key that asks for it, where it is a key.
    pub author: Option<KeyId>,
}

impl Change {
    /// A change without conditions.
    pub fn new(key: EntryKey, action: Action) -> Self {
        let version_id = Uuid::now_v7();
        Self { key, version_id, action, expected: None, idempotency: None, author: None }
    }

    /// The id of the key that asks for it.
    pub fn author(&self) -> Option<&str> {
        self.author.as_ref().map(KeyId::as_str)
    }

    /// Bytes that the version takes in storage. The count of what is stored (`store/entries/stored_bytes.rs`) goes by the same
    /// rule.
    pub fn stored_bytes(&self) -> i64 {
        let key = self.key.agent.as_str().len() + self.key.path.as_str().len();
        let tags: usize = match &self.action {
            Action::Put(new) => new.tags.as_slice().iter().map(String::len).sum(),
            Action::Delete | Action::Read => 0,
        };
        VERSION_ROW + (key + tags + self.action.bytes()) as i64
    }
}

/// An operation on an entry.
#[derive(Debug, Clone)]
pub enum Action {
    /// A new version with a value.
    Put(NewValue),
    /// A tombstone, where there is a live value.
    Delete,
    /// A read of the entry, at its place among the changes that it is committed with.
    Read,
}

/// The precondition of a change (optimistic concurrency).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is no live value.
    Absent,
    /// This version is the latest, and live.
    Version(Uuid),
    /// The latest version is live, and its value has this SHA-256.
    Sha256(Sha256Sum),
}

/// The value that a put writes.
#[derive(Debug, Clone)]
pub struct NewValue {
    /// The value.
    pub value: JsonText,
    /// Its tags.
    pub tags: Tags,
    /// 0 to 1.
    pub importance: f32,
    /// The text that full text search finds it by; `None` if it is not searchable.
    pub words: Option<LexicalText>,
    /// Time to live in seconds; `None` is for ever.
    pub ttl_seconds: Option<i32>,
}

/// The outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A version was written, now or when the same request came first; it is committed.
    Written {
        /// The version.
        version_id: Uuid,
        /// When, by the database's clock; grows strictly from version to version of an entry.
        created_at: Timestamp,
    },
    /// A delete found nothing to delete, and nothing was written.
    NothingToDelete,
    /// A read found this live version, or none.
    Read(Option<Uuid>),
    /// The entry is not as the change expected; nothing was written.
    Conflict {
        /// The live version there is.
        current: Option<Uuid>,
    },
    /// The idempotency key belongs to another request; nothing was written.
    KeyReused,
    /// The tenant has used up a quota; nothing was written.
    QuotaExceeded(WriteQuota),
    /// Another change of the same group was refused; nothing was written.
    Undone,
}

impl Outcome {
    /// Whether the change was refused, so that the rest of its group is not applied either.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Written { .. } | Self::NothingToDelete | Self::Read(_) => false,
            Self::Conflict { .. } | Self::KeyReused | Self::QuotaExceeded(_) | Self::Undone => true,
        }
    }
}

impl Action {
    /// Bytes that count against the tenant's usage.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put(new) => new.value.as_str().len(),
            Self::Delete | Self::Read => 0,
        }
    }
}
