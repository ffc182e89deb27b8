//! The statements of moves and deletes of subtrees. `$1` and `$2` are the tenant and the agent of them all. Look-ups are lateral and
//! of one row, the only form that is planned well on a table that was never analysed.

use crate::store::entries::list::tree_order;
use crate::store::entries::live_entries::live_entries;
use crate::store::entries::size::size;

/// Begins one. The statement's own time: it may copy more than a request does otherwise.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '30s'";

pub(super) const SCAN: &str = concat!(
    live_entries!("e.path, e.latest_version_id, e.version, e.updated_at, e.expires_at"),
    " ORDER BY ",
    tree_order!("e.path"),
    " LIMIT $5"
);

/// The same, which holds them until the end.
pub(super) const HOLD: &str = concat!(
    live_entries!("e.path, e.latest_version_id, e.version, e.updated_at, e.expires_at"),
    " ORDER BY e.path LIMIT $5 FOR UPDATE"
);

pub(super) const FIRST: &str =
    concat!(live_entries!("e.path"), " ORDER BY ", tree_order!("e.path"), " LIMIT 1");

/// What is at the paths `$3`, live or not.
pub(super) const HEADS_AT: &str = "
SELECT k.path, h.version, h.updated_at
  FROM unnest($3::text[]) AS k (path)
 CROSS JOIN LATERAL (
       SELECT e.version, e.updated_at
         FROM entries e
        WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path = k.path
        LIMIT 1) h";

/// What the values of versions take on the disk besides their headers, without reading them: no more than they have bytes.
pub(super) const SIZES: &str = "
SELECT k.ordinal, greatest(pg_column_size(v.value) - 4, 0)::bigint
  FROM unnest($2::uuid[]) WITH ORDINALITY AS k (id, ordinal)
 CROSS JOIN LATERAL (
       SELECT v.value
         FROM entry_versions v
        WHERE v.tenant_id = $1 AND v.id = k.id AND v.value IS NOT NULL
        LIMIT 1) v";

/// Copies versions to other paths. The values stay in the database.
pub(super) const COPY: &str = concat!(
    "
INSERT INTO entry_versions
       (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at, expires_at, author, bytes)
SELECT $1::uuid, m.id, $2::text, m.path, m.version, v.value, v.tags, v.importance, v.searchable, m.at, v.expires_at, $3::text, v.size
  FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::bigint[], $8::timestamptz[]) AS m (source, id, path, version, at)
 CROSS JOIN LATERAL (
       SELECT v.value, v.tags, v.importance, v.searchable, v.expires_at, ",
    size!("v"),
    " AS size
         FROM entry_versions v
        WHERE v.tenant_id = $1 AND v.id = m.source AND v.value IS NOT NULL
        LIMIT 1) v
RETURNING id, bytes::bigint, octet_length(array_to_string(tags, ''))::bigint"
);

pub(super) const TOMBSTONES: &str = "
INSERT INTO entry_versions
       (tenant_id, id, agent_id, path, version, tags, importance, searchable, created_at, deleted_at, author)
SELECT $1::uuid, t.id, $2::text, t.path, t.version, '{}'::text[], 0, false, t.at, t.at, $3::text
  FROM unnest($4::text[], $5::uuid[], $6::bigint[], $7::timestamptz[]) AS t (path, id, version, at)";

pub(super) const JOBS: &str = "
INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
SELECT $1::uuid, $2::text, m.path, m.id, e.id
  FROM unnest($3::text[], $4::uuid[]) AS m (path, id)
 CROSS JOIN LATERAL (
       SELECT v.searchable FROM entry_versions v WHERE v.tenant_id = $1 AND v.id = m.id LIMIT 1) v
 CROSS JOIN embedding_models e
 WHERE v.searchable AND e.state IN ('filling', 'serving')";

/// SQL of the search documents of versions (`$4`, at the paths `$3`) for their copies (`$6`, at the paths `$5`).
macro_rules! copied_documents {
    () => {
        "SELECT m.path, m.id, d.document
      FROM unnest($3::text[], $4::uuid[], $5::text[], $6::uuid[]) AS m (source_path, source, path, id)
     CROSS JOIN LATERAL (
           SELECT d.document
             FROM search_documents d
            WHERE d.tenant_id = $1 AND d.agent_id = $2 AND d.path = m.source_path AND d.version_id = m.source
            LIMIT 1) d"
    };
}

