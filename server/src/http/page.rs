//! Pages of what is too long for one answer: `limit`, and cursors that clients hand back as they got them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{ApiError, Code};

/// Most items of a page, unless a route says otherwise.
pub(super) const MAX_LIMIT: i32 = 1000;

/// The limit of a request; the greatest where it gives none.
pub(super) fn limit(given: Option<i32>) -> Result<i32, ApiError> {
    let limit = given.unwrap_or(MAX_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        let sentence = format!("limit is {limit}; it must be between 1 and {MAX_LIMIT}");
        Err(ApiError::new(Code::ValidationError, sentence))
    }
}

/// The cursor that says `place`.
pub(super) fn cursor(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The place that a cursor says, as `read` understands it.
pub(super) fn place<T>(cursor: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ApiError> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|place| read(&place))
        .ok_or_else(|| {
            ApiError::new(
                Code::ValidationError,
                "cursor is not one that this request has given; start without it",
            )
        })
}
