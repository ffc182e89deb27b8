//! Writes the rate limit headers.

use axum::http::{HeaderMap, HeaderName};

use crate::domain::access::rate_limit::RateLimitStatus;

/// The names of limit, remaining requests, and seconds until the minute ends.
pub(crate) type Names = [HeaderName; 3];

/// Of the rate limits of a key and its tenant.
pub(crate) const KEY: Names = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];
/// Of the rate limit on unauthenticated requests.
pub(crate) const PREAUTH: Names = [
    HeaderName::from_static("x-preauth-ratelimit-limit"),
    HeaderName::from_static("x-preauth-ratelimit-remaining"),
    HeaderName::from_static("x-preauth-ratelimit-reset"),
];

pub(crate) fn insert(headers: &mut HeaderMap, names: &Names, status: RateLimitStatus) {
    let values = [status.limit, status.remaining, status.reset_seconds];
    for (name, value) in names.iter().zip(values) {
        headers.insert(name.clone(), value.into());
    }
}
