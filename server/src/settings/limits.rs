//! Settings of quotas and rate limits.

use agentfs_contract::setting;

use super::reader::{Described, Reader, SettingsError};
use crate::domain::access::rate_limit::{Limited, PerMinute, RateLimits, TenantLimits, Whose};
use crate::domain::memory::usage::WriteLimits;

/// Quotas and rate limits of every tenant, key and client.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// What a tenant may write and have stored.
    pub writes: WriteLimits,
    /// Searches a day (UTC) and tenant; `None` is without limit.
    pub searches_per_day: Option<i64>,
    /// Requests a minute (UTC).
    pub requests_per_minute: RateLimits,
    /// Searches a minute (UTC).
    pub searches_per_minute: RateLimits,
    /// Requests without a valid key a minute (UTC) and client; `None` is without limit.
    pub failures_per_minute: Option<PerMinute>,
    /// Keys of a tenant, without those that are revoked or expired; `None` is without limit.
    pub keys_per_tenant: Option<i64>,
}

const MIB: i64 = 1 << 20;

const WRITES: &str = setting::WRITE_QUOTA_PER_DAY;
const WRITE_MIB: &str = setting::WRITE_MIB_QUOTA_PER_DAY;
const IDEMPOTENCY_KEYS: &str = setting::IDEMPOTENCY_KEYS_QUOTA_PER_DAY;
const STORED_MIB: &str = setting::STORED_MIB_QUOTA;
const SEARCHES_PER_DAY: &str = setting::SEARCH_QUOTA_PER_DAY;
const REQUESTS: &str = Limited::Requests.setting(Whose::Key);
const SEARCHES: &str = Limited::Searches.setting(Whose::Key);
const OF_TENANT: &str = Limited::Requests.setting(Whose::Tenant);
const SEARCHES_OF_TENANT: &str = Limited::Searches.setting(Whose::Tenant);
const FAILURES: &str = setting::PREAUTH_RATE_LIMIT_PER_MINUTE;
const KEYS: &str = setting::MAX_KEYS_PER_TENANT;
const MOST_KEYS: Option<i64> = Some(1000);

impl LimitSettings {
    /// The settings of limits that hold by default, which the dev command does without. Rate limits of tenants follow those of keys.
    pub const WITH_DEFAULTS: [&'static str; 7] = [
        REQUESTS,
        SEARCHES,
        FAILURES,
        WRITES,
        IDEMPOTENCY_KEYS,
        setting::EMBED_TOKENS_QUOTA_PER_DAY,
        KEYS,
    ];

