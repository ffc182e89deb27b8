//! Parses JSON objects, and finds fields that are not known: a misspelt one would change nothing, and nobody would notice.

use serde::de::value::Error as Found;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::error::Category;

use super::nearest_name::nearest;

/// Most unknown fields that are named.
pub const MAX_NAMES: usize = 8;
/// Their longest names in characters.
const MAX_CHARS: usize = 64;

/// Names that are used elsewhere, and the fields for that here.
const SYNONYMS: [(&str, &str); 3] = [("path", "prefix"), ("q", "query"), ("ops", "operations")];

/// What an object was parsed to.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The object, or what is wrong with it.
    pub object: Result<T, serde_json::Error>,
    /// Fields that are not known, also of an object that lacks others; none of what is no JSON.
    pub unknown: Vec<String>,
}

/// Parses a JSON object, which may have `others` as fields besides those of `T`.
pub fn parse<T: DeserializeOwned>(json: &[u8], others: &[&str]) -> Parsed<T> {
    if let Err(error) = no_list(json) {
        return Parsed { object: Err(error), unknown: Vec::new() };
    }
    let mut unknown = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(json);
    let parsed = serde_ignored::deserialize(&mut json, |name: serde_ignored::Path<'_>| {
        if unknown.len() < MAX_NAMES {
            unknown.push(name.to_string());
        }
    });
    let object: Result<T, _> = parsed.and_then(|parsed| json.end().map(|()| parsed));
    // What lacks a field may have it misspelt.
    if object.as_ref().is_err_and(|error| error.classify() != Category::Data) {
        unknown.clear();
    }
    unknown.retain(|name| !others.contains(&name.as_str()));
    Parsed { object, unknown: unknown.iter().map(|name| cut(name)).collect() }
}

/// Where in `json` the value is that `error` is about, such as `tags[1]`, if it is not the object itself that is wrong.
pub fn place<T: DeserializeOwned>(json: &[u8], error: &serde_json::Error) -> Option<String> {
    if !error.is_data() {
        return None;
    }
    // Only what is wrong is parsed again.
    let mut json = serde_json::Deserializer::from_slice(json);
    let found = serde_path_to_error::deserialize::<_, T>(&mut json).err()?;
    let is_it = found.inner().to_string() == error.to_string();
    let place = found.path().to_string();
    (is_it && place != ".").then(|| cut(&place))
}

/// Refuses a list, though serde would take its items for the fields in order.
pub fn no_list(json: &[u8]) -> Result<(), serde_json::Error> {
    match json.trim_ascii_start().first() {
        Some(b'[') => Err(serde_json::Error::custom("expected an object, found a list")),
        _ => Ok(()),
    }
}

/// A sentence about the fields `names`, which neither `T` nor `others` has.
pub fn unknown_fields<T: DeserializeOwned>(names: &[String], others: &[&str]) -> String {
    let known = known::<T>(others);
    let meant: Vec<&str> = names.iter().filter_map(|name| meant(name, &known)).collect();
    let advice = if meant.len() == names.len() {
        format!("did you mean {}?", listed(&meant))
    } else {
        format!("known are {}", listed(&known))
    };
    let (fields, are) = if names.len() == 1 { ("field", "is") } else { ("fields", "are") };
    format!("the {fields} {} {are} not known; {advice}", listed(names))
}

/// The field that may be meant by `name`.
fn meant<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let synonym = SYNONYMS.into_iter().find(|(theirs, _)| *theirs == name);
    let ours = synonym.and_then(|(_, ours)| known.iter().find(|known| **known == ours));
    ours.copied().or_else(|| nearest(name, known))
}

/// The beginning of a name.
pub fn cut(name: &str) -> String {
    name.chars().take(MAX_CHARS).collect()
}

/// Names in a sentence.
pub fn listed<N: AsRef<str>>(names: &[N]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}

/// The names of the fields of `T`, and of `others`.
fn known<'a, T: DeserializeOwned>(others: &[&'a str]) -> Vec<&'a str> {
    let mut names: &[&str] = &[];
    // It fails once the names are known.
    T::deserialize(Names(&mut names)).ok();
    names.iter().chain(others).copied().collect()
}

/// Asks a struct for the names of its fields.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Found;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Found> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is parsed alone")]
    struct Search {
        query: String,
        tags: Option<Vec<String>>,
        value: Option<Box<serde_json::value::RawValue>>,
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        for (json, named) in [
            (r#"{"value":{"a":1},"query":5}"#, Some("query")),
            (r#"{"query":"a","tags":["a",1]}"#, Some("tags[1]")),
            (r#"{"tags":[]}"#, None),
            (r#"{"query":"#, None),
        ] {
            let error = parse::<Search>(json.as_bytes(), &[]).object.unwrap_err();
            assert_eq!(place::<Search>(json.as_bytes(), &error).as_deref(), named, "{json}");
        }
    }

    #[test]
    fn names_of_elsewhere_are_known() {
        let known = ["agent_id", "prefix", "limit"];
        assert_eq!(meant("path", &known), Some("prefix"));
        assert_eq!(meant("q", &known), None);
        let said = unknown_fields::<Search>(&["q".to_owned()], &[]);
        assert_eq!(said, "the field `q` is not known; did you mean `query`?");
    }
}
