//! Puts a value at a path.

use serde_json::value::RawValue;

use super::write::once;
use super::{Memory, MemoryError, NewVersion, entry_key};
use crate::domain::memory::by::By;
use crate::domain::memory::change::{Action, Change, Expected, NewValue};
use crate::domain::memory::idempotency::IdempotencyKey;
use crate::domain::memory::tags::{TagList, Tags};
use crate::domain::memory::value::JsonText;
use crate::domain::search::lexical_text::LexicalText;
use crate::runtime::byte_budget::Reservation;
use crate::runtime::cpu::compute;

/// An unvalidated put.
#[derive(Debug)]
pub struct PutRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// Any JSON.
    pub value: Box<RawValue>,
    /// Time to live in seconds; `None` is for ever.
    pub ttl_seconds: Option<i64>,
    /// Its tags.
    pub tags: TagList,
    /// From 0 to 1.
    pub importance: f32,
    /// Whether search may find it.
    pub searchable: bool,
    /// The precondition; `None` accepts any state.
    pub if_version: Option<Expected>,
}

impl Memory {
    /// Puts a value and returns its version. With an idempotency key, a repetition writes nothing and gets the same answer.
    /// `reserved` are the request's bytes of the budget.
    pub async fn put(
        &self,
        by: impl Into<By>,
        request: PutRequest,
        key: Option<IdempotencyKey>,
        reserved: Reservation,
    ) -> Result<NewVersion, MemoryError> {
        let by = by.into();
        let bytes = request.value.get().len();
        let change = || Ok::<_, MemoryError>(once(request.change(by)?, key));
        let change = compute(Some(by.tenant), bytes, change).await?;
        NewVersion::of_put(self.write(change, reserved).await?)
    }
}

impl PutRequest {
    /// Validates the request.
    pub(super) fn change(self, by: By) -> Result<Change, MemoryError> {
        let key = entry_key(by.tenant, &self.agent_id, &self.path)?;
        let value = JsonText::normalise(&self.value)?;
        let new = NewValue {
            words: self.searchable.then(|| LexicalText::of_value(&value)),
            value,
            tags: Tags::new(self.tags)?,
            importance: importance(self.importance)?,
            ttl_seconds: self.ttl_seconds.map(ttl).transpose()?,
        };
        let change = Change::new(key, Action::Put(new));
        Ok(Change { expected: self.if_version, author: by.key, ..change })
    }
}

fn importance(given: f32) -> Result<f32, MemoryError> {
    let is_one = (0.0..=1.0).contains(&given);
    is_one.then_some(given).ok_or(MemoryError::Importance(given))
}

pub(super) fn ttl(seconds: i64) -> Result<i32, MemoryError> {
    i32::try_from(seconds).ok().filter(|s| *s > 0).ok_or(MemoryError::TtlSeconds(seconds))
}
