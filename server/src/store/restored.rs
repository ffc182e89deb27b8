//! Looks at a database that was restored from a backup.

use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;

use super::fingerprint::{self, Contents};
use super::{StoreError, schema};
use crate::domain::access::api_key::ApiKey;
use crate::domain::access::scope::Scope;

/// The server's major version.
pub async fn major(executor: impl PgExecutor<'_>) -> Result<u32, StoreError> {
    let version = "SELECT current_setting('server_version_num')::int / 10000";
    let major: i32 = sqlx::query_scalar(version).fetch_one(executor).await?;
    Ok(major.unsigned_abs())
}

/// The server's version, as it prints itself.
pub async fn version(executor: impl PgExecutor<'_>) -> Result<String, StoreError> {
    let version = "SELECT current_setting('server_version')";
    Ok(sqlx::query_scalar(version).fetch_one(executor).await?)
}

/// Whether the database has the extension of vectors.
pub async fn has_extension(executor: impl PgExecutor<'_>) -> Result<bool, StoreError> {
    let found = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')";
    Ok(sqlx::query_scalar(found).fetch_one(executor).await?)
}

/// Entries whose latest version is not there.
const BROKEN: &str = "
SELECT count(*)
  FROM entries e LEFT JOIN entry_versions ev ON ev.tenant_id = e.tenant_id AND ev.id = e.latest_version_id
 WHERE ev.id IS NULL";

/// Constraints and indexes that do not hold, for people.
const INVALID: &str = "
SELECT format('the constraint %s of %s', conname, conrelid::regclass)
  FROM pg_constraint
 WHERE NOT convalidated AND connamespace = quote_ident(current_schema())::regnamespace
UNION ALL
SELECT format('the index %s', indexrelid::regclass)
  FROM pg_index JOIN pg_class c ON c.oid = indexrelid
 WHERE NOT indisvalid AND c.relnamespace = quote_ident(current_schema())::regnamespace
 ORDER BY 1";

/// What is wrong in a restored database, beside the rows themselves, for people.
pub async fn flaws(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let mut flaws = Vec::new();
    let broken: i64 = sqlx::query_scalar(BROKEN).fetch_one(&mut *connection).await?;
    if broken > 0 {
        flaws.push(format!("entries: the latest version of {broken} of them is not there"));
    }
    let invalid: Vec<String> = sqlx::query_scalar(INVALID).fetch_all(connection).await?;
    flaws.extend(invalid.iter().map(|what| format!("{what} is not valid")));
    Ok(flaws)
}

/// What there is to compare with a manifest.
#[derive(Debug)]
pub struct Seen {
    /// What the tables hold, by name.
    pub tables: Contents,
    /// What is wrong beside the rows themselves, for people.
    pub flaws: Vec<String>,
    /// The schema's version.
    pub version: i32,
    /// Whether the database has the extension of vectors.
    pub has_extension: bool,
}

impl Seen {
    /// By the statements of a session, which find temporary tables before others of the same name.
    pub async fn by(connection: &mut PgConnection, names: &[&str]) -> Result<Self, StoreError> {
        let tables = fingerprint::tables(&mut *connection, Some(names)).await?;
        Ok(Self {
            tables: fingerprint::contents(&mut *connection, &tables).await?,
            flaws: flaws(&mut *connection).await?,
            version: schema::read(&mut *connection).await?.version,
            has_extension: has_extension(connection).await?,
        })
    }
}

/// An entry with its value, as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Whose it is.
    pub tenant: Uuid,
    /// The agent.
    pub agent: String,
    /// Where.
    pub path: String,
    /// The latest version.
    pub version: Uuid,
    /// The value's JSON text.
    pub value: String,
}

/// Most tenants of a sample.
const TENANTS: i64 = 5;
/// Most bytes of a value that is compared.
const MAX_BYTES: i64 = 1 << 20;

/// Entries at random that stay live for an hour, spread over tenants at random.
const SAMPLE: &str = "
WITH chosen AS MATERIALIZED (
    SELECT id FROM tenants t
     WHERE EXISTS (SELECT FROM entries e WHERE e.tenant_id = t.id AND e.deleted_at IS NULL)
     ORDER BY random() LIMIT $1
)
SELECT e.tenant_id, e.agent_id, e.path, v.id, v.value
  FROM chosen
 CROSS JOIN LATERAL (
       SELECT e.* FROM entries e
        WHERE e.tenant_id = chosen.id AND e.deleted_at IS NULL
          AND (e.expires_at IS NULL OR e.expires_at > now() + interval '1 hour')
        ORDER BY random()
        LIMIT (SELECT ceil($2::float8 / greatest(count(*), 1)) FROM chosen)) e
  JOIN entry_versions v ON v.tenant_id = e.tenant_id AND v.id = e.latest_version_id
 WHERE octet_length(v.value::text) <= $3
 LIMIT $2";

/// At most `count` live entries.
pub async fn sample(executor: impl PgExecutor<'_>, count: i64) -> Result<Vec<Sample>, StoreError> {
    let sample = sqlx::query(SAMPLE).bind(TENANTS).bind(count).bind(MAX_BYTES);
    let rows = sample.fetch_all(executor).await?;
    let sampled = rows.iter().map(|row| {
        Ok(Sample {
            tenant: row.try_get(0)?,
            agent: row.try_get(1)?,
            path: row.try_get(2)?,
            version: row.try_get(3)?,
            // `json` travels as its text; unchecked, since the driver would have it decoded.
            value: row.try_get_unchecked(4)?,
        })
    });
    Ok(sampled.collect::<Result<_, sqlx::Error>>()?)
}

/// A tenant, if there is one.
pub async fn any_tenant(executor: impl PgExecutor<'_>) -> Result<Option<Uuid>, StoreError> {
    let tenant = "SELECT id FROM tenants ORDER BY created_at, id LIMIT 1";
    Ok(sqlx::query_scalar(tenant).fetch_optional(executor).await?)
}

/// Makes a key of a tenant that reads and searches, for an hour.
pub async fn make_key(
    executor: impl PgExecutor<'_>,
    tenant: Uuid,
) -> Result<SecretString, StoreError> {
    let key = ApiKey::generate();
    let insert = "INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, label, expires_at)
                  VALUES ($1, $2, $3, $4, 'verification of a backup', now() + interval '1 hour')";
    sqlx::query(insert)
        .bind(key.id().as_str())
        .bind(tenant)
        .bind(key.secret_hash().as_bytes())
        .bind([Scope::MemoryRead, Scope::SearchRead].map(Scope::as_str))
        .execute(executor)
        .await?;
    Ok(key.reveal())
}
