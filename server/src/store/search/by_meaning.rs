//! Search by meaning: the entries whose vectors are nearest to the query's, by the cosine of the angle between them.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::{Meant, Ranked, Search};
use crate::store::StoreError;

/// Every vector of the range is compared. Heads are looked up from the nearest on, each by its key alone, until there are
/// enough: what was overwritten, deleted or has expired, or has none of the tags, is passed over.
const NEAREST: &str = "
SELECT near.version_id, near.distance
  FROM (SELECT m.tenant_id, m.agent_id, m.path, m.version_id, m.embedding <=> (SELECT $6::real[]::halfvec) AS distance
          FROM embeddings m
         WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.path >= $3 AND m.path < $3 || '0'
           AND (m.path = $3 OR starts_with(m.path, $3 || '/'))
           AND m.model_id = $7
         ORDER BY distance, m.path) near
 CROSS JOIN LATERAL (
       SELECT e.latest_version_id, e.deleted_at, e.expires_at
         FROM entries e
        WHERE e.tenant_id = near.tenant_id AND e.agent_id = near.agent_id AND e.path = near.path
        LIMIT 1) e
 WHERE e.latest_version_id = near.version_id AND e.deleted_at IS NULL AND (e.expires_at IS NULL OR e.expires_at > now())
   AND (cardinality($4::text[]) = 0
        OR (SELECT v.tags && $4 FROM entry_versions v WHERE v.tenant_id = near.tenant_id AND v.id = near.version_id LIMIT 1))
 ORDER BY near.distance, near.path
 LIMIT $5";

/// The entries that `search` is about and whose meaning is nearest to `meant`.
pub(super) async fn nearest(
    moment: &mut PgConnection,
    search: &Search<'_>,
    meant: &Meant,
) -> Result<Ranked, StoreError> {
    let rows = sqlx::query(NEAREST)
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .bind(search.prefix.as_str())
        .bind(search.tags_any)
        .bind(search.limit as i64)
        .bind(&*meant.vector)
        .bind(meant.model.id)
        .fetch_all(moment)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("version_id")?, similarity(row.try_get("distance")?))))
        .collect()
}

/// The cosine; what points the other way is as unlike as can be. pgvector's distance is 1 less the cosine.
fn similarity(distance: f64) -> f64 {
    let cosine = 1.0 - distance;
    // NaN, of a vector that half precision has made 0, is not greater.
    if cosine > 0.0 { cosine.min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::similarity;

    #[test]
    fn likeness_is_from_0_to_1() {
        let distances = [0.0, -1e-7, 0.25, 1.5, 2.0, f64::NAN];
        let likenesses = distances.map(|distance| similarity(distance).to_string());
        assert_eq!(likenesses, ["1", "1", "0.75", "0", "0", "0"]);
    }
}
