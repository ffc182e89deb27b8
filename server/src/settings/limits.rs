//! What a tenant may do.

use super::reader::{Described, Reader};

/// Limits of every tenant.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Versions written a day (UTC); `None` is without limit.
    pub writes_per_day: Option<i64>,
}

impl LimitSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[Described {
        name: "WRITE_QUOTA_PER_DAY",
        about: "versions a tenant may write a day, 0 for unlimited (5000)",
    }];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let writes_per_day = reader.parsed(
            "WRITE_QUOTA_PER_DAY",
            Some(5000),
            "a whole number, 0 for unlimited",
            |text| text.parse().ok().filter(|n| *n >= 0).map(|n: i64| (n > 0).then_some(n)),
        )?;
        Some(Self { writes_per_day })
    }
}
