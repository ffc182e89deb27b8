//! Writes the header that names the fields of a request that were ignored.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");
/// Most fields that are named.
const MAX_NAMES: usize = 20;
/// What would not be told from the header's own text; what is not ASCII is encoded in any case.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%');

pub(crate) fn insert(headers: &mut HeaderMap, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let names = names.iter().take(MAX_NAMES);
    let names: Vec<String> =
        names.map(|name| utf8_percent_encode(name, ENCODED).to_string()).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(IGNORED_FIELDS, names);
    }
}
