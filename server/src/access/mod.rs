//! Access control: authentication of API keys, rate limits per key, and limits on unauthenticated requests.

pub mod authenticator;
pub mod preauth;
pub mod rate_limit;
pub mod strangers;
