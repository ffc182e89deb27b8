//! Why a use case of tenancy was not done.

use super::NotAllowed;
use super::models::NotPossible;
use crate::domain::TenantId;
use crate::domain::access::api_key::{MalformedKey, MalformedKeyId};
use crate::domain::access::new_api_key::InvalidNewApiKey;
use crate::domain::access::tenant_name::InvalidTenantName;
use crate::store::StoreError;
use crate::store::schema::SchemaMismatch;

/// Why a use case of tenancy was not done. It shows what is wrong; what to do about it depends on how one asks.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The administrator may not do that.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// No such key can be made.
    #[error(transparent)]
    NewKey(#[from] InvalidNewApiKey),
    /// No tenant can have such a name.
    #[error(transparent)]
    TenantName(#[from] InvalidTenantName),
    /// No key has such an id.
    #[error(transparent)]
    KeyId(#[from] MalformedKeyId),
    /// The text that a deployment gives is no key.
    #[error("AGENTFS_ADMIN_KEY is not valid: {0}")]
    AdminKey(#[from] MalformedKey),
    /// A tenant that does not exist.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// A key that does not exist.
    #[error("there is no key {0}")]
    NoKey(String),
    /// A model that does not exist.
    #[error("there is no embedding model {0}")]
    NoModel(String),
    /// What a model's state does not allow.
    #[error(transparent)]
    Model(#[from] NotPossible),
    /// The database has no schema, or another program's.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TenancyError {
    /// Whether the same may succeed later, without anybody mending something.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}
