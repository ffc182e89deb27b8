//! Writes the header that names the fields of a request that were ignored.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");
/// Longest header in bytes: proxies refuse answers whose heads are large.
const MAX_BYTES: usize = 1024;
/// What would not be told from the header's own text; what is not ASCII is encoded in any case.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%');

pub(crate) fn insert(headers: &mut HeaderMap, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let mut told = String::new();
    for name in names {
        let name = utf8_percent_encode(name, ENCODED).to_string();
        if told.len() + name.len() > MAX_BYTES {
            break;
        }
        if !told.is_empty() {
            told.push_str(", ");
        }
        told.push_str(&name);
    }
    if let Ok(told) = HeaderValue::from_str(&told) {
        headers.insert(IGNORED_FIELDS, told);
    }
}
