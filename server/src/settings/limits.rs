//! Settings of quotas and rate limits.

use agentfs_contract::setting;

use super::reader::{Described, Reader};
use crate::domain::access::rate_limit::{Limited, PerMinute};

/// Quotas and rate limits of every tenant, key and client.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Versions written a day (UTC) and tenant; `None` is without limit.
    pub writes_per_day: Option<i64>,
    /// Searches a day (UTC) and tenant; `None` is without limit.
    pub searches_per_day: Option<i64>,
    /// Requests a minute (UTC) and key; `None` is without limit.
    pub requests_per_minute: Option<PerMinute>,
    /// Searches a minute (UTC) and key; `None` is without limit.
    pub searches_per_minute: Option<PerMinute>,
    /// Requests without a valid key a minute (UTC) and client; `None` is without limit.
    pub failures_per_minute: Option<PerMinute>,
}

const WRITES: &str = setting::WRITE_QUOTA_PER_DAY;
const SEARCHES_PER_DAY: &str = setting::SEARCH_QUOTA_PER_DAY;
const REQUESTS: &str = Limited::Requests.setting();
const SEARCHES: &str = Limited::Searches.setting();
const FAILURES: &str = setting::PREAUTH_RATE_LIMIT_PER_MINUTE;

impl LimitSettings {
    /// The rate limits that the dev command and benchmarks do without.
    pub const RATE_LIMITS: [&'static str; 3] = [REQUESTS, SEARCHES, FAILURES];

    pub(super) const DESCRIBED: &'static [Described] = &[
        Described {
            name: WRITES,
            about: "versions a tenant may write a day, 0 for unlimited (5000)",
        },
        Described {
            name: SEARCHES_PER_DAY,
            about: "searches a tenant may make a day, 0 for unlimited (0)",
        },
        Described { name: REQUESTS, about: "requests a minute and key, 0 for unlimited (120)" },
        Described { name: SEARCHES, about: "searches a minute and key, 0 for unlimited (120)" },
        Described {
            name: FAILURES,
            about: "requests without a valid key a minute and client, 0 for unlimited (600)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut per_day = |name, default| {
            reader.parsed(name, default, "a whole number, 0 for unlimited", |text| {
                text.parse().ok().filter(|n| *n >= 0).map(|n: i64| (n > 0).then_some(n))
            })
        };
        let writes_per_day = per_day(WRITES, Some(5000));
        let searches_per_day = per_day(SEARCHES_PER_DAY, None);
        let mut per_minute = |name, default| {
            let must = "a whole number up to 4294967295, 0 for unlimited";
            let parse = |text: &str| text.parse().ok().map(PerMinute::new);
            reader.parsed(name, PerMinute::new(default), must, parse)
        };
        let requests_per_minute = per_minute(REQUESTS, 120);
        let searches_per_minute = per_minute(SEARCHES, 120);
        let failures_per_minute = per_minute(FAILURES, 600);
        Some(Self {
            writes_per_day: writes_per_day?,
            searches_per_day: searches_per_day?,
            requests_per_minute: requests_per_minute?,
            searches_per_minute: searches_per_minute?,
            failures_per_minute: failures_per_minute?,
        })
    }
}
