//! Creates, lists and revokes API keys.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Administrator, Tenancy, TenancyError, must_exist};
use crate::audit::Actor;
use crate::domain::access::api_key::{ApiKey, KeyId};
use crate::domain::access::new_api_key::NewApiKey;
use crate::domain::access::scope::{Scope, Scopes};
use crate::domain::{DEFAULT_TENANT, TenantId};
use crate::store::access::api_keys::{self, ListedKey, RevokedKey, Stored};

/// The manager of the key of AGENTFS_ADMIN_KEY; a new key revokes only keys of this manager.
const DEPLOYMENT: &str = "deployment";

/// An unvalidated request for a key.
#[derive(Debug, Clone)]
pub struct CreateKeyRequest {
    /// Its purpose.
    pub label: String,
    /// Its tenant; by default the administrator's own.
    pub tenant: Option<TenantId>,
    /// The names of its scopes; by default all that serve memory.
    pub scopes: Option<Vec<String>>,
    /// When it expires; by default never.
    pub expires_in_seconds: Option<i64>,
}

/// A created key. Its secret is stored nowhere else.
#[derive(Debug)]
pub struct NewKey {
    /// The key.
    pub key: ApiKey,
    /// Its tenant.
    pub tenant: TenantId,
}

impl Tenancy {
    /// Creates a key.
    pub async fn create_key(
        &self,
        by: Administrator,
        request: &CreateKeyRequest,
    ) -> Result<NewKey, TenancyError> {
        let CreateKeyRequest { label, tenant, scopes, expires_in_seconds } = request;
        let tenant = by.tenant(*tenant)?;
        let now = Timestamp::now();
        let new_key = NewApiKey::new(label, scopes.as_deref(), *expires_in_seconds, now)?;
        let key = ApiKey::generate();
        let insert = async {
            let mut connection = self.connection().await?;
            let act = by.begin("create_key", key.id().as_str(), Some(tenant));
            let stored = api_keys::insert(&mut connection, &key, tenant, &new_key, self.1).await?;
            match stored {
                Stored::New => act.done(&format!("scopes {}", new_key.scopes().names().join(","))),
                Stored::NoTenant | Stored::TooMany => act.nothing(),
            }
            Ok(stored)
        };
        match self.0.noting(insert).await? {
            Stored::New => Ok(NewKey { key, tenant }),
            Stored::NoTenant => Err(TenancyError::NoTenant(tenant)),
            Stored::TooMany => Err(TenancyError::TooManyKeys(self.1.unwrap_or_default())),
        }
    }

    /// Lists the keys of `tenant`, else of all that the administrator may administer, the oldest first.
    pub async fn keys(
        &self,
        by: Administrator,
        tenant: Option<TenantId>,
    ) -> Result<Vec<ListedKey>, TenancyError> {
        let tenant = by.tenants(tenant)?;
        let mut connection = self.connection().await?;
        must_exist(&mut connection, tenant).await?;
        Ok(api_keys::list(&mut *connection, tenant).await?)
    }

    /// Revokes a key by its id; it stops working within 10 s on every replica.
    pub async fn revoke_key(
        &self,
        by: Administrator,
        id: &str,
    ) -> Result<(KeyId, RevokedKey), TenancyError> {
        by.must_be_of_all()?;
        let id = KeyId::parse(id)?;
        let mut connection = self.connection().await?;
        let act = by.begin("revoke_key", id.as_str(), None);
        let revoked = api_keys::revoke(&mut *connection, &id).await?;
        match &revoked {
            Some(revoked) if !revoked.already => act.of(revoked.tenant).done(""),
            _ => act.nothing(),
        }
        let revoked = revoked.ok_or_else(|| TenancyError::NoKey(id.as_str().to_owned()))?;
        Ok((id, revoked))
    }

    /// Makes `key` the deployment's one valid admin key of the default tenant; an earlier one is revoked.
    pub async fn keep_admin_key(&self, key: &SecretString) -> Result<(), TenancyError> {
        let key = ApiKey::parse(key.expose_secret().trim())?;
        self.keep_key(&key, [Scope::Admin].into_iter().collect(), DEPLOYMENT).await
    }

    /// Makes `key` the only valid key that `manager` has in the default tenant; its earlier one is revoked.
    pub async fn keep_key(
        &self,
        key: &ApiKey,
        scopes: Scopes,
        manager: &str,
    ) -> Result<(), TenancyError> {
        let mut connection = self.connection().await?;
        let act = Actor::command().begin("keep_key", key.id().as_str(), Some(DEFAULT_TENANT));
        api_keys::keep_managed(&mut *connection, key, DEFAULT_TENANT, scopes, manager).await?;
        act.done(&format!("scopes {}; kept by {manager}", scopes.names().join(",")));
        Ok(())
    }
}
