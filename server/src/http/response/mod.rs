//! Parts of responses: raw JSON that is never parsed again, and the headers of rate limits.

pub(super) mod rate_headers;
pub(super) mod raw_json;
