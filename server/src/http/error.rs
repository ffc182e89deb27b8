//! API errors and their envelope, the one form of every answer that is no success.

use std::borrow::Cow;

pub use agentfs_contract::error_code::ErrorCode as Code;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::authenticator::{AuthError, LookUpError};
use crate::domain::memory::idempotency::InvalidIdempotencyKey;
use crate::domain::memory::path::InvalidPath;
use crate::domain::memory::usage::WriteQuota;
use crate::domain::page_size::InvalidLimit;
use crate::group_commit::BatchError;
use crate::memory::edit::EditError;
use crate::memory::{MemoryError, Quota};
use crate::runtime::byte_budget::BudgetSpent;
use crate::store::StoreError;
use crate::store::schema::SchemaMismatch;
use crate::tenancy::TenancyError;

/// The status of an answer with that code.
fn status(code: Code) -> StatusCode {
    match code {
        Code::ValidationError
        | Code::InvalidPath
        | Code::InvalidGlob
        | Code::InvalidIdempotencyKey
        | Code::TenantNotFound => StatusCode::BAD_REQUEST,
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden | Code::ReservedPath => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::BodyTooLarge | Code::AnswerTooLarge | Code::SubtreeTooLarge => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::VersionConflict | Code::VersionGone | Code::DestinationExists => StatusCode::CONFLICT,
        Code::IdempotencyKeyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RateLimitExceeded
        | Code::PreauthRateLimitExceeded
        | Code::AuthLockout
        | Code::QuotaWritesPerDay
        | Code::QuotaWriteBytesPerDay
        | Code::QuotaIdempotencyKeysPerDay
        | Code::QuotaStoredBytes
        | Code::QuotaSearches
        | Code::QuotaEmbedTokensPerDay => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::EmbeddingsNotConfigured | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Tells clients that send requests again by themselves, such as those that Stainless generates, whether to.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error answer. [`super::middleware::observe`] writes its body, since only there the request's id is known.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: Code,
    message: Cow<'static, str>,
    retry_after_seconds: Option<u32>,
    conflict: Option<Conflict>,
}

impl ApiError {
    /// An error with a sentence that says what is wrong and what to do.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_seconds: None, conflict: None }
    }

    /// An internal error; the log has the details.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "the server failed to answer; its log has the reason under this request's id",
        )
    }

    /// The database is temporarily unavailable.
    pub fn unavailable(message: &'static str) -> Self {
        Self::new(Code::Unavailable, message).retry_after(1)
    }

    /// The database takes no writes.
    fn read_only() -> Self {
        Self::unavailable(
            "the database takes no writes at this moment, as during a failover; nothing was written; try again",
        )
    }

    /// The database has run out of a resource, which seldom passes within a second.
    fn exhausted() -> Self {
        Self::unavailable(
            "the database has run out of disk, memory or another resource; nothing was written; try again later",
        )
        .retry_after(10)
    }

    /// Sets Retry-After.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// The same, said of one operation of several.
    #[must_use]
    pub fn of_operation(self, index: usize) -> Self {
        let message = format!("operations[{index}]: {}", self.message).into();
        Self { message, ..self }
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong and what to do, for a reader who sees neither status nor headers.
    pub fn sentence(&self) -> String {
        let code = self.code.as_str();
        match self.retry_after_seconds {
            Some(seconds) => format!("{code}: {} (try again after {seconds} s)", self.message),
            None => format!("{code}: {}", self.message),
        }
    }

    /// The body with the request's id in it.
    pub fn body(&self, request_id: &str) -> Body {
        self.json(Some(request_id)).into()
    }

    /// The envelope; without a request id for one of several answers to a request.
    pub fn json(&self, request_id: Option<&str>) -> Vec<u8> {
        let error =
            Inner { code: self.code, message: &self.message, request_id, conflict: self.conflict };
        serde_json::to_vec(&Envelope { error }).unwrap_or_default()
    }
}

/// The body of every response that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<'a> {
    #[schema(value_type = DescribedError)]
    error: Inner<'a>,
}

#[derive(Debug, Serialize)]
struct Inner<'a> {
    code: Code,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    conflict: Option<Conflict>,
}

/// The actual state that contradicts the expectation of a write.
#[derive(Debug, Clone, Copy, Serialize)]
struct Conflict {
    /// The current live version, or null.
    current_version_id: Option<Uuid>,
}

