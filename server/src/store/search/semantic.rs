//! Semantic search: finds the entries whose vectors are nearest to the query's, by cosine similarity.

use sqlx::postgres::PgConnection;

use super::vectors::{Vectors, count_tagged, counted, is_known, tagged, walk};
use super::{EmbeddedQuery, Ranked, Search, chunks};
use crate::store::StoreError;
use crate::store::embeddings::models::Serving;

/// The first chunks, which most values have alone.
const FIRSTS: Vectors =
    Vectors { count: counted!("embeddings"), of_all: OF_ALL, of_tagged: OF_TAGGED, by_index };

/// Compares every vector of `$candidates`. Looks heads up from the nearest on until there are enough that meet `$condition`; passes over
/// what was overwritten, deleted or has expired.
macro_rules! compare {
    ($first:expr, $candidates:expr, $condition:expr) => {
        concat!(
            $first,
            "SELECT near.version_id, near.distance
  FROM (SELECT m.tenant_id, m.agent_id, m.path, m.version_id, m.embedding <=> (SELECT $6::real[]::halfvec) AS distance
          FROM ", $candidates, "
         ORDER BY distance, m.path) near",
            is_live!("near"), "
   AND ", $condition, "
 ORDER BY near.distance, near.path
 LIMIT $5"
        )
    };
}

/// All of the range.
const OF_ALL: &str = compare!(
    "",
    concat!(
        "embeddings m
         WHERE ",
        is_in_range!("m"),
        "
           AND m.model_id = $7 AND ",
        is_known!()
    ),
    has_tag!("near")
);

/// Those of the range that have one of the tags.
const OF_TAGGED: &str = compare!(
    tagged!(),
    concat!("tagged
         CROSS JOIN LATERAL (
               SELECT m.tenant_id, m.agent_id, m.path, m.version_id, m.embedding
                 FROM embeddings m
                WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.path = tagged.path AND m.model_id = $7
                LIMIT 1) m
         WHERE m.version_id = tagged.id AND ", is_in_range!("m"), " AND ", is_known!()),
    meets_filter!("near")
);

/// Sorts what the walk yields, since the order of the index is approximate. `+ 0`, since the planner takes it for sorted.
fn by_index(model: &Serving) -> String {
    let near = walk("embeddings", model, "$7");
    format!("{near}\nSELECT version_id, distance FROM near ORDER BY distance + 0, path")
}

/// Finds the entries of `search` nearest to `embedded`, each by the chunk that is nearest; if the model's index yields fewer than `enough`,
/// it compares them all.
pub(super) async fn nearest(
    moment: &mut PgConnection,
    search: &Search<'_>,
    enough: usize,
    embedded: &EmbeddedQuery,
) -> Result<Ranked, StoreError> {
    let tagged = count_tagged(moment, search).await?;
    if tagged == Some(0) {
        return Ok(Ranked::new());
    }
    let firsts = FIRSTS.nearest(moment, search, tagged, enough, embedded).await?;
    let further = chunks::FURTHER.nearest(moment, search, tagged, enough, embedded).await?;
    Ok(chunks::best_of(firsts, further, search.limit))
}