    pub(super) const DESCRIBED: &'static [Described] = &[
        Described {
            name: WRITES,
            about: "versions written per day and tenant, 0 for unlimited (5000)",
        },
        Described {
            name: WRITE_MIB,
            about: "MiB of values written per day and tenant, 0 for unlimited (0)",
        },
        Described {
            name: IDEMPOTENCY_KEYS,
            about: "Idempotency-Keys used per day and tenant, 0 for unlimited (100000)",
        },
        Described {
            name: STORED_MIB,
            about: "MiB stored per tenant, including its history, 0 for unlimited (0)",
        },
        Described {
            name: SEARCHES_PER_DAY,
            about: "searches per day and tenant, 0 for unlimited (0)",
        },
        Described { name: REQUESTS, about: "requests per minute and key, 0 for unlimited (120)" },
        Described { name: SEARCHES, about: "searches per minute and key, 0 for unlimited (120)" },
        Described {
            name: OF_TENANT,
            about: "requests per minute and tenant, 0 for unlimited (8 times a key's; 0 for the default tenant)",
        },
        Described {
            name: SEARCHES_OF_TENANT,
            about: "searches per minute and tenant, 0 for unlimited (8 times a key's; 0 for the default tenant)",
        },
        Described {
            name: KEYS,
            about: "keys per tenant, not counting revoked and expired ones, 0 for unlimited (1000)",
        },
        Described {
            name: FAILURES,
            about: "requests without a valid key per minute and client, 0 for unlimited (600)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let writes = whole(reader, WRITES, Some(5000));
        let bytes = mebibytes(reader, WRITE_MIB);
        let idempotency_keys = whole(reader, IDEMPOTENCY_KEYS, Some(100_000));
        let stored_bytes = mebibytes(reader, STORED_MIB);
        let searches_per_day = whole(reader, SEARCHES_PER_DAY, None);
        let keys_per_tenant = whole(reader, KEYS, MOST_KEYS);
        let requests_per_minute = per_minute(reader, REQUESTS, OF_TENANT);
        let searches_per_minute = per_minute(reader, SEARCHES, SEARCHES_OF_TENANT);
        let failures_per_minute = rate_limit(reader, FAILURES, PerMinute::new(600), |limit| limit);
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
            keys_per_tenant: keys_per_tenant?,
        })
    }

    /// Each limit that holds, for people, with that of embedding tokens a day.
    pub(super) fn in_words(&self, tokens_per_day: Option<i64>) -> Vec<String> {
        let per_minute = |limit: Option<PerMinute>| limit.map(|limit| limit.get().into());
        let mib = |bytes: Option<i64>| bytes.map(|bytes| bytes / MIB);
        let (requests, searches) = (self.requests_per_minute, self.searches_per_minute);
        let but_default = |limits: TenantLimits| {
            if limits.of_default == limits.of_others { "" } else { " except the default one" }
        };
        let of_requests =
            format!("requests per minute and tenant{}", but_default(requests.of_tenants));
        let of_searches =
            format!("searches per minute and tenant{}", but_default(searches.of_tenants));
        let limits: [(Option<i64>, &str); 12] = [
            (per_minute(requests.of_key), "requests per minute and key"),
            (per_minute(searches.of_key), "searches per minute and key"),
            (per_minute(requests.of_tenants.of_others), &of_requests),
            (per_minute(searches.of_tenants.of_others), &of_searches),
            (
                per_minute(self.failures_per_minute),
                "requests without a valid key per minute and client",
            ),
            (self.writes.writes, "writes per day and tenant"),
            (mib(self.writes.bytes), "MiB written per day and tenant"),
            (self.writes.idempotency_keys, "Idempotency-Keys per day and tenant"),
            (self.searches_per_day, "searches per day and tenant"),
            (tokens_per_day, "embedding tokens per day and tenant"),
            (mib(self.writes.stored_bytes), "MiB stored per tenant"),
            (self.keys_per_tenant, "keys per tenant"),
        ];
        let holds = |(limit, what): (Option<i64>, &str)| Some(format!("{} {what}", limit?));
        limits.into_iter().filter_map(holds).collect()
    }

    /// The keys of a tenant alone, from the process' environment: for commands.
    pub fn keys_per_tenant_from_env() -> Result<Option<i64>, SettingsError> {
        Reader::read_env(|reader| whole(reader, KEYS, MOST_KEYS))
    }
}

/// The limits of a kind of requests; those of tenants follow those of keys where they are not set.
fn per_minute(reader: &mut Reader<'_>, of_key: &str, of_tenant: &str) -> Option<RateLimits> {
    let of_key = rate_limit(reader, of_key, PerMinute::new(120), |limit| limit);
    let all = |limit| Some(TenantLimits::all(limit));
    let of_tenants = rate_limit(reader, of_tenant, None, all);
    let of_key = of_key?;
    let of_tenants = of_tenants?.unwrap_or_else(|| TenantLimits::following(of_key));
    Some(RateLimits { of_key, of_tenants })
}

/// Reads a rate limit and makes something of it; 0 is none.
fn rate_limit<T>(
    reader: &mut Reader<'_>,
    name: &str,
    default: T,
    make: impl Fn(Option<PerMinute>) -> T,
) -> Option<T> {
    let must = "a whole number up to 4294967295, 0 for unlimited";
    reader.parsed(name, default, must, |text| text.parse().ok().map(PerMinute::new).map(&make))
}

/// Reads a number; 0 is none.
fn whole<T: From<Option<i64>>>(reader: &mut Reader<'_>, name: &str, default: T) -> Option<T> {
    reader.parsed(name, default, "a whole number, 0 for unlimited", |text| {
        text.parse().ok().filter(|n| *n >= 0).map(|n: i64| (n > 0).then_some(n).into())
    })
}

/// Reads a number of MiB, as bytes; 0, the default, is none.
fn mebibytes<T: From<Option<i64>>>(reader: &mut Reader<'_>, name: &str) -> Option<T> {
    let must = "a whole number of MiB up to 8796093022207, 0 for unlimited";
    reader.parsed(name, None.into(), must, |text| {
        let bytes = text.parse().ok().filter(|n: &i64| *n >= 0)?.checked_mul(MIB)?;
        Some((bytes > 0).then_some(bytes).into())
    })
}
