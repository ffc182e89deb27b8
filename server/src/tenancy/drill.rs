//! The tenant of disaster recovery drills, with a key that lives for one of them.

use secrecy::SecretString;
use uuid::Uuid;

use super::keys::{CreateKeyRequest, NewKey};
use super::{Administrator, Connection, Tenancy, TenancyError};
use crate::domain::TenantId;
use crate::domain::access::scope::Scope;
use crate::domain::access::tenant_name::TenantName;
use crate::store::access::tenants;

/// The drills' tenant: always the same, so that a drill finds what one that was killed has left, and no other tenant is it.
pub const DRILL_TENANT: TenantId =
    TenantId(Uuid::from_u128(0x6167_656e_7466_8d64_8269_6c6c_0000_0000));
/// Its name.
const NAME: &str = "agentfs-drill";
/// When a key ends by itself whose drill was killed.
const KEY_SECONDS: i64 = 3600;

impl Tenancy {
    /// Makes the drills' tenant, where it is not there.
    pub async fn keep_drill_tenant(&self, by: Administrator) -> Result<(), TenancyError> {
        by.must_be_of_all()?;
        let name = TenantName::parse(NAME)?;
        let insert = move |mut connection: Connection, by: Administrator| async move {
            let act = by.begin("create_tenant", &DRILL_TENANT.to_string(), Some(DRILL_TENANT));
            if tenants::exists(&mut *connection, DRILL_TENANT).await? {
                act.nothing();
            } else {
                tenants::insert(&mut *connection, DRILL_TENANT, &name).await?;
                act.done("");
            }
            Ok(())
        };
        self.to_the_end(by, insert).await
    }

    /// Makes a key of the drills' tenant that reads, and writes if it `writes`, and that ends by itself after an hour.
    pub async fn create_drill_key(
        &self,
        by: Administrator,
        writes: bool,
    ) -> Result<(SecretString, String), TenancyError> {
        let read = [Scope::MemoryRead];
        let scopes: &[Scope] =
            if writes { &[Scope::MemoryRead, Scope::MemoryWrite] } else { &read };
        let request = CreateKeyRequest {
            label: NAME.to_owned(),
            tenant: Some(DRILL_TENANT),
            scopes: Some(scopes.iter().map(|scope| scope.as_str().to_owned()).collect()),
            expires_in_seconds: Some(KEY_SECONDS),
        };
        let NewKey { key, .. } = self.create_key(by, &request).await?;
        Ok((key.reveal(), key.id().as_str().to_owned()))
    }

    /// Removes the drills' tenant with its keys and its memory. False where there was none.
    pub async fn remove_drill_tenant(&self, by: Administrator) -> Result<bool, TenancyError> {
        by.must_be_of_all()?;
        let remove = move |mut connection: Connection, by: Administrator| async move {
            let act = by.begin("remove_tenant", &DRILL_TENANT.to_string(), Some(DRILL_TENANT));
            let removed = tenants::remove(&mut connection, DRILL_TENANT).await?;
            if removed {
                act.done("");
            } else {
                act.nothing();
            }
            Ok(removed)
        };
        self.to_the_end(by, remove).await
    }
}
