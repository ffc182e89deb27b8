//! Parts of responses: raw JSON that is never parsed again, bodies that draw on the budget of bytes, and headers.

pub(super) mod held_body;
pub(super) mod ignored_fields;
pub(super) mod rate_headers;
pub(super) mod raw_json;
