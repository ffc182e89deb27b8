//! `agentfs-server admin create-key`, `list-keys` and `revoke-key`.

use std::fmt;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use uuid::Uuid;

use super::tenants::tenant_id;
use super::{AdminError, all_pages};
use crate::commands::output::Table;
use crate::domain::access::api_key::{ApiKey, KeyState};
use crate::domain::{TenantId, rfc3339};
use crate::store::access::api_keys::ListedKey;
use crate::store::connection::address::DatabaseAddress;
use crate::tenancy::keys::{CreateKeyRequest, NewKey};
use crate::tenancy::{Administrator, PageRequest, Tenancy};

/// A key that is to be made.
#[derive(Debug, Clone, clap::Args)]
pub struct CreateKey {
    /// A label that says what the key is for
    #[arg(long, default_value = "")]
    pub label: String,
    /// The tenant of the key. Defaults to the default tenant
    #[arg(long, value_name = "ID", value_parser = tenant_id)]
    pub tenant: Option<Uuid>,
    /// A scope of the key (memory:read, memory:write, search:read, admin); may be repeated. Defaults to the first three
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// How many seconds until the key expires. Defaults to never
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub expires_in_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Created {
    ok: bool,
    api_key: String,
    key_id: String,
    tenant_id: Uuid,
    expires_at: Option<String>,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.api_key)
    }
}

impl CreateKey {
    fn request(&self) -> CreateKeyRequest {
        CreateKeyRequest {
            label: self.label.clone(),
            tenant: self.tenant.map(TenantId),
            scopes: (!self.scopes.is_empty()).then(|| self.scopes.clone()),
            expires_in_seconds: self.expires_in_seconds,
        }
    }

    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Created, AdminError> {
        let NewKey { key, tenant, expires_at } =
            tenancy.create_key(Administrator::command(), &self.request()).await?;
        Ok(Created {
            ok: true,
            api_key: key.reveal().expose_secret().to_owned(),
            key_id: key.id().as_str().to_owned(),
            tenant_id: tenant.0,
            expires_at: expires_at.map(rfc3339),
        })
    }
}

/// Creates a key and prints it this once.
pub async fn create_key(
    address: &DatabaseAddress,
    wanted: &CreateKey,
) -> Result<ApiKey, AdminError> {
    let tenancy = Tenancy::direct(address.clone());
    Ok(tenancy.create_key(Administrator::command(), &wanted.request()).await?.key)
}

/// Which keys are to be listed.
#[derive(Debug, clap::Args)]
pub(crate) struct ListKeys {
    /// The tenant of the keys. Defaults to all tenants
    #[arg(long, value_name = "ID", value_parser = tenant_id)]
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
    created_by: Option<String>,
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
            created_by: key.created_by,
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
                key.created_by.clone().unwrap_or_default(),
                key.created_at.clone(),
                key.expires_at.clone().unwrap_or_default(),
            ]
        });
        let heading = [
            "ID", "TENANT", "STATE", "SCOPES", "LABEL", "KEPT BY", "MADE BY", "CREATED", "EXPIRES",
        ];
        Table::new(heading, rows).fmt(f)
    }
}

impl ListKeys {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Keys, AdminError> {
        let tenant = self.tenant.map(TenantId);
        let page =
            async |page: PageRequest| tenancy.keys(Administrator::command(), tenant, &page).await;
        let (keys, now) = (all_pages(page).await?, Timestamp::now());
        Ok(Keys { keys: keys.into_iter().map(|key| Row::of(key, now)).collect() })
    }
}

/// A key that is to be ended.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeKey {
    /// The id of the key, which is its part before the dot
    key_id: String,
    /// Also revoke the keys that were created with it, directly or indirectly
    #[arg(long)]
    descendants: bool,
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
    revoked_descendants: usize,
    live_descendants: i64,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, tenant_id, label, revoked_at, .. } = self;
        if self.already {
            write!(f, "key {key_id} of tenant {tenant_id} was revoked at {revoked_at}")?;
        } else {
            write!(
                f,
                "key {key_id} ({label:?}) of tenant {tenant_id} is revoked; it stops working within 10 s on every replica"
            )?;
        }
        if self.revoked_descendants > 0 {
            write!(f, "\nkeys made with it that are revoked too: {}", self.revoked_descendants)?;
        }
        if self.live_descendants > 0 {
            let left = self.live_descendants;
            write!(f, "\nkeys made with it that stay valid: {left} (--descendants revokes them)")?;
        }
        match &self.managed_by {
            Some(manager) if !self.already => write!(
                f,
                "\n{manager} keeps this key and makes it valid again when it runs next; give it another one"
            ),
            _ => Ok(()),
        }
    }
}

impl RevokeKey {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Ended, AdminError> {
        let by = Administrator::command();
        let (id, revoked) = tenancy.revoke_key(by, &self.key_id, self.descendants).await?;
        Ok(Ended {
            ok: true,
            key_id: id.as_str().to_owned(),
            tenant_id: revoked.tenant.0,
            label: revoked.label,
            revoked_at: rfc3339(revoked.revoked_at),
            already: revoked.already,
            managed_by: revoked.managed_by,
            revoked_descendants: revoked.descendants.len(),
            live_descendants: revoked.live_descendants,
        })
    }
}
