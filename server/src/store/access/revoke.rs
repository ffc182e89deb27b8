//! Revokes API keys, alone or with the keys that were made with them.

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::domain::TenantId;
use crate::domain::access::api_key::KeyId;
use crate::store::StoreError;

/// Which keys are to be revoked.
#[derive(Debug, Clone, Copy)]
pub struct Revocation {
    /// The key.
    pub key: KeyId,
    /// Whether the keys that were made with it are revoked too, and those that were made with these, and so on.
    pub descendants: bool,
    /// The tenant whose keys alone may be revoked; `None` is all.
    pub within: Option<TenantId>,
    /// The key that asks, which stays.
    pub by: Option<KeyId>,
}

/// A revoked key.
#[derive(Debug, Clone)]
pub struct RevokedKey {
    /// The key's tenant.
    pub tenant: TenantId,
    /// The key's purpose.
    pub label: String,
    /// The tool that manages it, if any.
    pub managed_by: Option<String>,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// It had been revoked before.
    pub already: bool,
    /// Its descendants that were revoked with it: their ids and tenants.
    pub descendants: Vec<(String, TenantId)>,
    /// How many of its descendants are valid still.
    pub live_descendants: i64,
}

/// Locks and revokes the key; one that was revoked before keeps its moment.
const ONE: &str = "
WITH before AS (
    SELECT id, revoked_at FROM api_keys WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) FOR UPDATE
)
UPDATE api_keys k SET revoked_at = coalesce(before.revoked_at, now())
  FROM before
 WHERE k.id = before.id
RETURNING k.tenant_id, k.label, k.managed_by, k.revoked_at, before.revoked_at IS NOT NULL";

/// A key's family: the key, what was made with it, and so on, makers first.
macro_rules! family {
    () => {
        "
WITH RECURSIVE family (id) AS (
    SELECT $1::text COLLATE \"C\"
    UNION ALL
    SELECT k.id FROM family f JOIN api_keys k ON k.created_by = f.id
) SEARCH BREADTH FIRST BY id SET place"
    };
}

/// Locks a key's descendants within a tenant, those that are no longer valid as well.
///
/// Everywhere a key is locked before those that were made with it. So whoever waits for a key holds none of those, and two who
/// revoke at once wait for each other. Whoever makes a key locks its maker alone (`api_keys::insert`).
const LOCK: &str = concat!(
    family!(),
    "
SELECT k.id
  FROM family f JOIN api_keys k ON k.id = f.id
 WHERE k.id <> $1 AND ($2::uuid IS NULL OR k.tenant_id = $2)
 ORDER BY f.place
   FOR UPDATE OF k"
);

const LOCKED: &str = "
UPDATE api_keys SET revoked_at = now()
 WHERE id = ANY($1) AND id IS DISTINCT FROM $2
   AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
RETURNING id, tenant_id";

/// The live descendants of a key, through revoked ones as well, within a tenant.
const LIVE: &str = concat!(
    family!(),
    "
SELECT count(*)
  FROM family f JOIN api_keys k ON k.id = f.id
 WHERE k.id <> $1 AND ($2::uuid IS NULL OR k.tenant_id = $2)
   AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())"
);

/// Revokes a key. `None` if there is no such key within the tenant.
pub async fn revoke(
    connection: &mut PgConnection,
    wanted: &Revocation,
) -> Result<Option<RevokedKey>, StoreError> {
    let (key, within) = (wanted.key.as_str(), wanted.within.map(|tenant| tenant.0));
    let mut transaction = connection.begin().await?;
    let row = sqlx::query(ONE).bind(key).bind(within).fetch_optional(&mut *transaction).await?;
    let Some(row) = row else { return Ok(None) };
    let mut descendants = Vec::new();
    if wanted.descendants {
        let by = wanted.by.as_ref().map(KeyId::as_str);
        // One of them may have made another one before it was locked, which the next look sees. In the end none can.
        loop {
            let lock = sqlx::query_scalar(LOCK).bind(key).bind(within);
            let locked: Vec<String> = lock.fetch_all(&mut *transaction).await?;
            let revoke = sqlx::query_as(LOCKED).bind(&locked).bind(by);
            let revoked: Vec<(String, Uuid)> = revoke.fetch_all(&mut *transaction).await?;
            if revoked.is_empty() {
                break;
            }
            descendants.extend(revoked.into_iter().map(|(id, tenant)| (id, TenantId(tenant))));
        }
    }
    let live = sqlx::query_scalar(LIVE).bind(key).bind(within).fetch_one(&mut *transaction);
    let live_descendants = live.await?;
    transaction.commit().await?;
    Ok(Some(RevokedKey {
        tenant: TenantId(row.try_get(0)?),
        label: row.try_get(1)?,
        managed_by: row.try_get(2)?,
        revoked_at: row.try_get::<jiff_sqlx::Timestamp, _>(3)?.to_jiff(),
        already: row.try_get(4)?,
        descendants,
        live_descendants,
    }))
}
