//! Who is let in, to what, and how often.

mod auth;
mod hostile;
mod isolation;
mod keys;
mod preauth;
mod quota;
mod rate_limit;
mod shares;
mod tenants;
