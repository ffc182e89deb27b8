//! Cursors: opaque texts that clients return to get the next page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The cursor is of another request, or is none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cursor is not one that this request has given; start without it")]
pub struct InvalidCursor;

/// Encodes `place` as a cursor.
pub fn encode(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// Decodes a cursor with `read`; none is the beginning.
pub fn decode<T>(
    cursor: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, InvalidCursor> {
    let Some(cursor) = cursor else { return Ok(None) };
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|place| read(&place))
        .map(Some)
        .ok_or(InvalidCursor)
}
