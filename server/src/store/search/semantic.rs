//! Semantic search: finds the entries whose vectors are nearest to the query's, by cosine similarity.

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};

use super::conditions::filtered;
use super::{EmbeddedQuery, Ranked, Search, chunks};
use crate::store::StoreError;
use crate::store::embeddings::models::{Serving, has_index};

/// Most vectors of a range that are compared one by one: that takes about 4 ms a thousand of 384 numbers, the index 10 to
/// 30 ms whatever there is.
pub(super) const COMPARED: i64 = 10_000;

/// Compares every vector of `$candidates`. Looks heads up from the nearest on until there are enough; passes over what
/// was overwritten, deleted or has expired.
macro_rules! compare {
    ($first:literal, $candidates:expr) => {
        concat!(
            $first,
            "SELECT near.version_id, near.distance
  FROM (SELECT m.tenant_id, m.agent_id, m.path, m.version_id, m.embedding <=> (SELECT $6::real[]::halfvec) AS distance
          FROM ", $candidates, "
         ORDER BY distance, m.path) near",
            is_live!("near"), "
   AND ", meets_filter!("near"), "
 ORDER BY near.distance, near.path
 LIMIT $5"
        )
    };
}

/// Whether the model `$7` still has the name `$8`: a restore may have replaced it, and its vectors with it.
macro_rules! is_known {
    () => {
        "EXISTS (SELECT FROM embedding_models s WHERE s.id = $7 AND s.name = $8)"
    };
}

/// All of the range, without tags.
const OF_ALL: &str = compare!(
    "",
    concat!(
        "embeddings m
         WHERE ",
        is_in_range!("m"),
        "
           AND m.model_id = $7 AND ",
        is_known!()
    )
);

/// Those of the range that have one of the tags: their versions are looked up by the index of tags alone, which a table that
/// was never analysed hides behind the others.
const OF_TAGGED: &str = compare!(
    "WITH tagged AS MATERIALIZED (
    SELECT v.path, v.id
      FROM entry_versions v
     WHERE v.searchable AND cardinality(v.tags) > 0 AND v.tags && $4
       AND ARRAY[v.tenant_id::text || v.agent_id] @> ARRAY[$1::uuid::text || $2]
)
",
    concat!("tagged
         CROSS JOIN LATERAL (
               SELECT m.tenant_id, m.agent_id, m.path, m.version_id, m.embedding
                 FROM embeddings m
                WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.path = tagged.path AND m.model_id = $7
                LIMIT 1) m
         WHERE m.version_id = tagged.id AND ", is_in_range!("m"), " AND ", is_known!())
);

/// Walks the index from the nearest vector on, until enough are in the range and live, or too many were visited. Its
/// order is approximate: some more are taken, and sorted. `+ 0`, since the planner takes them for sorted. The model's id
/// and dimensions are part of the statement, as they are of the index.
fn by_index(model: &Serving) -> String {
    let Serving { id, dimensions, .. } = model;
    let (live, range, tagged) = (is_live!("m"), is_in_range!("m"), has_tag!("m"));
    format!(
        "WITH near AS MATERIALIZED (
    SELECT m.path, m.version_id, m.distance
      FROM (SELECT i.*, row_number() OVER () AS place
              FROM (SELECT tenant_id, agent_id, path, version_id,
                           embedding::halfvec({dimensions}) <=> (SELECT $6::real[]::halfvec({dimensions})) AS distance
                      FROM embeddings
                     WHERE model_id = {id}
                     ORDER BY distance) i) m
      {live}
       AND {tagged}
       AND {range}
       AND m.place <= {FAR}
     LIMIT $5 + $7)
SELECT version_id, distance FROM near ORDER BY distance + 0, path"
    )
}

/// Most vectors of the index that are visited. Far from the query it misses some; and if a filter keeps so little that
/// more would be needed, comparing what it keeps is as fast.
pub(super) const FAR: usize = 500;

/// How many more than asked for are taken from the index: few, since with a selective filter each one is expensive.
pub(super) const MORE: usize = 10;

/// Lasts for the rest of the transaction, as a pooler demands. On a table that was never analysed, sorting looks cheaper.
pub(super) const PREPARE_INDEX: &str = "
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '200', true),
       set_config('enable_sort', 'off', true)";

pub(super) const SORT_AGAIN: &str = "SELECT set_config('enable_sort', 'on', true)";

/// Counts the vectors to compare, up to one more than [`COMPARED`]; none where the model's index is gone, as after a restore: then
/// all are compared.
const COUNT: &str = concat!(
    "SELECT count(*) FROM (SELECT FROM embeddings m WHERE ",
    is_in_range!("m"),
    " AND m.model_id = $4 AND ",
    has_index!("$4::int"),
    " LIMIT $5) counted"
);

/// Finds the entries of `search` nearest to `embedded`, each by the chunk that is nearest.
pub(super) async fn nearest(
    moment: &mut PgConnection,
    search: &Search<'_>,
    enough: usize,
    embedded: &EmbeddedQuery,
) -> Result<Ranked, StoreError> {
    let firsts = nearest_firsts(moment, search, enough, embedded).await?;
    let further = chunks::nearest(moment, search, enough, embedded).await?;
    Ok(chunks::best_of(firsts, further, search.limit))
}

/// Finds them by their first chunks, which most have alone. With many, it uses the model's index, if there is one; if that yields fewer
/// than `enough`, it compares them all.
async fn nearest_firsts(
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
        let mut near = ranked(&rows.fetch_all(&mut *moment).await?)?;
        sqlx::query(SORT_AGAIN).execute(&mut *moment).await?;
        if near.len() >= enough + MORE {
            near.truncate(search.limit);
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

pub(super) type Query<'a> = sqlx::query::Query<'a, Postgres, PgArguments>;

/// Binds `$1` to `$6`. The vector is passed as numbers: the types of an extension have other ids in each database.
pub(super) fn bind<'a>(
    query: Query<'a>,
    search: &Search<'a>,
    embedded: &'a EmbeddedQuery,
) -> Query<'a> {
    query
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .bind(search.prefix.as_str())
        .bind(search.tags_any)
        .bind(search.limit as i64)
        .bind(&*embedded.vector)
}

pub(super) fn ranked(rows: &[PgRow]) -> Result<Ranked, StoreError> {
    rows.iter()
        .map(|row| Ok((row.try_get("version_id")?, similarity(row.try_get("distance")?))))
        .collect()
}

/// The cosine, at least 0: opposite vectors are as unlike as can be. pgvector's distance is 1 less the cosine.
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
