//! Pages of what is too long for one answer: `limit`, and cursors that clients hand back as they got them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::error::{ApiError, Code};

/// Bytes of values after which a page ends, whatever its limit: an answer holds at most one value more.
pub(crate) use crate::store::entries::get::MAX_BYTES;

/// How many items the pages of a route have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Where a request gives no limit.
    pub default: u16,
    /// At most.
    pub max: u16,
}

/// Of items that are little more than names.
pub(crate) const NAMES: Size = Size { default: 1000, max: 1000 };

impl Size {
    /// The limit of a request.
    pub(crate) fn limit(self, given: Option<i64>) -> Result<usize, ApiError> {
        let limit = given.unwrap_or(self.default.into());
        usize::try_from(limit).ok().filter(|n| (1..=self.max.into()).contains(n)).ok_or_else(|| {
            let sentence = format!("limit is {limit}; it must be between 1 and {}", self.max);
            ApiError::new(Code::ValidationError, sentence)
        })
    }
}

/// The cursor that says `place`.
pub(crate) fn cursor(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The place that a cursor says, as `read` understands it.
pub(crate) fn place<T>(cursor: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ApiError> {
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
