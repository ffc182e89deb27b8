//! What operators do by command.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::domain::api_key::{ApiKey, MalformedKey};
use crate::domain::scope::{DEFAULT_SCOPES, Scope, UnknownScope};
use crate::domain::{DEFAULT_TENANT, TenantId};
use crate::store::StoreError;
use crate::store::api_keys::{self, NewKey};
use crate::store::connect::DatabaseAddress;

/// Who keeps the key of AGENTFS_ADMIN_KEY; only such keys are revoked by a new one.
const DEPLOYMENT: &str = "deployment";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A scope that does not exist.
    #[error(transparent)]
    Scope(#[from] UnknownScope),
    /// A tenant that does not exist.
    #[error("there is no tenant {0}")]
    NoTenant(Uuid),
    /// A time that cannot be.
    #[error("--expires-in-seconds is {0}; it must be above 0 and end before the year 9999")]
    Expiry(i64),
    /// AGENTFS_ADMIN_KEY is no key.
    #[error("AGENTFS_ADMIN_KEY is not valid: {0}")]
    AdminKey(#[from] MalformedKey),
}

/// A key that is to be made.
#[derive(Debug, Clone, clap::Args)]
pub struct CreateKey {
    /// What the key is for
    #[arg(long, default_value = "")]
    pub label: String,
    /// The tenant whose key it is; without it the default tenant
    #[arg(long)]
    pub tenant: Option<Uuid>,
    /// A scope of the key (memory:read, memory:write, search:read, admin); may be repeated. Without it the first three
    #[arg(long = "scope")]
    pub scopes: Vec<String>,
    /// When the key ends by itself; without it never
    #[arg(long)]
    pub expires_in_seconds: Option<i64>,
}

/// Makes a key; it is shown this once.
pub async fn create_key(
    address: &DatabaseAddress,
    wanted: &CreateKey,
) -> Result<ApiKey, AdminError> {
    let scopes = if wanted.scopes.is_empty() {
        DEFAULT_SCOPES.into_iter().collect()
    } else {
        wanted.scopes.iter().map(|name| name.parse::<Scope>()).collect::<Result<_, _>>()?
    };
    let expires_at = match wanted.expires_in_seconds {
        None => None,
        Some(seconds) => Some(
            Timestamp::now()
                .checked_add(SignedDuration::from_secs(seconds))
                .ok()
                .filter(|_| seconds > 0)
                .ok_or(AdminError::Expiry(seconds))?,
        ),
    };
    let tenant = wanted.tenant.map_or(DEFAULT_TENANT, TenantId);
    let key = ApiKey::generate();
    let new = NewKey { tenant, scopes, label: &wanted.label, expires_at };
    let mut connection = address.connect_unlimited().await?;
    if api_keys::insert(&mut connection, &key, &new).await? {
        Ok(key)
    } else {
        Err(AdminError::NoTenant(tenant.0))
    }
}

/// Makes `key` the deployment's one valid admin key of the default tenant; an earlier one is revoked.
pub async fn keep_admin_key(
    address: &DatabaseAddress,
    key: &SecretString,
) -> Result<(), AdminError> {
    let key = ApiKey::parse(key.expose_secret().trim())?;
    let mut connection = address.connect_unlimited().await?;
    let scopes = [Scope::Admin].into_iter().collect();
    api_keys::keep_managed(&mut connection, &key, DEFAULT_TENANT, scopes, DEPLOYMENT).await?;
    Ok(())
}
