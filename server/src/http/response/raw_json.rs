//! Builds answers around stored values. A value goes in as the bytes that were stored; all else is serialised
//! around it.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::held_body;
use crate::http::error::ApiError;
use crate::runtime::byte_budget::Reservation;

/// The response with the body `json`, which keeps what it needs of `reserved` until its client has taken it.
pub(crate) fn answer(json: Vec<u8>, reserved: Reservation) -> Response {
    ([(CONTENT_TYPE, "application/json")], held_body::of(json, reserved)).into_response()
}

/// The response with the body `answer`, written as JSON.
pub(crate) fn written(
    answer: &impl Serialize,
    reserved: Reservation,
) -> Result<Response, ApiError> {
    let json = serde_json::to_vec(answer).map_err(|_| ApiError::internal())?;
    Ok(self::answer(json, reserved))
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

/// Builds an object with the list `name`, whose items are objects that `write` goes on with, and the fields of `rest`. Each item
/// is dropped when it is written: a page is not in memory twice.
pub(crate) fn list<I>(
    name: &str,
    items: Vec<I>,
    write: impl Fn(&mut Vec<u8>, &I) -> Result<(), ApiError>,
    rest: &impl Serialize,
) -> Result<Vec<u8>, ApiError> {
    let mut json = format!("{{\"{name}\":[").into_bytes();
    for (index, item) in items.into_iter().enumerate() {
        json.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        write(&mut json, &item)?;
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
        let items = vec![("[1.0,1e2]", fields(&[("a", 1), ("b", 2)])), ("null", fields(&[]))];
        let write = |json: &mut Vec<u8>, (text, fields): &(&str, _)| value(json, text, fields);
        let json = list("items", items, write, &fields(&[("count", 2)])).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"items":[{"value":[1.0,1e2],"a":1,"b":2},{"value":null}],"count":2}"#
        );
        let none = list("items", Vec::new(), write, &fields(&[])).unwrap();
        assert_eq!(none, br#"{"items":[]}"#);
    }
}
