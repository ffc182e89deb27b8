//! Tenants, API keys, daily quotas and leased rate limit tokens.

pub mod api_keys;
pub mod key_limit;
pub mod quota;
pub mod rate_limits;
pub mod revoke;
pub mod tenants;
