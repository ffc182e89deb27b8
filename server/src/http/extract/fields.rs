//! Parses requests, and refuses or records fields that their route does not know.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, Uri};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::domain::json_error;
use crate::domain::json_object::{self, MAX_NAMES, Parsed, cut, listed, no_list, unknown_fields};
use crate::http::error::{ApiError, Code};
use crate::http::middleware::observe::RequestContext;
use crate::settings::UnknownFields;

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
    pub fn of<S>(extensions: &Extensions, state: &S) -> Self
    where
        UnknownFields: FromRef<S>,
    {
        let context = extensions.get::<RequestContext>().cloned().unwrap_or_default();
        Self { unknown: UnknownFields::from_ref(state), context }
    }

    /// Parses a JSON object, and refuses or records fields that are not known.
    pub fn parse<T: DeserializeOwned>(&self, json: &[u8], part: Part<'_>) -> Result<T, ApiError> {
        if json.trim_ascii().is_empty() {
            return Err(invalid("the body is empty; send a JSON object".to_owned()));
        }
        let Parsed { object, unknown } = json_object::parse(json, part.others);
        if !unknown.is_empty() {
            match self.unknown {
                UnknownFields::Refuse => {
                    return Err(invalid(unknown_fields::<T>(&unknown, part.others)));
                }
                UnknownFields::Warn => {
                    let place = part.operation.map(|index| format!("operations[{index}]."));
                    self.ignored(&place.unwrap_or_default(), &unknown);
                }
            }
        }
        object.map_err(|error| {
            let told = wrong::<T>(part.wrong, json, &error);
            if unknown.is_empty() {
                return invalid(told);
            }
            // What is missing may be there by another name.
            invalid(format!("{told}; {}", unknown_fields::<T>(&unknown, part.others)))
        })
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
    no_list(json)
        .and_then(|()| serde_json::from_slice(json))
        .map_err(|error| invalid(wrong::<T>(what, json, &error)))
}

/// What is wrong, with the field where it is one.
fn wrong<T: DeserializeOwned>(what: &str, json: &[u8], error: &serde_json::Error) -> String {
    let sentence = json_error::sentence(error);
    match json_object::place::<T>(json, error) {
        Some(place) if !sentence.starts_with(&place) => format!("{what}: `{place}`: {sentence}"),
        _ => format!("{what}: {sentence}"),
    }
}

fn invalid(sentence: String) -> ApiError {
    ApiError::new(Code::ValidationError, sentence)
}
