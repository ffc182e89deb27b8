//! A write: what a client asks to be done to one entry.

use jiff::Timestamp;
use uuid::Uuid;

use super::EntryKey;
use super::tags::Tags;
use super::value::JsonText;

/// A put or a delete of one entry, with the id that its version will have.
#[derive(Debug, Clone)]
pub struct Change {
    /// The entry.
    pub key: EntryKey,
    /// The id of the version that the change makes: made here, so that it can be looked up when the answer was lost.
    pub version_id: Uuid,
    /// What is done.
    pub action: Action,
}

/// What is done to an entry.
#[derive(Debug, Clone)]
pub enum Action {
    /// A new version with a value.
    Put(NewValue),
    /// A tombstone, where there is a live value.
    Delete,
}

/// What a put writes.
#[derive(Debug, Clone)]
pub struct NewValue {
    /// The value.
    pub value: JsonText,
    /// Its tags.
    pub tags: Tags,
    /// 0 to 1.
    pub importance: f32,
    /// Whether search may find it.
    pub searchable: bool,
    /// How long it lives, in seconds; `None` is for ever.
    pub ttl_seconds: Option<i32>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A version was written; it is committed.
    Written {
        /// When, by the database's clock; grows strictly from version to version of an entry.
        created_at: Timestamp,
    },
    /// A delete found nothing to delete, and nothing was written.
    NothingToDelete,
    /// The tenant has written as often today as it may.
    QuotaExceeded,
}

impl Action {
    /// Bytes that count against the tenant's usage.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put(new) => new.value.as_str().len(),
            Self::Delete => 0,
        }
    }
}
