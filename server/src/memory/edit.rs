//! Replaces a part of a text, whoever edits it at the same time.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::put::PutRequest;
use super::{Memory, MemoryError, NewVersion, entry_key};
use crate::domain::memory::by::By;
use crate::domain::memory::change::Expected;
use crate::group_commit::BatchError;
use crate::runtime::cpu::compute;
use crate::store::entries::get::Entry;

/// How often an edit is tried. Each time that it fails, another write to the entry has succeeded.
const TRIES: usize = 100;
/// Most lines that are named where a text occurs more than once.
const MAX_LINES: usize = 10;

/// An unvalidated edit of an entry whose value is a text.
#[derive(Debug)]
pub struct EditRequest {
    /// The agent whose memory it is.
    pub agent_id: String,
    /// Where.
    pub path: String,
    /// What is replaced.
    pub old_text: String,
    /// What takes its place.
    pub new_text: String,
    /// Whether all occurrences are replaced; otherwise there must be exactly one.
    pub replace_all: bool,
}

/// A text that was edited.
#[derive(Debug)]
pub struct Edited {
    /// The new version.
    pub version: NewVersion,
    /// How many occurrences were replaced.
    pub replaced: usize,
}

/// Why a text is not edited. Nothing was written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    /// There is nothing to find.
    #[error("old_text is empty; give the exact text that is to be replaced")]
    NothingToFind,
    /// It would change nothing.
    #[error("old_text and new_text are the same, which would change nothing")]
    NothingToChange,
    /// There is no live entry.
    #[error("there is no entry at {0}; list the directory to see what there is")]
    NoEntry(String),
    /// The value is something else than a text.
    #[error("the value is no text but other JSON; read it, and write the whole value anew")]
    NoText,
    /// The text does not occur.
    #[error(
        "old_text does not occur in the text; read the entry, and copy the passage exactly, white space included"
    )]
    NotFound,
    /// It occurs more than once.
    #[error(
        "old_text occurs {count} times, in the lines {}; give more of the text around the one that you mean, or set replace_all",
        listed(.lines)
    )]
    NotUnique {
        /// How often.
        count: usize,
        /// The lines of the first occurrences, from 1.
        lines: Vec<usize>,
    },
    /// The new value would be larger than a put may send.
    #[error("the text would become larger than {} KiB; split it into several entries", .0 >> 10)]
    TooLarge(usize),
}

impl Memory {
    /// Replaces a part of a text. Concurrent edits of it follow on one another: none is lost. Tags and all else stay as they are.
    pub async fn edit(
        &self,
        by: impl Into<By>,
        request: EditRequest,
    ) -> Result<Edited, MemoryError> {
        let by = by.into();
        let tenant = by.tenant;
        let key = entry_key(tenant, &request.agent_id, &request.path)?;
        request.check()?;
        for _ in 0..TRIES {
            // A replica may be behind, and what is written follows on the latest version.
            let found = self.get_by(&self.reads, key.clone()).await?;
            let found = found.ok_or_else(|| EditError::NoEntry(key.path.as_str().to_owned()))?;
            let bytes = found.entry.value.len();
            // The text before and after, and the value that is written.
            let reserved =
                self.reserve(tenant, 3 * (bytes + request.most_added(self.largest_value))).await?;
            let edit = || edited(&found.entry.value, &request, self.largest_value);
            let (value, replaced) = compute(Some(tenant), bytes, edit).await?;
            let put = request.put(found.entry, value);
            match self.put(by, put, None, reserved).await {
                Err(MemoryError::Conflict { .. }) => {}
                version => return Ok(Edited { version: version?, replaced }),
            }
        }
        Err(BatchError::Busy.into())
    }
}

impl EditRequest {
    fn check(&self) -> Result<(), EditError> {
        if self.old_text.is_empty() {
            return Err(EditError::NothingToFind);
        }
        if self.old_text == self.new_text {
            return Err(EditError::NothingToChange);
        }
        Ok(())
    }

    /// Most bytes that the text may grow by.
    fn most_added(&self, largest: usize) -> usize {
        if self.replace_all { largest } else { self.new_text.len() }
    }

