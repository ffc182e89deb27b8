//! Evaluates filters in the database, where numbers are exact: values need not travel to be left out.

use serde_json::json;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::size::size;
use crate::domain::TenantId;
use crate::domain::memory::filter::{Filter, Operator};
use crate::store::StoreError;

/// SQL of whether the JSON `$value` meets the conditions of `$filter`, as [`conditions`] writes them. A member that a value
/// lacks is null, and meets only `ne`. Texts are compared by their characters, whatever the database's collation.
macro_rules! meets {
    ($value:literal, $filter:literal) => {
        concat!(
            "NOT EXISTS (
           SELECT
             FROM (SELECT ", $value, "::jsonb AS json OFFSET 0) given
            CROSS JOIN LATERAL jsonb_array_elements(", $filter, "::text::jsonb) AS c (condition)
            CROSS JOIN LATERAL (
                  SELECT jsonb_path_query_first(given.json, (c.condition ->> 0)::jsonpath, '{}', true) AS found,
                         c.condition -> 2 AS operand
                  OFFSET 0) m
            CROSS JOIN LATERAL (
                  SELECT CASE WHEN jsonb_typeof(m.found) <> jsonb_typeof(m.operand) THEN NULL
                              WHEN jsonb_typeof(m.found) = 'number' THEN sign(m.found::numeric - m.operand::numeric)
                              WHEN jsonb_typeof(m.found) = 'string'
                                   THEN CASE WHEN (m.found #>> '{}') COLLATE \"C\" > (m.operand #>> '{}') THEN 1
                                             WHEN (m.found #>> '{}') COLLATE \"C\" < (m.operand #>> '{}') THEN -1
                                             ELSE 0 END
                         END AS sign
                  OFFSET 0) o
            WHERE NOT CASE c.condition ->> 1
                      WHEN 'eq' THEN coalesce(m.found = m.operand, false)
                      WHEN 'ne' THEN coalesce(m.found <> m.operand, true)
                      WHEN 'gt' THEN coalesce(o.sign > 0, false)
                      WHEN 'gte' THEN coalesce(o.sign >= 0, false)
                      WHEN 'lt' THEN coalesce(o.sign < 0, false)
                      ELSE coalesce(o.sign <= 0, false) END)"
        )
    };
}
pub(crate) use meets;

/// The conditions of a filter as a statement takes them: a JSON list of paths (jsonpath), comparisons and operands. The operands
/// are written as they were given, so that no number is rounded.
pub(crate) fn conditions(filter: &Filter) -> String {
    let conditions = filter.conditions().iter().map(|condition| {
        // Strict: members of objects only, not those of what is in a list.
        let names = condition.names.iter().map(|name| format!(".{}", json!(name)));
        let path = format!("strict ${}", names.collect::<String>());
        let operator = match condition.operator {
            Operator::Eq => "eq",
            Operator::Ne => "ne",
            Operator::Gt => "gt",
            Operator::Gte => "gte",
            Operator::Lt => "lt",
            Operator::Lte => "lte",
        };
        format!("[{},\"{operator}\",{}]", json!(path), condition.operand.as_str())
    });
    format!("[{}]", conditions.collect::<Vec<_>>().join(","))
}

/// Whether a version meets a filter.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Looked {
    bytes: i64,
    pub(super) meets: bool,
}

impl Looked {
    /// The bytes of its value.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or_default()
    }
}

/// Goes from id to id until the values are large enough.
const LOOK: &str = concat!(
    "WITH RECURSIVE step (ordinal, sum, bytes, meets) AS (
    SELECT 0, 0::bigint, 0::bigint, false
    UNION ALL
    SELECT s.ordinal + 1, s.sum + coalesce(v.bytes, 0), coalesce(v.bytes, 0), coalesce(v.meets, false)
      FROM step s
      LEFT JOIN LATERAL (
           SELECT (",
    size!("v"),
    ")::bigint AS bytes, ",
    meets!("v.value", "$4"),
    " AS meets
             FROM entry_versions v
            WHERE v.tenant_id = $1 AND v.id = ($2::uuid[])[s.ordinal + 1]
            LIMIT 1) v ON true
     WHERE s.ordinal < cardinality($2) AND s.sum < $3
)
SELECT s.bytes, s.meets FROM step s WHERE s.ordinal > 0 ORDER BY s.ordinal"
);

/// Looks at the values of the versions `ids` in order, until `max_bytes` of them are reached: the one that reaches them is the
/// last, so there is always one.
pub(super) async fn look(
    connection: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
    conditions: &str,
    max_bytes: usize,
) -> Result<Vec<Looked>, StoreError> {
    sqlx::query_as(LOOK)
        .bind(tenant.0)
        .bind(ids)
        .bind(max_bytes as i64)
        .bind(conditions)
        .fetch_all(connection)
        .await
        .map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn names_are_quoted_and_operands_are_written_as_given() {
        let given = r#"{"a.b\" || true": {"$gt": 12345678901234567890, "$ne": 0.10}}"#;
        let given = RawValue::from_string(given.to_owned()).unwrap();
        let filter = Filter::parse(&given).unwrap();
        assert_eq!(
            conditions(&filter),
            r#"[["strict $.\"a\".\"b\\\" || true\"","gt",12345678901234567890],["strict $.\"a\".\"b\\\" || true\"","ne",0.10]]"#
        );
    }
}
