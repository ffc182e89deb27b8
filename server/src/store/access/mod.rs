//! Tenants, API keys, daily quotas and the leased tokens of rate limits.

pub mod api_keys;
pub mod quota;
pub mod rate_limits;
pub mod tenants;
