//! Semantic search in the further chunks of long values, which lie in a table of their own: mostly few or none.

use std::collections::HashSet;

use super::Ranked;
use super::vectors::{Vectors, counted, is_known, tagged, walk};
use crate::store::embeddings::models::Serving;

/// The chunks of long values after their first ones.
pub(super) const FURTHER: Vectors =
    Vectors { count: counted!("embedding_chunks"), of_all: OF_ALL, of_tagged: OF_TAGGED, by_index };

/// SQL that counts the values in range that are longer than their chunks for the model `$model` reach: the number of the last one is
/// negative. At most 10,000 chunks are looked at, in the index of their keys alone.
macro_rules! count_too_long {
    ($model:literal) => {
        concat!(
            "SELECT count(*)
          FROM (SELECT c.path, c.n
                  FROM embedding_chunks c
                 WHERE ",
            is_in_range!("c"),
            " AND c.model_id = ",
            $model,
            "
                 LIMIT 10000) k
         CROSS JOIN LATERAL (
               SELECT c.tenant_id, c.agent_id, c.path, c.version_id
                 FROM embedding_chunks c
                WHERE c.tenant_id = $1 AND c.agent_id = $2 AND c.path = k.path AND c.model_id = ",
            $model,
            " AND c.n = k.n
                LIMIT 1) l",
            is_live!("l"),
            " AND k.n < 0"
        )
    };
}
pub(super) use count_too_long;

/// Compares every vector of `$candidates`, and takes the nearest of each entry. Heads are looked up from the nearest on, and whether
/// they meet `$condition`.
macro_rules! compare {
    ($first:expr, $candidates:expr, $condition:expr) => {
        concat!(
            $first,
            "SELECT near.version_id, near.distance
  FROM (SELECT c.tenant_id, c.agent_id, c.path, c.version_id,
               min(c.embedding <=> (SELECT $6::real[]::halfvec)) AS distance
          FROM ",
            $candidates,
            " AND ",
            is_known!(),
            "
         GROUP BY c.tenant_id, c.agent_id, c.path, c.version_id
         ORDER BY distance, c.path) near",
            is_live!("near"),
            "
   AND ",
            $condition,
            "
 ORDER BY near.distance, near.path
 LIMIT $5"
        )
    };
}

/// All of the range.
const OF_ALL: &str = compare!(
    "",
    concat!(
        "embedding_chunks c
         WHERE ",
        is_in_range!("c"),
        " AND c.model_id = $7"
    ),
    has_tag!("near")
);

/// Those of the range that have one of the tags.
const OF_TAGGED: &str = compare!(
    tagged!(),
    concat!(
        "tagged
         CROSS JOIN LATERAL (
               SELECT c.tenant_id, c.agent_id, c.path, c.version_id, c.embedding
                 FROM embedding_chunks c
                WHERE c.tenant_id = $1 AND c.agent_id = $2 AND c.path = tagged.path AND c.model_id = $7
               OFFSET 0) c
         WHERE c.version_id = tagged.id AND ",
        is_in_range!("c")
    ),
    meets_filter!("near")
);

/// Several of the nearest may be of one entry, so more are taken from the index than entries are asked for.
fn by_index(model: &Serving) -> String {
    let near = walk("embedding_chunks", model, &format!("$7 * {OF_ONE}"));
    format!(
        "{near}
SELECT n.version_id, min(n.distance) AS distance
  FROM near n
 GROUP BY n.version_id, n.path
 ORDER BY min(n.distance), n.path"
    )
}

/// How many chunks of one entry may be among the nearest before others are missed: then all are compared.
const OF_ONE: usize = 6;

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
