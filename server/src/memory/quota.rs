//! Daily quotas of tenants.

use agentfs_contract::setting;

/// A daily quota of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Puts and deletes.
    Writes,
    /// Searches.
    Searches,
    /// Embedded tokens.
    EmbedTokens,
}

impl Quota {
    /// The counted unit, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::Searches => "searches",
            Self::EmbedTokens => "embedding tokens",
        }
    }

    /// The setting of the quota.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Writes => setting::WRITE_QUOTA_PER_DAY,
            Self::Searches => setting::SEARCH_QUOTA_PER_DAY,
            Self::EmbedTokens => setting::EMBED_TOKENS_QUOTA_PER_DAY,
        }
    }
}
