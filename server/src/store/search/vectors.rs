//! What the searches in both tables of vectors share: `embeddings`, with the first chunk of each value, and `embedding_chunks`.

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};

use super::conditions::filtered;
use super::{EmbeddedQuery, Ranked, Search};
use crate::store::StoreError;
use crate::store::embeddings::models::Serving;

/// Most vectors of a range that are compared one by one: that takes about 4 ms a thousand of 384 numbers, the index 10 to
/// 30 ms whatever there is.
const COMPARED: i64 = 10_000;

/// Most versions with one of the tags whose vectors are looked up and compared: about 12 ms a thousand. With so few the index would be
/// walked too far.
const TAGGED: i64 = 3_000;

/// Most vectors of the index that are visited. Far from the query it misses some; and if a filter keeps so little that
/// more would be needed, comparing what it keeps is as fast.
const FAR: usize = 500;

/// How many more than asked for are taken from the index, since its order is approximate.
const MORE: usize = 10;

/// Lasts for the rest of the transaction, as a pooler demands. On a table that was never analysed, sorting looks cheaper.
const PREPARE_INDEX: &str = "
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '200', true),
       set_config('enable_sort', 'off', true)";

const SORT_AGAIN: &str = "SELECT set_config('enable_sort', 'on', true)";

/// The statements by which a table is searched.
pub(super) struct Vectors {
    /// Counts those of the range: [`counted`].
    pub(super) count: &'static str,
    /// Compares all of the range, and looks at tags from the nearest on.
    pub(super) of_all: &'static str,
    /// Looks up those that have one of the tags, and compares them.
    pub(super) of_tagged: &'static str,
    /// Walks the index of the model from the nearest vector on, until `$7` are taken.
    pub(super) by_index: fn(&Serving) -> String,
}

/// How many vectors there are to search.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Vectors of the model in the range, up to [`Self::enough`].
    in_range: i64,
    /// False where the index of the model is gone, as after a restore.
    has_index: bool,
    /// See [`count_tagged`].
    tagged: Option<i64>,
}

impl Counted {
    /// How many vectors of the range tell which way is the best: counting them takes time as well.
    fn enough(has_index: bool, tagged: Option<i64>) -> i64 {
        if has_index && are_many(tagged) { COMPARED + 1 } else { tagged.unwrap_or_default() + 1 }
    }

    /// Whether comparing would take longer than walking the index.
    fn prefers_index(self) -> bool {
        self.has_index && self.in_range > COMPARED && are_many(self.tagged)
    }

    /// Whether fewer have a tag than lie in the range.
    fn prefers_tags(self) -> bool {
        self.tagged.is_some_and(|tagged| tagged < self.in_range)
    }
}

/// Whether too many versions have one of the tags to look their vectors up; so too without tags.
fn are_many(tagged: Option<i64>) -> bool {
    tagged.is_none_or(|tagged| tagged > TAGGED)
}

impl Vectors {
    /// Finds the entries of `search` nearest to `embedded` by these vectors; so many versions as [`count_tagged`] counts have one of its
    /// tags. With many, it uses the model's index, if there is one; if that yields fewer than `enough`, it compares them all.
    pub(super) async fn nearest(
        &self,
        moment: &mut PgConnection,
        search: &Search<'_>,
        tagged: Option<i64>,
        enough: usize,
        embedded: &EmbeddedQuery,
    ) -> Result<Ranked, StoreError> {
        let model = &embedded.model;
        let counted = self.count(moment, search, tagged, model).await?;
        if counted.in_range == 0 {
            return Ok(Ranked::new());
        }
        if counted.prefers_index() {
            sqlx::query(PREPARE_INDEX).execute(&mut *moment).await?;
            let statement = filtered(&(self.by_index)(model), search);
            let most = most(search, enough) as i64;
            let rows = bind(sqlx::query(statement), search, embedded).bind(most);
            let mut near = ranked(&rows.fetch_all(&mut *moment).await?)?;
            sqlx::query(SORT_AGAIN).execute(&mut *moment).await?;
            if near.len() >= enough + MORE {
                near.truncate(search.limit);
                return Ok(near);
            }
        }
        let compare = if counted.prefers_tags() { self.of_tagged } else { self.of_all };
        let compare = filtered(compare, search);
        let rows = bind(sqlx::query(compare), search, embedded).bind(model.id).bind(&model.name);
        ranked(&rows.fetch_all(moment).await?)
    }

    async fn count(
        &self,
        moment: &mut PgConnection,
        search: &Search<'_>,
        tagged: Option<i64>,
        model: &Serving,
    ) -> Result<Counted, StoreError> {
        let enough = Counted::enough(model.has_index, tagged);
        let count = range_of(sqlx::query_as(self.count), search).bind(model.id).bind(enough);
        let (in_range, has_index) = count.fetch_one(moment).await?;
        Ok(Counted { in_range, has_index: has_index && model.has_index, tagged })
    }
}

/// How many are taken from the index: with a filter, each one that it keeps is expensive.
fn most(search: &Search<'_>, enough: usize) -> usize {
    let has_filter = !search.tags_any.is_empty() || search.filter.is_some();
    if has_filter { enough + 2 * MORE } else { search.limit + MORE }
}

/// Counts the versions with one of the tags of `search`, up to one more than [`TAGGED`]; `None` where it has none.
pub(super) async fn count_tagged(
    moment: &mut PgConnection,
    search: &Search<'_>,
) -> Result<Option<i64>, StoreError> {
    if search.tags_any.is_empty() {
        return Ok(None);
    }
    let count = range_of(sqlx::query_as(COUNT_TAGGED), search).bind(search.tags_any);
    let (tagged,) = count.bind(TAGGED + 1).fetch_one(moment).await?;
    Ok(Some(tagged))
}

