//! Errors of the use cases of tenancy.

use super::NotAllowed;
use super::models::NotPossible;
use crate::domain::TenantId;
use crate::domain::access::api_key::{MalformedKey, MalformedKeyId};
use crate::domain::access::new_api_key::InvalidNewApiKey;
use crate::domain::access::tenant_name::InvalidTenantName;
use crate::domain::cursor::InvalidCursor;
use crate::domain::page_size::InvalidLimit;
use crate::store::StoreError;
use crate::store::schema::SchemaMismatch;

/// Why a use case of tenancy failed. Says what is wrong; what to do about it depends on the caller.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The administrator may not do that.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The new key is invalid.
    #[error(transparent)]
    NewKey(#[from] InvalidNewApiKey),
    /// The tenant's name is invalid.
    #[error(transparent)]
    TenantName(#[from] InvalidTenantName),
    /// The key id is malformed.
    #[error(transparent)]
    KeyId(#[from] MalformedKeyId),
    /// The deployment's admin key is malformed.
    #[error("AGENTFS_ADMIN_KEY is not valid: {0}")]
    AdminKey(#[from] MalformedKey),
    /// The size of a page is out of range.
    #[error(transparent)]
    Limit(#[from] InvalidLimit),
    /// The cursor is of another request, or invalid.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The key that makes another has been revoked or has expired meanwhile.
    #[error("the key that asks has been revoked or has expired")]
    MakerEnded,
    /// A key is to revoke itself.
    #[error("a key cannot revoke itself; make another admin key, and revoke this one with that")]
    RevokesItself,
    /// The tenant does not exist.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// The tenant has its most keys.
    #[error(
        "the tenant has {0} keys that are neither revoked nor expired, which is the most (MAX_KEYS_PER_TENANT); revoke one, or ask an operator to raise it"
    )]
    TooManyKeys(i64),
    /// The key does not exist.
    #[error("there is no key {0}")]
    NoKey(String),
    /// The model does not exist.
    #[error("there is no embedding model {0}")]
    NoModel(String),
    /// The model's state does not allow it.
    #[error(transparent)]
    Model(#[from] NotPossible),
    /// The administrator's tenant has too many requests waiting for the database, or waited for its turn too long.
    #[error("other requests of administrators are using the database; try again")]
    Busy,
    /// The database has no schema, or another program's.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TenancyError {
    /// Whether a retry may succeed without anybody fixing something.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }
}
