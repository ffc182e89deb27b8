//! Settings of quotas and rate limits.

use agentfs_contract::setting;

use super::reader::{Described, Reader};
use crate::domain::access::rate_limit::{Limited, PerMinute};
use crate::domain::memory::usage::WriteLimits;

/// Quotas and rate limits of every tenant, key and client.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// What a tenant may write and have stored.
    pub writes: WriteLimits,
    /// Searches a day (UTC) and tenant; `None` is without limit.
    pub searches_per_day: Option<i64>,
    /// Requests a minute (UTC) and key; `None` is without limit.
    pub requests_per_minute: Option<PerMinute>,
    /// Searches a minute (UTC) and key; `None` is without limit.
    pub searches_per_minute: Option<PerMinute>,
    /// Requests without a valid key a minute (UTC) and client; `None` is without limit.
    pub failures_per_minute: Option<PerMinute>,
}

const MIB: i64 = 1 << 20;

const WRITES: &str = setting::WRITE_QUOTA_PER_DAY;
const WRITE_MIB: &str = setting::WRITE_MIB_QUOTA_PER_DAY;
const IDEMPOTENCY_KEYS: &str = setting::IDEMPOTENCY_KEYS_QUOTA_PER_DAY;
const STORED_MIB: &str = setting::STORED_MIB_QUOTA;
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
            name: WRITE_MIB,
            about: "MiB of values a tenant may write a day, 0 for unlimited (0)",
        },
        Described {
            name: IDEMPOTENCY_KEYS,
            about: "Idempotency-Keys a tenant may use a day, 0 for unlimited (100000)",
        },
        Described {
            name: STORED_MIB,
            about: "MiB a tenant may have stored, its history included, 0 for unlimited (0)",
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
        let mut up_to = |name, unit: i64, default| {
            let must = match unit {
                1 => "a whole number, 0 for unlimited",
                _ => "a whole number of MiB up to 8796093022207, 0 for unlimited",
            };
            reader.parsed(name, default, must, |text| {
                let wanted = text.parse().ok().filter(|n: &i64| *n >= 0)?.checked_mul(unit)?;
                Some((wanted > 0).then_some(wanted))
            })
        };
        let writes = up_to(WRITES, 1, Some(5000));
        let bytes = up_to(WRITE_MIB, MIB, None);
        let idempotency_keys = up_to(IDEMPOTENCY_KEYS, 1, Some(100_000));
        let stored_bytes = up_to(STORED_MIB, MIB, None);
        let searches_per_day = up_to(SEARCHES_PER_DAY, 1, None);
        let mut per_minute = |name, default| {
            let must = "a whole number up to 4294967295, 0 for unlimited";
            let parse = |text: &str| text.parse().ok().map(PerMinute::new);
            reader.parsed(name, PerMinute::new(default), must, parse)
        };
        let requests_per_minute = per_minute(REQUESTS, 120);
        let searches_per_minute = per_minute(SEARCHES, 120);
        let failures_per_minute = per_minute(FAILURES, 600);
        Some(Self {
            writes: WriteLimits {
                writes: writes?,
                bytes: bytes?,
                idempotency_keys: idempotency_keys?,
                stored_bytes: stored_bytes?,
            },
            searches_per_day: searches_per_day?,
            requests_per_minute: requests_per_minute?,
            searches_per_minute: searches_per_minute?,
            failures_per_minute: failures_per_minute?,
        })
    }
}
