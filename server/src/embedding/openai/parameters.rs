//! The parameters of a request that an endpoint may do without.

/// Models that can return vectors of another length than their own.
const SHORTENED: &str = "text-embedding-3-";

/// The optional parameters that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Optional {
    pub(super) encoding_format: bool,
    pub(super) dimensions: bool,
}

impl Optional {
    /// Those that `model` is asked with.
    pub(super) fn of(model: &str) -> Self {
        Self { encoding_format: true, dimensions: model.starts_with(SHORTENED) }
    }

    /// Those that occur in `text`.
    pub(super) fn named_in(text: &str) -> Self {
        Self {
            encoding_format: text.contains("encoding_format"),
            dimensions: text.contains("dimensions"),
        }
    }

    /// Without one of those that are `refused`; `None` where none of them is sent.
    pub(super) fn without(self, refused: Self) -> Option<Self> {
        if self.encoding_format && refused.encoding_format {
            return Some(Self { encoding_format: false, ..self });
        }
        (self.dimensions && refused.dimensions).then_some(Self { dimensions: false, ..self })
    }
}
