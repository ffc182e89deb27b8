//! The codes that clients tell errors of the API apart by.

use serde::{Deserialize, Serialize};

/// The error codes, by which clients tell errors apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ErrorCode {
    /// The request's fields are wrong.
    ValidationError,
    /// The path is wrong.
    InvalidPath,
    /// The glob pattern is wrong.
    InvalidGlob,
    /// The Idempotency-Key header is wrong.
    InvalidIdempotencyKey,
    /// The tenant that a key is to be made for does not exist.
    TenantNotFound,
    /// No valid key.
    Unauthorized,
    /// A valid key without the scope.
    Forbidden,
    /// A path of AgentFS itself.
    ReservedPath,
    /// No such route.
    NotFound,
    /// The route takes another method.
    MethodNotAllowed,
    /// The body is too large.
    BodyTooLarge,
    /// What was asked for is too much for one answer.
    AnswerTooLarge,
    /// What is moved or deleted together is too much for one transaction.
    SubtreeTooLarge,
    /// The body is not announced as JSON.
    UnsupportedMediaType,
    /// The entry's latest version is not the one that the write was meant for.
    VersionConflict,
    /// The version that a read must see is not in the database.
    VersionGone,
    /// An entry is where a subtree is to be moved to.
    DestinationExists,
    /// The Idempotency-Key came before, with another request.
    IdempotencyKeyMismatch,
    /// The key has made too many requests within the minute.
    RateLimitExceeded,
    /// Too many requests without a valid key came from the address.
    PreauthRateLimitExceeded,
    /// The address has tried too many wrong keys.
    AuthLockout,
    /// The tenant's writes of the day are used up.
    QuotaWritesPerDay,
    /// The value is larger than what is left of the tenant's bytes of the day.
    QuotaWriteBytesPerDay,
    /// The tenant's Idempotency-Keys of the day are used up.
    QuotaIdempotencyKeysPerDay,
    /// The tenant has no room left for what the request writes.
    QuotaStoredBytes,
    /// The tenant's searches of the day are used up.
    QuotaSearches,
    /// The tenant's embedding tokens of the day are used up.
    QuotaEmbedTokensPerDay,
    /// What was asked for needs a provider of embeddings, and none is configured.
    EmbeddingsNotConfigured,
    /// The server's fault.
    Internal,
    /// Try again.
    Unavailable,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::ValidationError,
        Self::InvalidPath,
        Self::InvalidGlob,
        Self::InvalidIdempotencyKey,
        Self::TenantNotFound,
        Self::Unauthorized,
        Self::Forbidden,
        Self::ReservedPath,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::AnswerTooLarge,
        Self::SubtreeTooLarge,
        Self::UnsupportedMediaType,
        Self::VersionConflict,
        Self::VersionGone,
        Self::DestinationExists,
        Self::IdempotencyKeyMismatch,
        Self::RateLimitExceeded,
        Self::PreauthRateLimitExceeded,
        Self::AuthLockout,
        Self::QuotaWritesPerDay,
        Self::QuotaWriteBytesPerDay,
        Self::QuotaIdempotencyKeysPerDay,
        Self::QuotaStoredBytes,
        Self::QuotaSearches,
        Self::QuotaEmbedTokensPerDay,
        Self::EmbeddingsNotConfigured,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The code as clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::InvalidPath => "INVALID_PATH",
            Self::InvalidGlob => "INVALID_GLOB",
            Self::InvalidIdempotencyKey => "INVALID_IDEMPOTENCY_KEY",
            Self::TenantNotFound => "TENANT_NOT_FOUND",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::ReservedPath => "RESERVED_PATH",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::AnswerTooLarge => "ANSWER_TOO_LARGE",
            Self::SubtreeTooLarge => "SUBTREE_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::VersionConflict => "VERSION_CONFLICT",
            Self::VersionGone => "VERSION_GONE",
            Self::DestinationExists => "DESTINATION_EXISTS",
            Self::IdempotencyKeyMismatch => "IDEMPOTENCY_KEY_MISMATCH",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::PreauthRateLimitExceeded => "PREAUTH_RATE_LIMIT_EXCEEDED",
            Self::AuthLockout => "AUTH_LOCKOUT",
            Self::QuotaWritesPerDay => "QUOTA_WRITES_PER_DAY",
            Self::QuotaWriteBytesPerDay => "QUOTA_WRITE_BYTES_PER_DAY",
            Self::QuotaIdempotencyKeysPerDay => "QUOTA_IDEMPOTENCY_KEYS_PER_DAY",
            Self::QuotaStoredBytes => "QUOTA_STORED_BYTES",
            Self::QuotaSearches => "QUOTA_SEARCHES",
            Self::QuotaEmbedTokensPerDay => "QUOTA_EMBED_TOKENS_PER_DAY",
            Self::EmbeddingsNotConfigured => "EMBEDDINGS_NOT_CONFIGURED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_it_is_named() {
        for code in ErrorCode::ALL {
            let written = serde_json::to_value(code).unwrap();
            assert_eq!(written, code.as_str());
            assert_eq!(serde_json::from_value::<ErrorCode>(written).unwrap(), code);
        }
    }
}
