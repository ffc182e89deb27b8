//! Builds answers around stored values. A value goes in as the bytes that were stored; all else is serialised
//! around it.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::http::error::ApiError;

/// The response with the body `json`.
pub(crate) fn answer(json: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], Body::from(json)).into_response()
}

/// Appends the field `value` and the fields of `rest` to an open object, and closes it.
pub(crate) fn value(
    json: &mut Vec<u8>,
    value: &str,
    rest: &impl Serialize,
) -> Result<(), ApiError> {
    json.extend_from_slice(br#""value":"#);
    json.extend_from_slice(value.as_bytes());
    close(json, rest)
}

/// Builds an object with the list `name`, whose items are values with their fields, and the fields of `rest`.
pub(crate) fn list<'a, R: Serialize>(
    name: &str,
    items: impl Iterator<Item = (&'a str, R)>,
    rest: &impl Serialize,
) -> Result<Vec<u8>, ApiError> {
    let mut json = format!("{{\"{name}\":[").into_bytes();
    for (index, (text, fields)) in items.enumerate() {
        json.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        value(&mut json, text, &fields)?;
    }
    json.push(b']');
    close(&mut json, rest)?;
    Ok(json)
}

/// Appends the fields of `rest`, which may be none, to an open object, and closes it.
fn close(json: &mut Vec<u8>, rest: &impl Serialize) -> Result<(), ApiError> {
    let end = json.len();
    serde_json::to_writer(&mut *json, rest).map_err(|_| ApiError::internal())?;
    // The rest is an object of its own; instead of its opening brace comes a comma, or nothing.
    match json.get(end + 1) {
        Some(b'}') => drop(json.remove(end)),
        _ => json[end] = b',',
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_spliced_is_json_with_values_byte_for_byte() {
        let fields = |of: &[(&'static str, i32)]| of.iter().copied().collect::<BTreeMap<_, _>>();
        let items = [("[1.0,1e2]", fields(&[("a", 1), ("b", 2)])), ("null", fields(&[]))];
        let json = list("items", items.clone().into_iter(), &fields(&[("count", 2)])).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"items":[{"value":[1.0,1e2],"a":1,"b":2},{"value":null}],"count":2}"#
        );
        let none = list("items", items.into_iter().take(0), &fields(&[])).unwrap();
        assert_eq!(none, br#"{"items":[]}"#);
    }
}
