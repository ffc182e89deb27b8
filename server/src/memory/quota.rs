//! The quotas of a tenant's day.

/// What a tenant may do so often a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Puts and deletes.
    Writes,
    /// Searches.
    Searches,
    /// Tokens of what is embedded.
    EmbedTokens,
}

impl Quota {
    /// What is counted, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::Searches => "searches",
            Self::EmbedTokens => "embedding tokens",
        }
    }

    /// The setting that says how many.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Writes => "WRITE_QUOTA_PER_DAY",
            Self::Searches => "SEARCH_QUOTA_PER_DAY",
            Self::EmbedTokens => "EMBED_TOKENS_QUOTA_PER_DAY",
        }
    }
}
