//! A list of a bounded number of items, as it comes with a request.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A list that keeps its first `MAX` items. Those beyond are counted while they are parsed, and not kept: a list that is refused
/// for its length costs no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtMost<T, const MAX: usize> {
    items: Vec<T>,
    count: usize,
}

impl<T, const MAX: usize> AtMost<T, MAX> {
    /// All items, if there are no more than `MAX`; otherwise how many there are.
    pub fn all(self) -> Result<Vec<T>, usize> {
        if self.count > MAX { Err(self.count) } else { Ok(self.items) }
    }
}

impl<T, const MAX: usize> Default for AtMost<T, MAX> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T, const MAX: usize> From<Vec<T>> for AtMost<T, MAX> {
    fn from(mut items: Vec<T>) -> Self {
        let count = items.len();
        items.truncate(MAX);
        Self { items, count }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting(PhantomData))
    }
}

struct Counting<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Counting<T, MAX> {
    type Value = AtMost<T, MAX>;

    /// As `Vec` says it.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < MAX
            && let Some(item) = seq.next_element()?
        {
            items.push(item);
        }
        let mut count = items.len();
        // Not `IgnoredAny`, which would be taken for fields that are not known. Borrowed, so that nothing is copied.
        while count >= MAX && seq.next_element::<&RawValue>()?.is_some() {
            count += 1;
        }
        Ok(AtMost { items, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<AtMost<String, 2>, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_beyond_is_counted_and_not_kept() {
        for (json, all) in [
            ("[]", Ok(vec![])),
            (r#"["a"]"#, Ok(vec!["a".to_owned()])),
            (r#"["a", "b"]"#, Ok(vec!["a".to_owned(), "b".to_owned()])),
            (r#"["a", "b", 3, {"d": [4]}]"#, Err(4)),
        ] {
            let list = parsed(json).unwrap();
            assert!(list.items.capacity() <= 4);
            assert_eq!(list.all(), all, "{json}");
        }
        let many = format!("[{}\"x\"]", "\"x\",".repeat(100_000));
        let list = parsed(&many).unwrap();
        assert_eq!((list.items.len(), list.count), (2, 100_001));
    }

    #[test]
    fn errors_are_those_of_a_list() {
        let of_list =
            |json: &str| serde_json::from_str::<Vec<String>>(json).unwrap_err().to_string();
        for json in ["7", r#"{"a": 1}"#, "[7]", r#"["a""#, r#"["a", "b", "c""#, r#"["a", "b", ]"#] {
            assert_eq!(parsed(json).unwrap_err(), of_list(json), "{json}");
        }
    }
}