/// SQL that counts the vectors of `$table` in the range, up to `$5`, and says whether the model `$4` has its index.
macro_rules! counted {
    ($table:literal) => {
        concat!(
            "SELECT (SELECT count(*) FROM (SELECT FROM ",
            $table,
            " m WHERE ",
            is_in_range!("m"),
            " AND m.model_id = $4 LIMIT $5) counted), ",
            crate::store::embeddings::models::has_index!($table, "$4::int")
        )
    };
}
pub(super) use counted;

/// SQL of whether the model `$7` still has the name `$8`: a restore may have replaced it, and its vectors with it.
macro_rules! is_known {
    () => {
        "EXISTS (SELECT FROM embedding_models s WHERE s.id = $7 AND s.name = $8)"
    };
}
pub(super) use is_known;

/// SQL of the versions that have one of the tags: `tagged (path, id)`. They are looked up by the index of tags alone, which a table that
/// was never analysed hides behind the others.
macro_rules! tagged {
    () => {
        "WITH tagged AS MATERIALIZED (
    SELECT v.path, v.id
      FROM entry_versions v
     WHERE v.searchable AND cardinality(v.tags) > 0 AND v.tags && $4
       AND ARRAY[v.tenant_id::text || v.agent_id] @> ARRAY[$1::uuid::text || $2]
)
"
    };
}
pub(super) use tagged;

/// Counts the versions that have one of the tags, also of entries beside the prefix whose names go on, up to `$5`.
const COUNT_TAGGED: &str = concat!(
    tagged!(),
    "SELECT count(*) FROM (SELECT FROM tagged WHERE starts_with(path, $3) LIMIT $5) counted"
);

/// SQL that walks the index of the model on `table` from the nearest vector on, until `most` are in the range and live, or too many were
/// visited: `near (path, version_id, distance)`, in the order of the index, which is approximate. The model's id and dimensions are part
/// of the statement, as they are of the index.
pub(super) fn walk(table: &str, model: &Serving, most: &str) -> String {
    let Serving { id, dimensions, .. } = model;
    let (live, range, tagged) = (is_live!("m"), is_in_range!("m"), has_tag!("m"));
    format!(
        "WITH near AS MATERIALIZED (
    SELECT m.path, m.version_id, m.distance
      FROM (SELECT i.*, row_number() OVER () AS place
              FROM (SELECT tenant_id, agent_id, path, version_id,
                           embedding::halfvec({dimensions}) <=> (SELECT $6::real[]::halfvec({dimensions})) AS distance
                      FROM {table}
                     WHERE model_id = {id}
                     ORDER BY distance) i) m
      {live}
       AND {tagged}
       AND {range}
       AND m.place <= {FAR}
     LIMIT {most})"
    )
}

type Query<'a> = sqlx::query::Query<'a, Postgres, PgArguments>;
type QueryAs<'a, T> = sqlx::query::QueryAs<'a, Postgres, T, PgArguments>;

/// Binds `$1` to `$3`.
fn range_of<'a, T>(query: QueryAs<'a, T>, search: &Search<'a>) -> QueryAs<'a, T> {
    query.bind(search.tenant.0).bind(search.agent.as_str()).bind(search.prefix.as_str())
}

/// Binds `$1` to `$6`. The vector is passed as numbers: the types of an extension have other ids in each database.
fn bind<'a>(query: Query<'a>, search: &Search<'a>, embedded: &'a EmbeddedQuery) -> Query<'a> {
    query
        .bind(search.tenant.0)
        .bind(search.agent.as_str())
        .bind(search.prefix.as_str())
        .bind(search.tags_any)
        .bind(search.limit as i64)
        .bind(&*embedded.vector)
}

fn ranked(rows: &[PgRow]) -> Result<Ranked, StoreError> {
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
    use super::{COMPARED, Counted, TAGGED, similarity};

    #[test]
    fn few_are_compared_and_of_many_the_index_is_walked() {
        let counted = |in_range, tagged| Counted { in_range, has_index: true, tagged };
        let ways = |counted: Counted| (counted.prefers_index(), counted.prefers_tags());
        assert_eq!(ways(counted(COMPARED, None)), (false, false));
        assert_eq!(ways(counted(COMPARED + 1, None)), (true, false));
        assert_eq!(ways(counted(COMPARED + 1, Some(TAGGED))), (false, true));
        assert_eq!(ways(counted(COMPARED + 1, Some(TAGGED + 1))), (true, true));
        assert_eq!(ways(counted(5, Some(20))), (false, false));
        assert_eq!(Counted::enough(true, None), COMPARED + 1);
        assert_eq!(Counted::enough(true, Some(TAGGED + 1)), COMPARED + 1);
        assert_eq!([Some(20), None].map(|tagged| Counted::enough(false, tagged)), [21, 1]);
        let without_index = Counted { has_index: false, ..counted(COMPARED + 1, None) };
        assert_eq!(ways(without_index), (false, false));
    }

    #[test]
    fn likeness_is_from_0_to_1() {
        let distances = [0.0, -1e-7, 0.25, 1.5, 2.0, f64::NAN];
        let likenesses = distances.map(|distance| similarity(distance).to_string());
        assert_eq!(likenesses, ["1", "1", "0.75", "0", "0", "0"]);
    }
}
