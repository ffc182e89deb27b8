//! Page sizes of lists: default and bounds.

/// The sizes that the pages of a list may have.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    /// Where a request gives no limit.
    pub default: u16,
    /// At most.
    pub max: u16,
}

/// Of items that are little more than names.
pub const NAMES: PageSize = PageSize { default: 1000, max: 1000 };

/// Why a number is no limit of a page.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("limit is {given}; it must be between 1 and {max}")]
pub struct InvalidLimit {
    given: i64,
    max: u16,
}

impl PageSize {
    /// The limit of a request.
    pub fn limit(self, given: Option<i64>) -> Result<usize, InvalidLimit> {
        let limit = given.unwrap_or(self.default.into());
        usize::try_from(limit)
            .ok()
            .filter(|n| (1..=self.max.into()).contains(n))
            .ok_or(InvalidLimit { given: limit, max: self.max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_bounded_and_have_a_default() {
        let size = PageSize { default: 20, max: 100 };
        assert_eq!((size.limit(None), size.limit(Some(100))), (Ok(20), Ok(100)));
        for given in [0, -1, 101, i64::MAX] {
            assert_eq!(size.limit(Some(given)), Err(InvalidLimit { given, max: 100 }));
        }
    }
}
