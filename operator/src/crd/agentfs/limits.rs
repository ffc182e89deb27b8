//! `spec.quotas` and `spec.rateLimits`: what tenants, keys and strangers may do.

// In a manifest each field says its unit. An attribute of a type does not reach the copy that its derive makes.
#![allow(clippy::struct_field_names)]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a tenant may have, and do in a day (UTC). 0 is without limit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Quotas {
    /// Versions that a tenant may write. Left out: 5000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub writes_per_day: Option<i64>,

    /// Searches that a tenant may make. Left out: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub searches_per_day: Option<i64>,

    /// Tokens that a tenant may have embedded. Left out: 2000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub embed_tokens_per_day: Option<i64>,

    /// Mebibytes of versions that a tenant may have stored. Left out: without limit.
    #[serde(rename = "storedMiB", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub stored_mib: Option<i64>,

    /// Mebibytes that a tenant may write. Left out: without limit.
    #[serde(rename = "writeMiBPerDay", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub write_mib_per_day: Option<i64>,

    /// Idempotency-Keys that a tenant may use; each is kept for a day. Left out: 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub idempotency_keys_per_day: Option<i64>,

    /// API keys that a tenant may have, without those that are revoked or expired. Left out: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub keys: Option<i64>,
}

/// What a key, a tenant, or a client without a key may do in a minute. 0 is without limit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RateLimits {
    /// Requests of a key. Left out: 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub requests_per_minute: Option<i64>,

    /// Searches of a key. Left out: 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub searches_per_minute: Option<i64>,

    /// Requests of a tenant, by all of its keys. Left out, the server chooses
    /// (`agentfs-server serve --help`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub tenant_requests_per_minute: Option<i64>,

    /// Searches of a tenant, by all of its keys. Left out, the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub tenant_searches_per_minute: Option<i64>,

    /// Requests without a valid key, of a client. Left out: 600. Behind a proxy, api.trustProxy tells
    /// clients apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub unauthenticated_per_minute: Option<i64>,
}
