//! Settings of what requests may contain.

use super::reader::{Described, Reader};

/// What is done with a request that has a field that its route does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// It is refused.
    Refuse,
    /// It is served without the field, and the answer names it.
    Warn,
}

const UNKNOWN_FIELDS: &str = "UNKNOWN_FIELDS";

impl UnknownFields {
    pub(super) const DESCRIBED: &'static [Described] = &[Described {
        name: UNKNOWN_FIELDS,
        about: "refuse or warn: whether an unknown field is refused with 400, or ignored and named in X-Ignored-Fields (refuse)",
    }];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(UNKNOWN_FIELDS, Self::Refuse, "refuse or warn", |text| match text {
            "refuse" => Some(Self::Refuse),
            "warn" => Some(Self::Warn),
            _ => None,
        })
    }
}