/// What is wrong, and what to do about it.
#[derive(Debug, ToSchema)]
#[schema(as = Error)]
#[expect(dead_code, reason = "this describes what is flattened above")]
struct DescribedError {
    /// The code, for programs.
    code: Code,
    /// A message for people: what is wrong and what to do.
    message: String,
    /// The X-Request-Id of the response; absent within a batch.
    request_id: Option<String>,
    /// Only with VERSION_CONFLICT: the latest version, or null if the entry does not exist.
    current_version_id: Option<Uuid>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status(self.code).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthorized {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // Such clients take a 409, a 429 and a 503 for something that passes.
        let is_conflict = response.status() == StatusCode::CONFLICT;
        let is_lasting = [Code::EmbeddingsNotConfigured, Code::QuotaStoredBytes];
        if is_conflict || is_lasting.contains(&self.code) {
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<MemoryError> for ApiError {
    fn from(error: MemoryError) -> Self {
        let code = match error {
            MemoryError::Path(InvalidPath::Reserved(_)) => Code::ReservedPath,
            MemoryError::Path(_) => Code::InvalidPath,
            MemoryError::Glob(_) => Code::InvalidGlob,
            MemoryError::Edit(EditError::NoEntry(_)) | MemoryError::NothingToMove(_) => {
                Code::NotFound
            }
            MemoryError::Edit(EditError::TooLarge(_)) => Code::BodyTooLarge,
            MemoryError::AgentId(_)
            | MemoryError::Edit(_)
            | MemoryError::Value(_)
            | MemoryError::Tags(_)
            | MemoryError::TagsAny(_)
            | MemoryError::Limit(_)
            | MemoryError::Importance(_)
            | MemoryError::TtlSeconds(_)
            | MemoryError::Query(_)
            | MemoryError::Cursor(_)
            | MemoryError::AsOf(_)
            | MemoryError::AsOfInFuture { .. }
            | MemoryError::Depth(_)
            | MemoryError::DepthOfPast
            | MemoryError::Filter(_)
            | MemoryError::NewestOfPast
            | MemoryError::AsOfInBatch
            | MemoryError::Overlap(_)
            | MemoryError::ConditionOfSubtree
            | MemoryError::Operations(_) => Code::ValidationError,
            MemoryError::DestinationExists(_) => Code::DestinationExists,
            MemoryError::TooManyEntries { .. }
            | MemoryError::TooManyBytes(_)
            | MemoryError::TooSlow => Code::SubtreeTooLarge,
            MemoryError::BatchTooLarge
            | MemoryError::SearchTooDear
            | MemoryError::TooMuchSince
            | MemoryError::TooManyToOrder => Code::AnswerTooLarge,
            MemoryError::VersionGone(_) => Code::VersionGone,
            MemoryError::KeyReused => Code::IdempotencyKeyMismatch,
            MemoryError::EmbeddingsNotConfigured => Code::EmbeddingsNotConfigured,
            MemoryError::Conflict { current } => {
                let conflict = Some(Conflict { current_version_id: current });
                return Self { conflict, ..Self::new(Code::VersionConflict, error.to_string()) };
            }
            MemoryError::QuotaUsedUp(quota) => {
                let refused = Self::new(code_of(quota), error.to_string());
                return if quota.is_daily() {
                    refused.retry_after(seconds_until_midnight())
                } else {
                    refused
                };
            }
            MemoryError::VersionUnknown(_)
            | MemoryError::Busy
            | MemoryError::TooManyChanges
            | MemoryError::TimedOut => {
                return Self::new(Code::Unavailable, error.to_string()).retry_after(1);
            }
            MemoryError::SemanticSearchUnavailable { after, .. } => {
                let seconds = u32::try_from(after.as_secs().max(1)).unwrap_or(u32::MAX);
                return Self::new(Code::Unavailable, error.to_string()).retry_after(seconds);
            }
            MemoryError::Operation { index, error } => {
                return Self::from(*error).of_operation(index);
            }
            MemoryError::GroupCommit(error) => return error.into(),
            MemoryError::BudgetSpent(spent) => return spent.into(),
            MemoryError::Store(error) => return Self::from(&*error),
            MemoryError::Mismatched => return Self::internal(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<TenancyError> for ApiError {
    fn from(error: TenancyError) -> Self {
        let code = match error {
            TenancyError::NotAllowed(_) | TenancyError::TooManyKeys(_) => Code::Forbidden,
            TenancyError::MakerEnded => Code::Unauthorized,
            TenancyError::NewKey(_)
            | TenancyError::TenantName(_)
            | TenancyError::KeyId(_)
            | TenancyError::AdminKey(_)
            | TenancyError::Limit(_)
            | TenancyError::Cursor(_)
            | TenancyError::RevokesItself
            | TenancyError::Model(_) => Code::ValidationError,
            TenancyError::NoTenant(_) => {
                return Self::new(Code::TenantNotFound, "tenant_id names no tenant");
            }
            TenancyError::NoKey(_) | TenancyError::NoModel(_) => Code::NotFound,
            TenancyError::Busy => {
                return Self::new(Code::Unavailable, error.to_string()).retry_after(1);
            }
            TenancyError::Schema(error) => return error.into(),
            TenancyError::Store(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<InvalidLimit> for ApiError {
    fn from(error: InvalidLimit) -> Self {
        Self::new(Code::ValidationError, error.to_string())
    }
}

fn code_of(quota: Quota) -> Code {
    match quota {
        Quota::Write(WriteQuota::Writes) => Code::QuotaWritesPerDay,
        Quota::Write(WriteQuota::Bytes) => Code::QuotaWriteBytesPerDay,
        Quota::Write(WriteQuota::IdempotencyKeys) => Code::QuotaIdempotencyKeysPerDay,
        Quota::Write(WriteQuota::StoredBytes) => Code::QuotaStoredBytes,
        Quota::Searches => Code::QuotaSearches,
        Quota::EmbedTokens => Code::QuotaEmbedTokensPerDay,
    }
}

/// Days begin at midnight UTC, and quotas with them.
fn seconds_until_midnight() -> u32 {
    let now = jiff::Timestamp::now().as_second();
    u32::try_from(86_400 - now.rem_euclid(86_400)).unwrap_or(86_400)
}

impl From<InvalidIdempotencyKey> for ApiError {
    fn from(error: InvalidIdempotencyKey) -> Self {
        Self::new(Code::InvalidIdempotencyKey, error.to_string())
    }
}

impl From<BudgetSpent> for ApiError {
    fn from(spent: BudgetSpent) -> Self {
        Self::new(Code::Unavailable, spent.to_string()).retry_after(1)
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Unavailable { unknown: false } => Self::unavailable(
                "the database cannot answer at this moment; nothing was written; try again",
            ),
            BatchError::Unavailable { unknown: true } => Self::unavailable(
                "the connection to the database was lost; a write may or may not have happened; read before you write again",
            ),
            BatchError::ReadOnly => Self::read_only(),
            BatchError::Exhausted => Self::exhausted(),
            BatchError::Busy => Self::unavailable(
                "the entry is being written by too many at once; nothing was written; try again",
            ),
            BatchError::Refused => Self::new(
                Code::ValidationError,
                "the database cannot hold this request's data; nothing was written",
            ),
            BatchError::Failed => Self::internal(),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        // What is told of a key is what its sender can see of it.
        let unauthorized = |sentence| Self::new(Code::Unauthorized, sentence);
        match error {
            AuthError::Missing => unauthorized(
                "there is no API key; send the header Authorization: Bearer <id>.<secret>",
            ),
            AuthError::NoBearer => unauthorized(
                "the header Authorization does not begin with Bearer; send Authorization: Bearer <id>.<secret>",
            ),
            AuthError::Malformed => unauthorized(
                "the API key is malformed; send all of it as it was shown: Authorization: Bearer <id>.<secret>",
            ),
            AuthError::Invalid | AuthError::WrongSecret(_) => unauthorized(
                "the API key is unknown, revoked or expired; send a valid one: Authorization: Bearer <id>.<secret>",
            ),
            AuthError::LookUp(error) => match &*error {
                LookUpError::TooMany(_) => Self::unavailable(
                    "too many unknown API keys are looked up at this moment, and this one was not used here before; try again",
                ),
                LookUpError::Store(error) => {
                    tracing::error!("API key cannot be looked up: {error}");
                    Self::unavailable("the database cannot answer at this moment; try again")
                }
            },
        }
    }
}

impl From<SchemaMismatch> for ApiError {
    fn from(_: SchemaMismatch) -> Self {
        // Which it is, and what to do, is said by /readyz and in the log, to those who run the server.
        Self::unavailable(
            "the database is being migrated or restored, or is not for this server; try again",
        )
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

/// An error that many wait for.
impl From<&StoreError> for ApiError {
    fn from(error: &StoreError) -> Self {
        tracing::error!("request failed: {error}");
        match error {
            StoreError::Unreachable(_)
            | StoreError::Contended(_)
            | StoreError::Replaced(_)
            | StoreError::TimedOut(_) => {
                Self::unavailable("the database cannot answer at this moment; try again")
            }
            StoreError::ReadOnly(_) => Self::read_only(),
            StoreError::Exhausted(_) => Self::exhausted(),
            StoreError::Refused(_) | StoreError::Failed(_) => Self::internal(),
        }
    }
}