    /// The put of an edited value in the place of `entry`.
    fn put(&self, entry: Entry, value: Box<RawValue>) -> PutRequest {
        PutRequest {
            agent_id: self.agent_id.clone(),
            path: self.path.clone(),
            value,
            ttl_seconds: entry.expires_at.map(seconds_until),
            tags: entry.tags.into(),
            importance: entry.importance,
            searchable: entry.searchable,
            if_version: Some(Expected::Version(entry.version_id)),
        }
    }
}

/// The JSON text of a value in which the occurrences of the old text are replaced, of at most `largest` bytes, and how many there
/// were.
fn edited(
    value: &str,
    request: &EditRequest,
    largest: usize,
) -> Result<(Box<RawValue>, usize), EditError> {
    let EditRequest { old_text: old, new_text: new, .. } = request;
    let text: String = serde_json::from_str(value).map_err(|_| EditError::NoText)?;
    let count = text.matches(old.as_str()).count();
    match count {
        0 => return Err(EditError::NotFound),
        1 => {}
        _ if request.replace_all => {}
        _ => return Err(EditError::NotUnique { count, lines: lines(&text, old) }),
    }
    // Known before there is such a text.
    let grown = text.len() - count * old.len() + count * new.len();
    if grown > largest {
        return Err(EditError::TooLarge(largest));
    }
    let json = serde_json::value::to_raw_value(&text.replace(old.as_str(), new));
    let json = json.map_err(|_| EditError::NoText)?;
    if json.get().len() > largest {
        return Err(EditError::TooLarge(largest));
    }
    Ok((json, count))
}

/// The lines in which the first occurrences begin.
fn lines(text: &str, old: &str) -> Vec<usize> {
    let found = text.match_indices(old).take(MAX_LINES);
    found.map(|(at, _)| 1 + text[..at].matches('\n').count()).collect()
}

fn listed(lines: &[usize]) -> String {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join(", ")
}

/// Whole seconds until then, at least one: what has just expired is gone a moment later.
fn seconds_until(then: Timestamp) -> i64 {
    let rest = then.as_millisecond() - Timestamp::now().as_millisecond();
    (rest.max(1) + 999) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: usize = 1000;

    fn edit(value: &str, old: &str, new: &str, replace_all: bool) -> Result<String, EditError> {
        let request = EditRequest {
            agent_id: "ada".into(),
            path: "/a".into(),
            old_text: old.into(),
            new_text: new.into(),
            replace_all,
        };
        request.check()?;
        edited(value, &request, LARGEST).map(|(value, count)| format!("{count} {}", value.get()))
    }

    #[test]
    fn one_occurrence_is_replaced_or_all_where_that_is_meant() {
        assert_eq!(edit(r#""a\nb""#, "b", "\"c\"", false).unwrap(), r#"1 "a\n\"c\"""#);
        assert_eq!(edit(r#""aXbX""#, "X", "", true).unwrap(), r#"2 "ab""#);
        let lines = vec![1, 3];
        let twice = EditError::NotUnique { count: 2, lines };
        assert_eq!(edit(r#""X\nb\n X""#, "X", "Y", false), Err(twice));
    }

    #[test]
    fn what_cannot_be_edited_is_said() {
        assert_eq!(edit(r#""a""#, "A", "b", false), Err(EditError::NotFound));
        assert_eq!(edit(r#""a""#, "", "b", false), Err(EditError::NothingToFind));
        assert_eq!(edit(r#""a""#, "a", "a", false), Err(EditError::NothingToChange));
        assert_eq!(edit(r#"{"a":"a"}"#, "a", "b", false), Err(EditError::NoText));
        let much = "x".repeat(LARGEST / 2);
        assert_eq!(edit(r#""aaa""#, "a", &much, true), Err(EditError::TooLarge(LARGEST)));
        // Control characters take six bytes each as JSON.
        let controls = "\u{1}".repeat(LARGEST / 2);
        assert_eq!(edit(r#""a""#, "a", &controls, false), Err(EditError::TooLarge(LARGEST)));
    }

    #[test]
    fn what_expires_keeps_its_moment_to_the_second() {
        let then = Timestamp::now() + jiff::SignedDuration::from_secs(60);
        assert!((59..=60).contains(&seconds_until(then)));
        assert_eq!(seconds_until(Timestamp::UNIX_EPOCH), 1);
    }
}
