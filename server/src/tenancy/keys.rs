//! Creates, lists, revokes and rotates API keys.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Administrator, Connection, Page, PageRequest, Tenancy, TenancyError, must_exist};
use crate::domain::access::api_key::{ApiKey, KeyId};
use crate::domain::access::new_api_key::{InvalidNewApiKey, NewApiKey};
use crate::domain::access::scope::{Scope, Scopes};
use crate::domain::{DEFAULT_TENANT, TenantId, rfc3339};
use crate::store::access::api_keys::{self, ListedKey, Rotated, Stored};
use crate::store::access::revoke::{self, Revocation, RevokedKey};

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
    /// When it expires; by default with the key that makes it, else never.
    pub expires_in_seconds: Option<i64>,
}

/// A created key. Its secret is stored nowhere else.
#[derive(Debug)]
pub struct NewKey {
    /// The key.
    pub key: ApiKey,
    /// Its tenant.
    pub tenant: TenantId,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl Tenancy {
    /// Creates a key. It expires no later than the key that makes it.
    pub async fn create_key(
        &self,
        by: Administrator,
        request: &CreateKeyRequest,
    ) -> Result<NewKey, TenancyError> {
        let CreateKeyRequest { label, tenant, scopes, expires_in_seconds } = request;
        let tenant = by.tenant(*tenant)?;
        let now = Timestamp::now();
        let new_key = NewApiKey::new(label, scopes.as_deref(), *expires_in_seconds, now)?;
        let scopes = new_key.scopes().names().join(",");
        let key = ApiKey::generate();
        let most_keys = self.1;
        let insert = move |mut connection: Connection, by: Administrator| async move {
            let act = by.begin("create_key", key.id().as_str(), Some(tenant));
            let stored =
                api_keys::insert(&mut connection, &key, tenant, new_key, by.key(), most_keys)
                    .await?;
            if let Stored::New(expires_at) = stored {
                let ends = expires_at.map_or_else(|| "never".to_owned(), rfc3339);
                act.done(&format!("scopes {scopes}; expires {ends}"));
            } else {
                act.nothing();
            }
            Ok((key, stored))
        };
        let (key, stored) = self.to_the_end(by, insert).await?;
        match stored {
            Stored::New(expires_at) => Ok(NewKey { key, tenant, expires_at }),
            Stored::NoTenant => Err(TenancyError::NoTenant(tenant)),
            Stored::TooMany => Err(TenancyError::TooManyKeys(most_keys.unwrap_or_default())),
            Stored::NoMaker => Err(TenancyError::MakerEnded),
            Stored::OutlivesMaker(at) => Err(InvalidNewApiKey::OutlivesMaker(at).into()),
        }
    }

    /// A page of the keys of `tenant`, else of all that the administrator may administer: tenant by tenant, the oldest first.
    pub async fn keys(
        &self,
        by: Administrator,
        tenant: Option<TenantId>,
        page: &PageRequest,
    ) -> Result<Page<ListedKey>, TenancyError> {
        let named = tenant;
        let tenant = by.tenants(named)?;
        let bounds = page.bounds(|id| (!id.contains('\0')).then(|| id.to_owned()))?;
        let (after, limit) = (bounds.after.clone(), bounds.to_fetch());
        let list = move |mut connection: Connection, _| async move {
            must_exist(&mut connection, named).await?;
            Ok(api_keys::list(&mut *connection, tenant, after.as_deref(), limit).await?)
        };
        let keys = self.to_the_end(by, list).await?;
        Ok(bounds.page(keys, |key| key.id.clone()))
    }

    /// Revokes a key by its id, and with `descendants` all keys that were made with it, directly or not; they stop working within
    /// 10 s on every replica. A key of a tenant that the administrator may not administer does not exist. The administrator's own
    /// key is never revoked, so that nobody loses the last one unawares.
    pub async fn revoke_key(
        &self,
        by: Administrator,
        id: &str,
        descendants: bool,
    ) -> Result<(KeyId, RevokedKey), TenancyError> {
        let key = KeyId::parse(id)?;
        if by.key() == Some(key) {
            return Err(TenancyError::RevokesItself);
        }
        let wanted = Revocation { key, descendants, within: by.tenants(None)?, by: by.key() };
        let revoke = move |mut connection: Connection, by: Administrator| async move {
            let act = by.begin("revoke_key", key.as_str(), wanted.within);
            let Some(revoked) = revoke::revoke(&mut connection, &wanted).await? else {
                act.nothing();
                return Err(TenancyError::NoKey(key.as_str().to_owned()));
            };
            if revoked.already {
                act.nothing();
            } else {
                act.of(revoked.tenant).done("");
            }
            for (descendant, tenant) in &revoked.descendants {
                let detail = format!("descendant of {}", key.as_str());
                by.begin("revoke_key", descendant, Some(*tenant)).done(&detail);
            }
            Ok((key, revoked))
        };
        self.to_the_end(by, revoke).await
    }

    /// Makes `key` the deployment's one admin key of the default tenant; an earlier one expires in a minute.
    pub async fn keep_admin_key(&self, key: &SecretString) -> Result<(), TenancyError> {
        let key = ApiKey::parse(key.expose_secret().trim())?;
        self.keep_key(&key, [Scope::Admin].into_iter().collect(), DEPLOYMENT).await
    }

    /// Makes `key` the one key of `manager` in the default tenant; its earlier one, and no other key, expires in a minute, when
    /// every replica knows the new one.
    pub async fn keep_key(
        &self,
        key: &ApiKey,
        scopes: Scopes,
        manager: &str,
    ) -> Result<(), TenancyError> {
        let by = Administrator::command();
        let mut connection = self.connection(&by).await?;
        let act = by.begin("keep_key", key.id().as_str(), Some(DEFAULT_TENANT));
        let Rotated { is_new, earlier } =
            api_keys::keep_managed(&mut *connection, key, DEFAULT_TENANT, scopes, manager).await?;
        if is_new {
            act.done(&format!("scopes {}; kept by {manager}", scopes.names().join(",")));
        } else {
            act.nothing();
        }
        for id in &earlier {
            let act = by.begin("expire_key", id, Some(DEFAULT_TENANT));
            act.done(&format!("in a minute; {} is in its place", key.id().as_str()));
        }
        Ok(())
    }
}
