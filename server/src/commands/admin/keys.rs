//! `agentfs-server admin create-key`, `list-keys` and `revoke-key`; and the admin key of a deployment.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::output::Table;
use super::{AdminError, must_exist, open};
use crate::domain::access::api_key::{ApiKey, KeyId, KeyState};
use crate::domain::access::new_api_key::NewApiKey;
use crate::domain::access::scope::Scope;
use crate::domain::{DEFAULT_TENANT, TenantId, rfc3339};
use crate::store::access::api_keys::{self, ListedKey};
use crate::store::connection::address::DatabaseAddress;

/// The manager of the key of AGENTFS_ADMIN_KEY; a new key revokes only keys of this manager.
const DEPLOYMENT: &str = "deployment";

/// A key that is to be made.
#[derive(Debug, Clone, clap::Args)]
pub struct CreateKey {
    /// What the key is for
    #[arg(long, default_value = "")]
    pub label: String,
    /// The tenant whose key it is; without it the default tenant
    #[arg(long, value_name = "ID")]
    pub tenant: Option<Uuid>,
    /// A scope of the key (memory:read, memory:write, search:read, admin); may be repeated. Without it the first three
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// When the key ends by itself; without it never
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub expires_in_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Created {
    ok: bool,
    api_key: String,
    key_id: String,
    tenant_id: Uuid,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.api_key)
    }
}

impl CreateKey {
    fn tenant(&self) -> TenantId {
        self.tenant.map_or(DEFAULT_TENANT, TenantId)
    }

    pub(crate) async fn run(&self, address: &DatabaseAddress) -> Result<Created, AdminError> {
        let key = create_key(address, self).await?;
        Ok(Created {
            ok: true,
            api_key: key.reveal().expose_secret().to_owned(),
            key_id: key.id().as_str().to_owned(),
            tenant_id: self.tenant().0,
        })
    }
}

/// Creates a key and prints it this once.
pub async fn create_key(
    address: &DatabaseAddress,
    wanted: &CreateKey,
) -> Result<ApiKey, AdminError> {
    let scopes = (!wanted.scopes.is_empty()).then_some(wanted.scopes.as_slice());
    let now = Timestamp::now();
    let new_key = NewApiKey::new(&wanted.label, scopes, wanted.expires_in_seconds, now)?;
    let key = ApiKey::generate();
    let tenant = wanted.tenant();
    if api_keys::insert(&mut open(address).await?, &key, tenant, &new_key).await? {
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
    let scopes = [Scope::Admin].into_iter().collect();
    let mut connection = open(address).await?;
    api_keys::keep_managed(&mut connection, &key, DEFAULT_TENANT, scopes, DEPLOYMENT).await?;
    Ok(())
}

/// Which keys are to be listed.
#[derive(Debug, clap::Args)]
pub(crate) struct ListKeys {
    /// The tenant whose keys are listed; without it those of all
    #[arg(long, value_name = "ID")]
    tenant: Option<Uuid>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Keys {
    keys: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    key_id: String,
    tenant_id: Uuid,
    state: KeyState,
    label: String,
    scopes: Vec<String>,
    managed_by: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

impl Row {
    fn of(key: ListedKey, now: Timestamp) -> Self {
        Self {
            key_id: key.id,
            tenant_id: key.tenant.0,
            state: KeyState::at(now, key.expires_at, key.revoked_at),
            label: key.label,
            scopes: key.scopes,
            managed_by: key.managed_by,
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.keys.iter().map(|key| {
            [
                key.key_id.clone(),
                key.tenant_id.to_string(),
                key.state.as_str().to_owned(),
                key.scopes.join(","),
                key.label.clone(),
                key.managed_by.clone().unwrap_or_default(),
                key.created_at.clone(),
                key.expires_at.clone().unwrap_or_default(),
            ]
        });
        let heading = ["ID", "TENANT", "STATE", "SCOPES", "LABEL", "KEPT BY", "CREATED", "EXPIRES"];
        Table::new(heading, rows).fmt(f)
    }
}

impl ListKeys {
    pub(crate) async fn run(&self, address: &DatabaseAddress) -> Result<Keys, AdminError> {
        let mut connection = open(address).await?;
        let tenant = must_exist(&mut connection, self.tenant).await?;
        let keys = api_keys::list(&mut connection, tenant).await?;
        let now = Timestamp::now();
        Ok(Keys { keys: keys.into_iter().map(|key| Row::of(key, now)).collect() })
    }
}

/// A key that is to be ended.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeKey {
    /// The key's id, which is its part before the dot
    key_id: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    ok: bool,
    key_id: String,
    tenant_id: Uuid,
    label: String,
    revoked_at: String,
    /// It had been revoked before, and stays so.
    already: bool,
    managed_by: Option<String>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, tenant_id, label, revoked_at, .. } = self;
        if self.already {
            return write!(f, "key {key_id} of tenant {tenant_id} was revoked at {revoked_at}");
        }
        write!(
            f,
            "key {key_id} ({label:?}) of tenant {tenant_id} is revoked; it stops working within 10 s on every replica"
        )?;
        if let Some(manager) = &self.managed_by {
            write!(
                f,
                "\n{manager} keeps this key and makes it valid again when it runs next; give it another one"
            )?;
        }
        Ok(())
    }
}

impl RevokeKey {
    pub(crate) async fn run(&self, address: &DatabaseAddress) -> Result<Ended, AdminError> {
        let id = KeyId::parse(&self.key_id)?;
        let revoked = api_keys::revoke(&mut open(address).await?, &id)
            .await?
            .ok_or_else(|| AdminError::NoKey(id.as_str().to_owned()))?;
        Ok(Ended {
            ok: true,
            key_id: id.as_str().to_owned(),
            tenant_id: revoked.tenant.0,
            label: revoked.label,
            revoked_at: rfc3339(revoked.revoked_at),
            already: revoked.already,
            managed_by: revoked.managed_by,
        })
    }
}
