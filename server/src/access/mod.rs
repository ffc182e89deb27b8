//! Who is let in and how often: authentication of API keys, rate limits, and limits of requests without a valid key.

pub mod authenticator;
pub mod preauth;
pub mod rate_limit;
