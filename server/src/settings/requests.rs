//! Settings of what requests may contain.

use super::reader::{Described, Reader};
use crate::domain::{LARGEST_BODY, LARGEST_PAGE, MAX_BODY};

/// What is done with a request that has a field that its route does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// It is refused.
    Refuse,
    /// It is served without the field, and the answer names it.
    Warn,
}

/// Most bytes of a request's body, and so of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit(pub usize);

const MAX_BODY_BYTES: &str = "MAX_BODY_BYTES";
const LEAST: usize = 64 << 10;

impl Default for BodyLimit {
    fn default() -> Self {
        Self(MAX_BODY)
    }
}

impl BodyLimit {
    pub(super) const DESCRIBED: &'static [Described] = &[Described {
        name: MAX_BODY_BYTES,
        about: "maximum bytes of a request body, and so of a value, up to 8388608 (1048576)",
    }];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let must = format!("a number of bytes from {LEAST} to {LARGEST_BODY}");
        reader.parsed(MAX_BODY_BYTES, Self::default(), &must, |text| {
            text.parse().ok().filter(|bytes| (LEAST..=LARGEST_BODY).contains(bytes)).map(Self)
        })
    }

    /// Notes a budget of `budget` bytes that has no room for what one request may read.
    pub(super) fn within(self, budget: u64, reader: &mut Reader<'_>) {
        // A tenant gets half of it, for a batch and the page of values that it reads.
        let least = 2 * (LARGEST_PAGE + 2 * self.0 as u64);
        if budget < least {
            let least = least.div_ceil(1 << 20);
            reader.problem(format!(
                "MAX_BODY_BYTES is {}; that needs MEMORY_BUDGET_MIB of at least {least}, and a memory limit of three times as much",
                self.0
            ));
        }
    }
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
