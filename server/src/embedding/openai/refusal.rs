//! Sorts the answers by which an endpoint refuses a request. Their bodies are not repeated, since some send the texts
//! back in them: only the names of parameters, and codes.

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::response::Parts;
use serde_json::Value;

use super::parameters::Optional;
use crate::embedding::EmbedError;

/// Longest code that is repeated.
const MAX_CODE: usize = 64;

/// A request that failed.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: EmbedError,
    /// The optional parameters that may be why.
    pub(super) named: Optional,
}

impl From<EmbedError> for Refusal {
    fn from(error: EmbedError) -> Self {
        Self { error, named: Optional::named_in("") }
    }
}

impl Refusal {
    /// Of an answer other than 200.
    pub(super) fn of(head: &Parts, body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let (status, after) = (head.status, retry_after(head));
        let said = |advice: &str| {
            format!("the embedding provider answered {status}{}{advice}", code(&json))
        };
        let error = match status.as_u16() {
            400 | 413 | 422 => {
                let place = place(&json).unwrap_or_default();
                match setting(&place) {
                    Some(setting) => {
                        let advice = format!(": it refuses the parameter {place}; check {setting}");
                        EmbedError::Down(said(&advice))
                    }
                    None => EmbedError::Refused {
                        text: text(&place),
                        reason: said(": it does not take this text"),
                    },
                }
            }
            429 => EmbedError::Later { after, reason: said("") },
            503 if after.is_some() => EmbedError::Later { after, reason: said("") },
            401 | 403 => EmbedError::Down(said("; check OPENAI_API_KEY")),
            404 | 405 => EmbedError::Down(said("; check OPENAI_BASE_URL and OPENAI_EMBED_MODEL")),
            500 => EmbedError::Wrong(said("")),
            _ => EmbedError::Down(said("")),
        };
        let is_of_request = matches!(status.as_u16(), 400 | 422);
        let body = if is_of_request { String::from_utf8_lossy(body) } else { "".into() };
        Self { error, named: Optional::named_in(&body) }
    }
}

/// Reads Retry-After in seconds; a date is ignored.
fn retry_after(head: &Parts) -> Option<Duration> {
    let seconds: f64 = head.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The error's code in brackets, with a space before it; empty where it has none.
pub(super) fn code(body: &Value) -> String {
    let error = error(body);
    let words = ["code", "type", "error_type", "status"].into_iter();
    let word = words.filter_map(|name| error.get(name)?.as_str()).find(|word| is_plain(word));
    let number = || error.get("code")?.as_i64().map(|number| number.to_string());
    let code = word.map(str::to_owned).or_else(number);
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

/// The object that says what is wrong; some have a list around it, some say it without one.
fn error(body: &Value) -> &Value {
    let body = body.get(0).unwrap_or(body);
    body.get("error").filter(|error| error.is_object()).unwrap_or(body)
}

/// What is no plain word may be a text.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=MAX_CODE).contains(&word.len()) && word.chars().all(plain)
}

/// The place in the request that an error names, such as `model`, `input.3` or `input[3]`.
fn place(body: &Value) -> Option<String> {
    if let Some(param) = error(body).get("param").and_then(Value::as_str) {
        return Some(param.to_owned());
    }
    let steps = body["detail"][0]["loc"].as_array()?.iter();
    let steps = steps.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
    Some(steps.filter(|step| step != "body").collect::<Vec<_>>().join("."))
}

/// The setting of a parameter.
fn setting(parameter: &str) -> Option<&'static str> {
    match parameter {
        "model" => Some("OPENAI_EMBED_MODEL"),
        "dimensions" => Some("OPENAI_EMBED_DIMENSIONS"),
        "encoding_format" => Some("OPENAI_BASE_URL"),
        _ => None,
    }
}

/// The index of the text at a place.
fn text(place: &str) -> Option<usize> {
    place.strip_prefix("input")?.trim_matches(['[', ']', '.']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_refused_text_is_found_where_it_is_named() {
        let of_param =
            |param: &str| text(&place(&json!({"error": {"param": param}})).unwrap_or_default());
        assert_eq!(of_param("input[3]"), Some(3));
        assert_eq!(of_param("input.12"), Some(12));
        assert_eq!(of_param("input"), None);
        assert_eq!(of_param("model"), None);
        let detail = json!({"detail": [{"loc": ["body", "input", 3]}]});
        assert_eq!(text(&place(&detail).unwrap()), Some(3));
    }

    #[test]
    fn codes_are_repeated_where_they_are_plain_words() {
        for (body, told) in [
            (json!({"error": {"code": "model_not_found", "type": "x"}}), " (model_not_found)"),
            (
                json!({"error": {"code": null, "type": "invalid_request_error"}}),
                " (invalid_request_error)",
            ),
            (
                json!([{"error": {"code": 400, "status": "INVALID_ARGUMENT"}}]),
                " (INVALID_ARGUMENT)",
            ),
            (json!({"error": "too long", "error_type": "Validation"}), " (Validation)"),
            (json!({"error": {"code": 1210}}), " (1210)"),
            (json!({"error": {"code": "a text of somebody"}}), ""),
            (json!("no"), ""),
            (Value::Null, ""),
        ] {
            assert_eq!(code(&body), told, "{body}");
        }
    }
}
