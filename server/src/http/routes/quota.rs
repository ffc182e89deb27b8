//! Quotas of the day that are used up.

use crate::http::error::{ApiError, Code};

/// A tenant has used up its `what` of the day; a new day begins at midnight UTC, or an operator raises `setting`.
pub(crate) fn used_up(code: Code, what: &str, setting: &str) -> ApiError {
    let now = jiff::Timestamp::now().as_second();
    let until_midnight = 86_400 - now.rem_euclid(86_400);
    let sentence = format!(
        "this tenant has used up its {what} of today; they begin anew at 00:00 UTC, or an operator raises {setting}"
    );
    ApiError::new(code, sentence).retry_after(u32::try_from(until_midnight).unwrap_or(86_400))
}
