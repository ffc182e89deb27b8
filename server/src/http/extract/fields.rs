//! Parses requests, and finds fields that their route does not know: a misspelt one would change nothing, and nobody would
//! notice.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, Uri};
use serde::de::value::Error as Found;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::error::Category;
use url::form_urlencoded;

use super::json_error;
use crate::domain::nearest_name::nearest;
use crate::http::error::{ApiError, Code};
use crate::http::middleware::observe::RequestContext;
use crate::settings::UnknownFields;

/// Most unknown fields that are named, and their longest names in characters.
const MAX_NAMES: usize = 8;
const MAX_CHARS: usize = 64;

/// Parses the parts of one request.
#[derive(Debug, Clone)]
pub struct Fields {
    unknown: UnknownFields,
    context: RequestContext,
}

/// What is parsed, and what may be in it.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// What is said of one that is wrong.
    pub wrong: &'a str,
    /// The operation of a batch that it is.
    pub operation: Option<usize>,
    /// Fields that it may have besides those that are parsed.
    pub others: &'a [&'a str],
}

impl<S: Send + Sync> FromRequestParts<S> for Fields
where
    UnknownFields: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self::of(&parts.extensions, state))
    }
}

impl Fields {
    /// Those of the request with these extensions.
    pub(super) fn of<S>(extensions: &Extensions, state: &S) -> Self
    where
        UnknownFields: FromRef<S>,
    {
        let context = extensions.get::<RequestContext>().cloned().unwrap_or_default();
        Self { unknown: UnknownFields::from_ref(state), context }
    }

    /// Parses a JSON object, and refuses or records fields that are not known.
    pub fn parse<T: DeserializeOwned>(&self, json: &[u8], part: Part<'_>) -> Result<T, ApiError> {
        no_list(json, part.wrong)?;
        let mut unknown = Vec::new();
        let mut json = serde_json::Deserializer::from_slice(json);
        let parsed = serde_ignored::deserialize(&mut json, |name: serde_ignored::Path<'_>| {
            if unknown.len() < MAX_NAMES {
                unknown.push(name.to_string());
            }
        });
        let parsed: Result<T, _> = parsed.and_then(|parsed| json.end().map(|()| parsed));
        unknown.retain(|name| !part.others.contains(&name.as_str()));
        // What lacks a field may have it misspelt.
        let is_json = parsed.as_ref().err().is_none_or(|error| error.classify() == Category::Data);
        if is_json && !unknown.is_empty() {
            let names: Vec<String> = unknown.iter().map(|name| cut(name)).collect();
            match self.unknown {
                UnknownFields::Refuse => {
                    return Err(invalid(unknown_fields(&names, &known::<T>(part.others))));
                }
                UnknownFields::Warn => {
                    let place = part.operation.map(|index| format!("operations[{index}]."));
                    self.ignored(&place.unwrap_or_default(), &names);
                }
            }
        }
        parsed.map_err(|error| wrong(part.wrong, &error))
    }

    /// Checks the query string: all fields come in the body.
    pub(super) fn query(&self, uri: &Uri) -> Result<(), ApiError> {
        let query = uri.query().unwrap_or_default();
        let names = form_urlencoded::parse(query.as_bytes()).take(MAX_NAMES);
        let names: Vec<String> = names.map(|(name, _)| cut(&name)).collect();
        match self.unknown {
            _ if names.is_empty() => Ok(()),
            UnknownFields::Refuse => Err(invalid(format!(
                "the query string has {}, and no route takes fields there; send them in the body",
                listed(&names)
            ))),
            UnknownFields::Warn => {
                self.ignored("?", &names);
                Ok(())
            }
        }
    }

    fn ignored(&self, prefix: &str, names: &[String]) {
        self.context.ignored(names.iter().map(|name| format!("{prefix}{name}")).collect());
    }
}

/// Parses a JSON object, whatever other fields it has.
pub fn object<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T, ApiError> {
    no_list(json, what)?;
    serde_json::from_slice(json).map_err(|error| wrong(what, &error))
}

/// Refuses a list, though serde would take its items for the fields in order.
fn no_list(json: &[u8], what: &str) -> Result<(), ApiError> {
    match json.trim_ascii_start().first() {
        Some(b'[') => {
            Err(wrong(what, &serde_json::Error::custom("expected an object, found a list")))
        }
        _ => Ok(()),
    }
}

fn wrong(what: &str, error: &serde_json::Error) -> ApiError {
    invalid(format!("{what}: {}", json_error::sentence(error)))
}

fn invalid(sentence: String) -> ApiError {
    ApiError::new(Code::ValidationError, sentence)
}

fn cut(name: &str) -> String {
    name.chars().take(MAX_CHARS).collect()
}

fn listed<N: AsRef<str>>(names: &[N]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}

fn unknown_fields(names: &[String], known: &[&str]) -> String {
    let nearest: Vec<&str> = names.iter().filter_map(|name| nearest(name, known)).collect();
    let advice = if nearest.len() == names.len() {
        format!("did you mean {}?", listed(&nearest))
    } else {
        format!("known are {}", listed(known))
    };
    let (fields, are) = if names.len() == 1 { ("field", "is") } else { ("fields", "are") };
    format!("the {fields} {} {are} not known; {advice}", listed(names))
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
