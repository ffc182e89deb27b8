//! Semantic search in the further chunks of long values, which lie in a table of their own: mostly few or none.

use std::collections::HashSet;

use sqlx::postgres::PgConnection;

use super::conditions::filtered;
use super::semantic::{COMPARED, FAR, MORE, PREPARE_INDEX, SORT_AGAIN, bind, ranked};
use super::{EmbeddedQuery, Ranked, Search};
use crate::store::StoreError;
use crate::store::embeddings::models::{Serving, has_index};

/// Compares every vector of `$candidates`, and takes the nearest of each entry. Heads are looked up from the nearest on.
macro_rules! compare {
    ($first:literal, $candidates:expr) => {
        concat!(
            $first,
            "SELECT near.version_id, near.distance
  FROM (SELECT c.tenant_id, c.agent_id, c.path, c.version_id,
               min(c.embedding <=> (SELECT $6::real[]::halfvec)) AS distance
          FROM ",
            $candidates,
            " AND EXISTS (SELECT FROM embedding_models s WHERE s.id = $7 AND s.name = $8)
         GROUP BY c.tenant_id, c.agent_id, c.path, c.version_id
         ORDER BY distance, c.path) near",
            is_live!("near"),
            "
   AND ",
            meets_filter!("near"),
            "
 ORDER BY near.distance, near.path
 LIMIT $5"
        )
    };
}

/// All of the range, without tags.
const OF_ALL: &str = compare!(
    "",
    concat!(
        "embedding_chunks c
         WHERE ",
        is_in_range!("c"),
        " AND c.model_id = $7"
    )
);

/// Those of the range that have one of the tags, found by the index of tags.
const OF_TAGGED: &str = compare!(
    "WITH tagged AS MATERIALIZED (
    SELECT v.path, v.id
      FROM entry_versions v
     WHERE v.searchable AND cardinality(v.tags) > 0 AND v.tags && $4
       AND ARRAY[v.tenant_id::text || v.agent_id] @> ARRAY[$1::uuid::text || $2]
)
",
    concat!(
        "tagged
         CROSS JOIN LATERAL (
               SELECT c.tenant_id, c.agent_id, c.path, c.version_id, c.embedding
                 FROM embedding_chunks c
                WHERE c.tenant_id = $1 AND c.agent_id = $2 AND c.path = tagged.path AND c.model_id = $7
               OFFSET 0) c
         WHERE c.version_id = tagged.id AND ",
        is_in_range!("c")
    )
);

/// Walks the index from the nearest vector on. Several may be of one entry, so more are taken than entries are asked for.
fn by_index(model: &Serving) -> String {
    let Serving { id, dimensions, .. } = model;
    let (live, range, tagged) = (is_live!("m"), is_in_range!("m"), has_tag!("m"));
    format!(
        "WITH near AS MATERIALIZED (
    SELECT m.path, m.version_id, m.distance
      FROM (SELECT i.*, row_number() OVER () AS place
              FROM (SELECT tenant_id, agent_id, path, version_id,
                           embedding::halfvec({dimensions}) <=> (SELECT $6::real[]::halfvec({dimensions})) AS distance
                      FROM embedding_chunks
                     WHERE model_id = {id}
                     ORDER BY distance) i) m
      {live}
       AND {tagged}
       AND {range}
       AND m.place <= {FAR}
     LIMIT ($5 + $7) * {OF_ONE}
)
SELECT n.version_id, min(n.distance) AS distance
  FROM near n
 GROUP BY n.version_id, n.path
 ORDER BY min(n.distance), n.path"
    )
}

/// How many chunks of one entry may be among the nearest before others are missed: then all are compared.
const OF_ONE: usize = 6;

/// Counts the vectors to compare, up to one more than [`COMPARED`]; none where the model's index is gone, as after a restore: then
/// all are compared.
const COUNT: &str = concat!(
    "SELECT count(*) FROM (SELECT FROM embedding_chunks c WHERE ",
    is_in_range!("c"),
    " AND c.model_id = $4 AND ",
    has_index!("embedding_chunks", "$4::int"),
    " LIMIT $5) counted"
);

/// Finds the entries of `search` whose further chunks are nearest to `embedded`, like those of first chunks.
pub(super) async fn nearest(
    moment: &mut PgConnection,
    search: &Search<'_>,
    enough: usize,
    embedded: &EmbeddedQuery,
) -> Result<Ranked, StoreError> {
    let model = &embedded.model;
    if model.has_index && count(moment, search, model.id).await? > COMPARED {
        sqlx::query(PREPARE_INDEX).execute(&mut *moment).await?;
        let statement = filtered(&by_index(model), search);
        let rows = bind(sqlx::query(statement), search, embedded).bind(MORE as i64);
        let near = ranked(&rows.fetch_all(&mut *moment).await?)?;
        sqlx::query(SORT_AGAIN).execute(&mut *moment).await?;
        if near.len() >= enough + MORE {
            return Ok(near);
        }
    }
    let compare = if search.tags_any.is_empty() { OF_ALL } else { OF_TAGGED };
    let compare = filtered(compare, search);
    let rows = bind(sqlx::query(compare), search, embedded).bind(model.id).bind(&model.name);
    ranked(&rows.fetch_all(moment).await?)
}

async fn count(
    moment: &mut PgConnection,
    search: &Search<'_>,
    model: i32,
) -> Result<i64, StoreError> {
    sqlx::query_scalar(COUNT)
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .bind(search.prefix.as_str())
        .bind(model)
        .bind(COMPARED + 1)
        .fetch_one(moment)
        .await
        .map_err(Into::into)
}

/// The `limit` best of both rankings, an entry by the better of its similarities: exact where both are, since an entry among the best
/// by either chunk is among the best of that chunk's ranking.
pub(super) fn best_of(firsts: Ranked, further: Ranked, limit: usize) -> Ranked {
    if further.is_empty() {
        return firsts;
    }
    let mut best = firsts;
    best.extend(further);
    best.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut seen = HashSet::new();
    best.retain(|(id, _)| seen.insert(*id));
    best.truncate(limit);
    best
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_entry_counts_by_its_best_chunk() {
        let ranked = |of: &[(u128, f64)]| -> Ranked {
            of.iter().map(|(id, similarity)| (Uuid::from_u128(*id), *similarity)).collect()
        };
        let firsts = ranked(&[(1, 0.9), (2, 0.5), (3, 0.4)]);
        assert_eq!(best_of(firsts.clone(), Ranked::new(), 9), firsts);
        let both = best_of(firsts, ranked(&[(3, 0.8), (4, 0.6), (1, 0.2)]), 3);
        assert_eq!(both, ranked(&[(1, 0.9), (3, 0.8), (4, 0.6)]));
    }
}
