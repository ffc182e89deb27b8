//! Parts of responses: raw JSON that is never parsed again, and rate limit headers.

pub(super) mod rate_headers;
pub(super) mod raw_json;
