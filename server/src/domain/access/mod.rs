//! API keys and their scopes, tenant names, client networks, rate limits and lockouts.

pub mod api_key;
pub mod client;
pub mod lockout;
pub mod new_api_key;
pub mod rate_limit;
pub mod scope;
pub mod tenant_name;
