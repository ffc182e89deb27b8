//! The live entries of a subtree, by the index `entries_tree`.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::list::{BEYOND, tree_key};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;

/// SQL of the live entries of a subtree, which lies from `$3` to below `$4` in tree order. Deleted ones stay for ever, and are not in
/// that index. [`of_subtree`] binds what it needs.
macro_rules! live_entries {
    ($what:literal) => {
        concat!(
            "SELECT ",
            $what,
            "
  FROM entries e
 WHERE e.tenant_id = $1 AND e.agent_id = $2 AND ",
            live!("e"),
            "
   AND ",
            $crate::store::entries::list::tree_order!("e.path"),
            " >= $3 AND ",
            $crate::store::entries::list::tree_order!("e.path"),
            " < $4"
        )
    };
}
pub(super) use live_entries;

/// How many there are, up to `$5`.
pub(super) const COUNT: &str =
    concat!("SELECT count(*) FROM (", live_entries!("1"), " LIMIT $5) AS few");

/// A statement of what is at and below `path`: `$1` to `$4` are bound.
pub(super) fn of_subtree(
    statement: &'static str,
    tenant: TenantId,
    agent: &AgentId,
    path: &str,
) -> Query<'static, Postgres, PgArguments> {
    let from = tree_key(path);
    let beyond = from.clone() + BEYOND;
    sqlx::query(statement).bind(tenant.0).bind(agent.as_str()).bind(from).bind(beyond)
}
