//! Lists the direct children of a directory, by jumping from child to child instead of reading everything
//! below them.

use sqlx::Row as _;

use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;

/// A child of a directory. Both may hold at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The child's path.
    pub path: String,
    /// There is a live entry at the path.
    pub is_entry: bool,
    /// There are live entries below the path.
    pub is_directory: bool,
}

/// The position where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// From the start of the directory.
    Start,
    /// After the entry at this path, with everything below it.
    Entry(String),
    /// After everything at and below this path.
    Subtree(String),
    /// Among the entries below this child: a listing of the past has found nothing up to `path` that makes it a
    /// directory.
    Within {
        /// The child.
        child: String,
        /// A path below it.
        path: String,
    },
}

/// SQL of the expression of the index `entries_tree`; [`tree_key`] is the same in Rust.
macro_rules! tree_order {
    ($path:literal) => {
        concat!(r"replace(replace(", $path, r", E'\x01', E'\x01\x02'), '/', E'\x01\x01')")
    };
}

pub(crate) use tree_order;

/// SQL of the first live entry from `$from` on, in tree order.
macro_rules! first_live {
    ($from:expr) => {
        concat!(
            "SELECT e.path, $5::text || '/' || split_part(substr(e.path, char_length($5) + 2), '/', 1) AS child
               FROM entries e
              WHERE e.tenant_id = $1 AND e.agent_id = $2 AND ", live!("e"), "
                AND ", tree_order!("e.path"), " >= ", $from, "
                AND ", tree_order!("e.path"), " < $4
              ORDER BY ", tree_order!("e.path"), "
              LIMIT 1"
        )
    };
}

/// Each step finds the first live entry from a bound on: it is the next child or below it, and the bound moves past
/// everything below that child. Every look-up is ordered, so that only `entries_tree` suits it: without the order, and on
/// a table that was never analysed, PostgreSQL reads all entries of the agent instead.
const LIST: &str = concat!(
    "WITH RECURSIVE step AS (
    (SELECT first.path, first.child, 1 AS n FROM (",
    first_live!("$3"),
    ") first)
    UNION ALL
    SELECT next.path, next.child, s.n + 1
      FROM step s
     CROSS JOIN LATERAL (",
    first_live!(concat!(tree_order!("s.child"), r" || E'\x01\x02'")),
    ") next
     WHERE s.n < $6
)
SELECT s.child, s.path = s.child AS is_entry, s.path <> s.child OR (
           SELECT true
             FROM entries e
            WHERE e.tenant_id = $1 AND e.agent_id = $2 AND ",
    live!("e"),
    "
              AND ",
    tree_order!("e.path"),
    " >= ",
    tree_order!("s.child"),
    r" || E'\x01\x01'
              AND ",
    tree_order!("e.path"),
    " < ",
    tree_order!("s.child"),
    r" || E'\x01\x02'
            ORDER BY ",
    tree_order!("e.path"),
    "
            LIMIT 1
       ) IS NOT NULL AS is_directory
  FROM step s
 ORDER BY s.n"
);

/// At most `limit` children of `prefix` from `after` on, sorted by path.
pub async fn children(
    pool: &Pool,
    tenant: TenantId,
    agent: &AgentId,
    prefix: &Prefix,
    after: &After,
    limit: usize,
) -> Result<Vec<Child>, StoreError> {
    let from = match after {
        After::Start => tree_key(prefix.as_str()) + BELOW,
        After::Entry(child) | After::Within { child, .. } => tree_key(child) + BELOW,
        After::Subtree(path) => tree_key(path) + BEYOND,
    };
    let query = sqlx::query(LIST)
        .bind(tenant.0)
        .bind(agent.as_str())
        .bind(from)
        .bind(tree_key(prefix.as_str()) + BEYOND)
        .bind(prefix.as_str())
        .bind(limit as i32);
    let read = pool.noting(async {
        let mut moment = pool.begin_read().await?;
        let rows = query.fetch_all(&mut *moment).await?;
        moment.commit().await?;
        Ok(rows)
    });
    let rows = read.await?;
    rows.iter()
        .map(|row| {
            Ok(Child {
                path: row.try_get(0)?,
                is_entry: row.try_get(1)?,
                is_directory: row.try_get(2)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Into::into)
}

/// The suffix of a path in tree order where its subtree begins.
const BELOW: &str = "\x01\x01";
/// The suffix of a path in tree order right after its subtree.
pub(super) const BEYOND: &str = "\x01\x02";

/// The key of a path in the index `entries_tree`.
pub(super) fn tree_key(path: &str) -> String {
    path.replace('\x01', "\x01\x02").replace('/', "\x01\x01")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tree_order_keeps_subtrees_together(
            a in "(/[a-c!\\x01-]{1,3}){1,3}", b in "(/[a-c!\\x01-]{1,3}){1,3}",
        ) {
            let below = b.strip_prefix(&a).is_some_and(|rest| rest.starts_with('/'));
            let (from, to) = (tree_key(&a) + BELOW, tree_key(&a) + BEYOND);
            let key = tree_key(&b);
            prop_assert_eq!(from <= key && key < to, below);
            let segments = |p: &str| p.split('/').map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(tree_key(&a).cmp(&key), segments(&a).cmp(&segments(&b)));
        }
    }
}
