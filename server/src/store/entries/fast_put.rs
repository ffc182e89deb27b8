//! Writes a batch of puts in one statement: one round trip, one implicit transaction.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::newest_day::newest_day;
use super::stored_bytes::stored_without;
use crate::domain::TenantId;
use crate::domain::memory::change::{Change, NewValue};
use crate::domain::memory::usage::{Usage, WriteLimits};
use crate::domain::search::lexical_text::LexicalText;
use crate::store::StoreError;
use crate::store::search::documents::made_searchable;

/// `locked` locks the tenants' quota rows, which also serialises the writers of a tenant, and `counted` counts in them; `heads`
/// then moves the heads of the tenants that are within their limits; `versions` follows. All arrays come sorted, so locks are taken
/// in one order. A head's moment is its last version's; earlier versions in the batch lie a microsecond apart. `$others` and
/// `$others_of_row` are what a tenant has stored besides the bytes in the day's row: before and once that is locked.
///
/// `found` updates the row where it is. It sees no row that is made or changed since the statement began; `upserted` does.
macro_rules! put {
    ($others:expr, $others_of_row:expr, $($searchable:tt)*) => {
        concat!("
WITH used AS (
    SELECT tenant_id, writes, bytes, stored_bytes, (now() AT TIME ZONE 'UTC')::date AS day
      FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS t (tenant_id, writes, bytes, stored_bytes)
), locked AS MATERIALIZED (
    SELECT t.*, q.place
      FROM used t", newest_day!("q.ctid AS place", "FOR NO KEY UPDATE"), "
), found AS (
    UPDATE quota_usage q
       SET writes = q.writes + t.writes, bytes = q.bytes + t.bytes, stored_bytes = q.stored_bytes + t.stored_bytes
      FROM locked t
     WHERE q.ctid = t.place
       AND q.writes + t.writes <= $5 AND q.bytes + t.bytes <= $6
       AND q.stored_bytes + t.stored_bytes <= $7 - ", $others_of_row, "
    RETURNING q.tenant_id
), upserted AS (
    INSERT INTO quota_usage AS q (tenant_id, day, writes, bytes, stored_bytes)
    SELECT t.tenant_id, t.day, t.writes, t.bytes, t.stored_bytes
      FROM used t
     WHERE t.tenant_id <> ALL (ARRAY (SELECT tenant_id FROM found))
       AND t.writes <= $5 AND t.bytes <= $6 AND t.stored_bytes <= $7 - ", $others, "
    ON CONFLICT (tenant_id, day) DO UPDATE
       SET writes = q.writes + excluded.writes, bytes = q.bytes + excluded.bytes,
           stored_bytes = q.stored_bytes + excluded.stored_bytes
     WHERE q.writes + excluded.writes <= $5 AND q.bytes + excluded.bytes <= $6
       AND q.stored_bytes + excluded.stored_bytes <= $7 - ", $others_of_row, "
    RETURNING q.tenant_id
), counted AS (
    SELECT tenant_id FROM found UNION ALL SELECT tenant_id FROM upserted
), heads AS (
    INSERT INTO entries AS e
           (tenant_id, agent_id, path, latest_version_id, version, updated_at, expires_at, created_at)
    SELECT k.tenant_id, k.agent_id, k.path, k.last_id, k.count,
           now() + (k.count - 1) * interval '1 microsecond',
           now() + (k.count - 1) * interval '1 microsecond' + k.ttl * interval '1 second', now()
      FROM unnest($8::uuid[], $9::text[], $10::text[], $11::uuid[], $12::bigint[], $13::int[])
           AS k (tenant_id, agent_id, path, last_id, count, ttl)
     WHERE k.tenant_id = ANY (ARRAY (SELECT tenant_id FROM counted))
    ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
       SET latest_version_id = excluded.latest_version_id,
           version = e.version + excluded.version,
           updated_at = greatest(excluded.updated_at, e.updated_at + excluded.version * interval '1 microsecond'),
           expires_at = greatest(excluded.updated_at, e.updated_at + excluded.version * interval '1 microsecond')
                      + (excluded.expires_at - excluded.updated_at),
           deleted_at = NULL
    RETURNING e.latest_version_id, e.version, e.updated_at
), versions AS (
    INSERT INTO entry_versions
           (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at, expires_at, author, bytes)
    SELECT v.tenant_id, v.id, v.agent_id, v.path, h.version - v.back, v.value::json, v.tags::text[], v.importance,
           v.searchable, h.updated_at - v.back * interval '1 microsecond',
           h.updated_at - v.back * interval '1 microsecond' + v.ttl * interval '1 second', v.author,
           octet_length(v.value)
      FROM unnest($14::uuid[], $15::uuid[], $16::text[], $17::text[], $18::uuid[], $19::bigint[], $20::text[],
                  $21::text[], $22::real[], $23::bool[], $24::int[], $25::text[])
           AS v (tenant_id, id, agent_id, path, last_id, back, value, tags, importance, searchable, ttl, author)
      JOIN heads h ON h.latest_version_id = v.last_id
)", $($searchable)*, "
SELECT latest_version_id, updated_at FROM heads")
    };
}

/// What a tenant has stored counts only where there is a quota, and words only where a value is searchable: other batches do
/// not pay for it.
macro_rules! put_of {
    ($($searchable:tt)*) => {
        [
            put!("0", "0", $($searchable)*),
            put!(
                stored_without!("t.day", "t.tenant_id"),
                stored_without!("q.day", "q.tenant_id"),
                $($searchable)*
            ),
        ]
    };
}

const PUT: [&str; 2] = put_of!("");
const PUT_SEARCHABLE: [&str; 2] = put_of!(made_searchable!("$8", "$9", "$10", "$11", "$26"));

/// A put, taken out of its change.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// Its change, with the key and the version's id.
    pub change: &'a Change,
    /// Its value.
    pub new: &'a NewValue,
}