/// Makes the documents of copies where there is none. Returns how many are still to be replaced, which only the lock allows.
pub(super) const ADD_DOCUMENTS: &str = concat!(
    "
WITH copies AS MATERIALIZED (
    ",
    copied_documents!(),
    "
), added AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document)
    SELECT $1::uuid, $2::text, c.path, c.id, c.document FROM copies c
    ON CONFLICT (tenant_id, agent_id, path) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM copies) - (SELECT count(*) FROM added)"
);

pub(super) const REPLACE_DOCUMENTS: &str = concat!(
    "
INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document)
SELECT $1::uuid, $2::text, c.path, c.id, c.document
  FROM (", copied_documents!(), ") c
 CROSS JOIN LATERAL (
       SELECT d.version_id
         FROM search_documents d
        WHERE d.tenant_id = $1 AND d.agent_id = $2 AND d.path = c.path
        LIMIT 1) there
 WHERE there.version_id <> c.id
ON CONFLICT (tenant_id, agent_id, path) DO UPDATE SET version_id = excluded.version_id, document = excluded.document"
);

/// Forgets versions that no head has come to. What search has of them counts for nothing, and is swept.
pub(super) const FORGET: &str = "
WITH forgotten AS (
    DELETE FROM entry_versions WHERE tenant_id = $1 AND id = ANY ($2) RETURNING tenant_id, agent_id, path, id
)
DELETE FROM embedding_jobs
 WHERE ctid = ANY (ARRAY (
       SELECT j.ctid
         FROM forgotten f
        CROSS JOIN LATERAL (
              SELECT j.ctid
                FROM embedding_jobs j
               WHERE j.tenant_id = f.tenant_id AND j.agent_id = f.agent_id AND j.path = f.path
                 AND j.version_id = f.id AND j.status <> 'succeeded'
              OFFSET 0) j))";

/// Has heads come to their tombstones, if they are as they were seen: at the number that is `$8` below the tombstone's, live, and with
/// the same expiry, which comes in its place. Returns the paths of those that were. An upsert, since whatever an UPDATE joins may be
/// planned as a walk through all heads.
pub(super) const TAKE: &str = "
INSERT INTO entries AS e (tenant_id, agent_id, path, latest_version_id, version, updated_at, expires_at, deleted_at)
SELECT $1::uuid, $2::text, t.path, t.id, t.version, t.at, t.expires_at, t.at
  FROM unnest($3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[], $7::timestamptz[]) AS t (path, id, version, at, expires_at)
ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
   SET latest_version_id = excluded.latest_version_id, version = excluded.version, updated_at = excluded.updated_at,
       expires_at = NULL, deleted_at = excluded.deleted_at
 WHERE e.version = excluded.version - $8::bigint AND e.deleted_at IS NULL AND e.expires_at IS NOT DISTINCT FROM excluded.expires_at
RETURNING e.path";

/// Has heads come to the copies at their paths, unless something newer is there.
pub(super) const GIVE: &str = "
INSERT INTO entries AS e (tenant_id, agent_id, path, latest_version_id, version, updated_at, expires_at, created_at)
SELECT $1::uuid, $2::text, c.path, c.id, c.version, c.at, c.expires_at, c.at
  FROM unnest($3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[], $7::timestamptz[]) AS c (path, id, version, at, expires_at)
ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
   SET latest_version_id = excluded.latest_version_id, version = excluded.version, updated_at = excluded.updated_at,
       expires_at = excluded.expires_at, deleted_at = NULL
 WHERE e.version < excluded.version";

/// The first answer of an idempotency key, while it is kept.
pub(super) const ANSWERED: &str = "
SELECT request_hash, version_id, written_at, coalesce(entries, 0) AS entries
  FROM idempotency_keys
 WHERE tenant_id = $1 AND key = $2 AND answered AND created_at > now() - interval '24 hours'";

pub(super) const COUNT_ANSWERED: &str =
    "UPDATE idempotency_keys SET entries = $3 WHERE tenant_id = $1 AND key = $2";
