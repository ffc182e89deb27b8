//! Quotas of tenants.

use agentfs_contract::setting;

use crate::domain::memory::usage::WriteQuota;

/// A quota of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// What bounds puts and deletes.
    Write(WriteQuota),
    /// Searches a day.
    Searches,
    /// Embedded tokens a day.
    EmbedTokens,
}

impl Quota {
    /// The setting of the quota.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Write(WriteQuota::Writes) => setting::WRITE_QUOTA_PER_DAY,
            Self::Write(WriteQuota::Bytes) => setting::WRITE_MIB_QUOTA_PER_DAY,
            Self::Write(WriteQuota::IdempotencyKeys) => setting::IDEMPOTENCY_KEYS_QUOTA_PER_DAY,
            Self::Write(WriteQuota::StoredBytes) => setting::STORED_MIB_QUOTA,
            Self::Searches => setting::SEARCH_QUOTA_PER_DAY,
            Self::EmbedTokens => setting::EMBED_TOKENS_QUOTA_PER_DAY,
        }
    }

    /// Whether it begins anew at midnight.
    pub fn is_daily(self) -> bool {
        self != Self::Write(WriteQuota::StoredBytes)
    }

    /// A sentence for the client whose request does not fit under it.
    pub(super) fn refusal(self) -> String {
        let setting = self.setting();
        let anew = format!("they begin anew at 00:00 UTC, or an operator raises {setting}");
        match self {
            Self::Write(WriteQuota::Writes) => used_up("writes", &anew),
            Self::Searches => used_up("searches", &anew),
            Self::EmbedTokens => used_up("embedding tokens", &anew),
            Self::Write(WriteQuota::IdempotencyKeys) => used_up(
                "Idempotency-Keys",
                &format!("send requests without Idempotency-Key meanwhile; {anew}"),
            ),
            Self::Write(WriteQuota::Bytes) => format!(
                "the value is larger than what is left of the bytes that this tenant may write today; {anew}"
            ),
            Self::Write(WriteQuota::StoredBytes) => format!(
                "this tenant has no room left for what the request writes: each version is kept, so only values that expire (ttl_seconds) and \
                 Idempotency-Keys of more than a day ago give bytes back; an operator raises {setting}"
            ),
        }
    }
}

fn used_up(what: &str, remedy: &str) -> String {
    format!("this tenant has used up its {what} of today; {remedy}")
}
