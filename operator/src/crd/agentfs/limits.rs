//! `spec.quotas` and `spec.rateLimits`.

// In a manifest each field says its unit. An attribute of a type does not reach the copy that its derive makes.
#![allow(clippy::struct_field_names)]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Quotas of each tenant. Days are those of UTC. 0 means unlimited.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Quotas {
    /// Versions that a tenant may write per day. Defaults to 5000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub writes_per_day: Option<i64>,

    /// Searches that a tenant may make per day. Defaults to unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub searches_per_day: Option<i64>,

    /// Tokens that may be embedded for a tenant per day. Defaults to 2000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub embed_tokens_per_day: Option<i64>,

    /// Mebibytes of versions that a tenant may store in total. Defaults to unlimited.
    #[serde(rename = "storedMiB", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub stored_mib: Option<i64>,

    /// Mebibytes that a tenant may write per day. Defaults to unlimited.
    #[serde(rename = "writeMiBPerDay", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub write_mib_per_day: Option<i64>,

    /// Idempotency-Keys that a tenant may use per day; each is kept for a day. Defaults to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub idempotency_keys_per_day: Option<i64>,

    /// API keys that a tenant may have, not counting revoked and expired ones. Defaults to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub keys: Option<i64>,
}

/// Rate limits per minute, of keys, tenants and clients without a valid key. 0 means unlimited.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RateLimits {
    /// Requests of each key. Defaults to 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub requests_per_minute: Option<i64>,

    /// Searches of each key. Defaults to 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub searches_per_minute: Option<i64>,

    /// Requests of each tenant, over all its keys. Defaults to 8 times requestsPerMinute, and to unlimited for the
    /// tenant `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub tenant_requests_per_minute: Option<i64>,

    /// Searches of each tenant, over all its keys. Defaults to 8 times searchesPerMinute, and to unlimited for the
    /// tenant `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub tenant_searches_per_minute: Option<i64>,

    /// Requests without a valid key, of each client address. Defaults to 600. Behind a proxy, set api.trustProxy so
    /// that clients can be told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub unauthenticated_per_minute: Option<i64>,
}