/// Writes `puts` in order. Returns the moment of each, or `None` if the tenant's share of the batch does not fit under
/// `limits` as a whole: then nothing of that tenant was written.
pub async fn put(
    connection: &mut PgConnection,
    puts: &[Put<'_>],
    limits: &WriteLimits,
) -> Result<Vec<Option<Timestamp>>, StoreError> {
    let batch = PutBatch::new(puts);
    let (heads, versions, usage) = (&batch.heads, &batch.versions, &batch.usage);
    let words: Vec<Option<&str>> =
        heads.iter().map(|h| h.last.new.words.as_ref().map(LexicalText::as_str)).collect();
    let is_searchable = words.iter().any(Option::is_some);
    let statements = if is_searchable { PUT_SEARCHABLE } else { PUT };
    let query = sqlx::query(statements[usize::from(limits.stored_bytes.is_some())])
        .bind(usage.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>())
        .bind(usage.iter().map(|(_, usage)| usage.writes).collect::<Vec<_>>())
        .bind(usage.iter().map(|(_, usage)| usage.bytes).collect::<Vec<_>>())
        .bind(usage.iter().map(|(_, usage)| usage.stored_bytes).collect::<Vec<_>>())
        .bind(limits.writes.unwrap_or(i64::MAX))
        .bind(limits.bytes.unwrap_or(i64::MAX))
        .bind(limits.stored_bytes.unwrap_or(i64::MAX))
        .bind(heads.iter().map(|h| h.last.change.key.tenant.0).collect::<Vec<_>>())
        .bind(heads.iter().map(|h| h.last.change.key.agent.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|h| h.last.change.key.path.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|h| h.last.change.version_id).collect::<Vec<_>>())
        .bind(heads.iter().map(|h| h.count).collect::<Vec<_>>())
        .bind(heads.iter().map(|h| h.last.new.ttl_seconds).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.change.key.tenant.0).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.change.version_id).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.change.key.agent.as_str()).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.change.key.path.as_str()).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.last_id).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.back).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.new.value.as_str()).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| array_literal(v.put.new.tags.as_slice())).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.new.importance).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.new.words.is_some()).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.new.ttl_seconds).collect::<Vec<_>>())
        .bind(versions.iter().map(|v| v.put.change.author()).collect::<Vec<_>>());
    let query = if is_searchable { query.bind(words) } else { query };
    let rows = query.fetch_all(connection).await?;
    let moved: HashMap<Uuid, Timestamp> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get::<jiff_sqlx::Timestamp, _>(1)?.to_jiff())))
        .collect::<Result<_, sqlx::Error>>()?;
    let mut moments = vec![None; puts.len()];
    for version in versions {
        moments[version.index] =
            moved.get(&version.last_id).map(|&at| at - SignedDuration::from_micros(version.back));
    }
    Ok(moments)
}

struct HeadRow<'a> {
    last: Put<'a>,
    count: i64,
}

struct VersionRow<'a> {
    put: Put<'a>,
    index: usize,
    last_id: Uuid,
    /// How many versions of the same entry follow in the batch.
    back: i64,
}

/// The rows of a batch, sorted as the database sorts them.
struct PutBatch<'a> {
    heads: Vec<HeadRow<'a>>,
    versions: Vec<VersionRow<'a>>,
    usage: Vec<(TenantId, Usage)>,
}

impl<'a> PutBatch<'a> {
    fn new(puts: &[Put<'a>]) -> Self {
        let mut sorted: Vec<(usize, Put<'a>)> = puts.iter().copied().enumerate().collect();
        // Stable: the puts of one entry keep their order.
        sorted.sort_by(|(_, a), (_, b)| a.change.key.cmp(&b.change.key));
        let mut batch =
            Self { heads: Vec::new(), versions: Vec::with_capacity(puts.len()), usage: Vec::new() };
        for of_entry in sorted.chunk_by(|(_, a), (_, b)| a.change.key == b.change.key) {
            let last = of_entry[of_entry.len() - 1].1;
            batch.heads.push(HeadRow { last, count: of_entry.len() as i64 });
            for (place, &(index, put)) in of_entry.iter().enumerate() {
                let back = (of_entry.len() - 1 - place) as i64;
                batch.versions.push(VersionRow {
                    put,
                    index,
                    last_id: last.change.version_id,
                    back,
                });
                batch.count(put);
            }
        }
        batch
    }

    fn count(&mut self, put: Put<'_>) {
        let tenant = put.change.key.tenant;
        if self.usage.last().is_none_or(|(last, _)| *last != tenant) {
            self.usage.push((tenant, Usage::default()));
        }
        if let Some((_, usage)) = self.usage.last_mut() {
            usage.writes += 1;
            usage.bytes += put.change.action.bytes() as i64;
            usage.stored_bytes += put.change.stored_bytes();
        }
    }
}

/// PostgreSQL's text form of a text array: ragged lists cannot be passed as an array of arrays.
pub(crate) fn array_literal(items: &[String]) -> String {
    let quoted: Vec<String> = items
        .iter()
        .map(|item| format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!("{{{}}}", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_are_quoted() {
        assert_eq!(array_literal(&[]), "{}");
        assert_eq!(array_literal(&["a,b".into(), "c\"d\\".into()]), r#"{"a,b","c\"d\\"}"#);
    }
}
