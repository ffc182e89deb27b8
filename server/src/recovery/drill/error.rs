//! Errors of drills.

use super::super::api::ApiFailure;
use super::super::error::RecoveryError;
use crate::store::StoreError;
use crate::tenancy::TenancyError;

/// Why a drill failed.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The backup or its restore failed.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The drill's tenant or key failed.
    #[error("the drill's tenant or key: {0}")]
    Tenancy(#[from] TenancyError),
    /// The API failed.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// The database of the URL is not there.
    #[error(
        "there is no database {0} on the server of DATABASE_URL; a drill takes a backup of the live one: check DATABASE_URL"
    )]
    NoDatabase(String),
    /// What the drill backs up could not be restored.
    #[error(
        "the drill's backup is encrypted to BACKUP_RECIPIENTS, and nothing was given that decrypts it: name the file of an identity \
         with --identity-file or BACKUP_IDENTITY_FILE"
    )]
    IdentityNeeded,
    /// Another drill is under way.
    #[error("another drill of this database is under way; wait for its end")]
    Busy,
    /// The answer to the put is none.
    #[error("the API answered the put of the marker with what is no version")]
    NoVersion,
    /// The marker did not come back.
    #[error("{0}: the marker that was put before the backup {1}")]
    Marker(&'static str, String),
}

impl DrillError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Recovery(error) => error.is_transient(),
            Self::Tenancy(error) => error.is_transient(),
            Self::Api(error) => error.is_transient(),
            Self::Busy => true,
            _ => false,
        }
    }
}

impl From<StoreError> for DrillError {
    fn from(error: StoreError) -> Self {
        Self::Recovery(error.into())
    }
}
