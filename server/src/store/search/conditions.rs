//! SQL that searches share: conditions (live, in range, tagged, unchanged since a moment) and the query of a name.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::Search;
use crate::store::StoreError;
use crate::store::entries::filter::conditions;

/// Stands before the condition of a filter: without one it holds for all, which the planner sees at once.
macro_rules! unfiltered {
    () => {
        "/* unfiltered */ true OR "
    };
}

/// Stands before the condition of a moment, in the same way.
macro_rules! of_now {
    () => {
        "/* of now */ true OR "
    };
}

/// Sets the filter and the moment of `search`. They last for the rest of the transaction, as a pooler demands.
pub(super) async fn set_conditions(
    moment: &mut PgConnection,
    search: &Search<'_>,
) -> Result<(), StoreError> {
    let filter = search.filter.map(|filter| ("agentfs.filter", conditions(filter)));
    let as_of = search.as_of.map(|as_of| ("agentfs.as_of", as_of.to_string()));
    for (name, value) in filter.into_iter().chain(as_of) {
        let set = sqlx::query("SELECT set_config($1, $2, true)");
        set.bind(name).bind(value).execute(&mut *moment).await?;
    }
    Ok(())
}

/// The statement with its conditions on the filter and the moment, if `search` has them.
pub(super) fn filtered(statement: &str, search: &Search<'_>) -> AssertSqlSafe<String> {
    let mut statement = statement.to_owned();
    if search.filter.is_some() {
        statement = statement.replace(unfiltered!(), "");
    }
    if search.as_of.is_some() {
        statement = statement.replace(of_now!(), "");
    }
    AssertSqlSafe(statement)
}

/// The head of `$row`, looked up by its key alone, with the condition that the version of `$row` is the live one; in a search of
/// the past, that it was so at that moment already.
macro_rules! is_live {
    ($row:literal) => {
        concat!(
            "
     CROSS JOIN LATERAL (
           SELECT e.latest_version_id, e.updated_at, e.deleted_at, e.expires_at
             FROM entries e
            WHERE e.tenant_id = ",
            $row,
            ".tenant_id AND e.agent_id = ",
            $row,
            ".agent_id AND e.path = ",
            $row,
            ".path
            LIMIT 1) e
     WHERE e.latest_version_id = ",
            $row,
            ".version_id AND ",
            live!("e"),
            " AND (",
            of_now!(),
            "e.updated_at <= (SELECT current_setting('agentfs.as_of')::timestamptz))"
        )
    };
}

/// `$row` is of the tenant `$1` and the agent `$2`, at or below the prefix `$3`.
macro_rules! is_in_range {
    ($row:literal) => {
        concat!(
            $row,
            ".tenant_id = $1 AND ",
            $row,
            ".agent_id = $2 AND ",
            $row,
            ".path >= $3 AND ",
            $row,
            ".path < $3 || '0'
       AND (",
            $row,
            ".path = $3 OR starts_with(",
            $row,
            ".path, $3 || '/'))"
        )
    };
}

/// The value of the version of `$row` meets the filter of the search, in a statement that is [`filtered`]. Statements of several
/// kinds, each with parameters of its own, ask for it, so it is a setting of their transaction.
macro_rules! meets_filter {
    ($row:literal) => {
        concat!(
            "(",
            unfiltered!(),
            "(SELECT ",
            crate::store::entries::filter::meets!("v.value", "current_setting('agentfs.filter')"),
            " FROM entry_versions v WHERE v.tenant_id = ",
            $row,
            ".tenant_id AND v.id = ",
            $row,
            ".version_id LIMIT 1))"
        )
    };
}

/// The version of `$row` has one of the tags `$4`, if there are any, and its value meets the filter, if there is one.
macro_rules! has_tag {
    ($row:literal) => {
        concat!(
            "(cardinality($4::text[]) = 0
            OR (SELECT v.tags && $4 FROM entry_versions v WHERE v.tenant_id = ",
            $row,
            ".tenant_id AND v.id = ",
            $row,
            ".version_id LIMIT 1)) AND ",
            meets_filter!($row)
        )
    };
}

/// The query that finds the words `$words` of a name side by side. In quotes nothing is an operator, and words have none.
macro_rules! name {
    ($words:literal) => {
        concat!("websearch_to_tsquery('pg_catalog.english', '\"' || ", $words, " || '\"')")
    };
}
