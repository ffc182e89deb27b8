//! Parts of responses: raw JSON that is never parsed again, and headers.

pub(super) mod ignored_fields;
pub(super) mod rate_headers;
pub(super) mod raw_json;
