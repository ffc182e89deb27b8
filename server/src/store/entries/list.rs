//! Lists what is in a directory down to a depth, by jumping from child to child instead of reading everything
//! below them.

use jiff::Timestamp;
use uuid::Uuid;

use super::details::{self, Details};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::time::from_sql;

/// An entry or a directory that is in a directory. A path that is both has one of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Its path.
    pub path: String,
    /// The version that the entry shows; none of a directory.
    pub version_id: Option<Uuid>,
    /// When the entry was first written; none of a directory, and of entries whose heads do not tell.
    pub created_at: Option<Timestamp>,
    /// The details of the entry, if they are asked for.
    pub details: Option<Details>,
}

impl Child {
    /// The entry at `path`.
    pub fn entry(path: String, version_id: Uuid, created_at: Option<Timestamp>) -> Self {
        Self { path, version_id: Some(version_id), created_at, details: None }
    }

    /// The directory at `path`.
    pub fn directory(path: String) -> Self {
        Self { path, version_id: None, created_at: None, details: None }
    }
}

/// The position where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// From the start of the directory.
    Start,
    /// After the entry at this path, with everything below it.
    Entry(String),
    /// After the directory at this path, with everything below it.
    Below(String),
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

/// SQL of the first live entry from `$from` on, in tree order, and of its path cut to the depth `$7`.
macro_rules! first_live {
    ($from:expr) => {
        concat!(
            "SELECT e.path, e.latest_version_id AS version_id, e.created_at,
                    $5::text || '/' || array_to_string(
                        (string_to_array(substr(e.path, char_length($5) + 2), '/'))[1:$7::int], '/') AS child
               FROM entries e
              WHERE e.tenant_id = $1 AND e.agent_id = $2 AND ", live!("e"), "
                AND ", tree_order!("e.path"), " >= ", $from, "
                AND ", tree_order!("e.path"), " < $4
              ORDER BY ", tree_order!("e.path"), "
              LIMIT 1"
        )
    };
}

/// Each step finds the first live entry from a bound on. After one that is not too deep, the bound moves to what is below it;
/// after one that is, beyond the directory in which it is too deep. Every look-up is ordered, so that only `entries_tree` suits
/// it: without the order, and on a table that was never analysed, PostgreSQL reads all entries of the agent instead.
const LIST: &str = concat!(
    "WITH RECURSIVE step AS (
    (SELECT first.path, first.version_id, first.created_at, first.child, 1 AS n FROM (",
    first_live!("$3"),
    ") first)
    UNION ALL
    SELECT next.path, next.version_id, next.created_at, next.child, s.n + 1
      FROM step s
     CROSS JOIN LATERAL (",
    first_live!(concat!(
        tree_order!("s.child"),
        r" || CASE WHEN s.path = s.child THEN E'\x01\x01' ELSE E'\x01\x02' END"
    )),
    ") next
     WHERE s.n < $6
)
SELECT s.path, s.version_id, s.created_at, s.child FROM step s ORDER BY s.n"
);

/// A live entry that a step has found.
#[derive(Debug, sqlx::FromRow)]
struct Found {
    path: String,
    version_id: Uuid,
    created_at: Option<jiff_sqlx::Timestamp>,
    /// The path cut to the depth: shorter where the entry is deeper.
    child: String,
}

/// A directory as it is now, down to a depth.
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent within the tenant.
    pub agent: &'a AgentId,
    /// The directory.
    pub prefix: &'a Prefix,
    /// The depth; 1 is that of its direct children.
    pub depth: usize,
    /// Whether entries come with their details.
    pub details: bool,
}

impl Tree<'_> {
    /// The children from `after` on, in tree order, of at most `limit` entries: each step tells one child at least.
    pub async fn children(
        &self,
        pool: &Pool,
        after: &After,
        limit: usize,
    ) -> Result<Vec<Child>, StoreError> {
        let from = match after {
            After::Start => tree_key(self.prefix.as_str()) + BELOW,
            After::Entry(path) | After::Below(path) | After::Within { child: path, .. } => {
                tree_key(path) + BELOW
            }
            After::Subtree(path) => tree_key(path) + BEYOND,
        };
        let query = sqlx::query_as(LIST)
            .bind(self.tenant.0)
            .bind(self.agent.as_str())
            .bind(from)
            .bind(tree_key(self.prefix.as_str()) + BEYOND)
            .bind(self.prefix.as_str())
            .bind(limit as i32)
            .bind(self.depth as i32);
        pool.noting(async {
            let mut moment = pool.begin_read().await?;
            let found: Vec<Found> = query.fetch_all(&mut *moment).await?;
            let mut children = told(found, self.prefix, after);
            if self.details {
                details::add(&mut moment, self.tenant, &mut children).await?;
            }
            moment.commit().await?;
            Ok(children)
        })
        .await
    }
}

/// The entries that were `found`, each behind the directories that it is in, unless those were told before: by an entry
/// before it, or up to `after`.
fn told(found: Vec<Found>, prefix: &Prefix, after: &After) -> Vec<Child> {
    let mut open = match after {
        After::Start => String::new(),
        After::Entry(path) | After::Subtree(path) | After::Within { child: path, .. } => {
            path.clone()
        }
        After::Below(path) => format!("{path}/"),
    };
    let below = prefix.as_str().len() + 1;
    let mut children = Vec::with_capacity(found.len());
    for Found { path, version_id, created_at, child } in found {
        let is_entry = path == child;
        let parents =
            child.match_indices('/').map(|(slash, _)| slash).filter(|slash| *slash > below);
        for end in parents.chain((!is_entry).then_some(child.len())) {
            let directory = &child[..end];
            if !open.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')) {
                children.push(Child::directory(directory.to_owned()));
            }
        }
        if is_entry {
            children.push(Child::entry(child, version_id, from_sql(created_at)));
        }
        open = path;
    }
    children
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
    use std::collections::BTreeSet;

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

    #[test]
    fn directories_are_told_once_and_before_what_is_in_them() {
        let prefix = Prefix::parse("/p").unwrap();
        let depth = 2;
        let paths = ["/p/a", "/p/a/b", "/p/a/b/c", "/p/d/e/f", "/p/d/g", "/p/h/i/j"];
        let found = |paths: &[&str]| -> Vec<Found> {
            let cut = |path: &str| path.split('/').take(2 + depth).collect::<Vec<_>>().join("/");
            let found = |path: &&str| Found {
                path: (*path).to_owned(),
                version_id: Uuid::nil(),
                created_at: None,
                child: cut(path),
            };
            paths.iter().map(found).collect()
        };
        let names = |children: Vec<Child>| -> Vec<String> {
            let kind = |child: &Child| if child.version_id.is_none() { "d" } else { "f" };
            children.iter().map(|child| format!("{}{}", kind(child), child.path)).collect()
        };
        let all = names(told(found(&paths), &prefix, &After::Start));
        let expected = [
            "f/p/a", "d/p/a", "f/p/a/b", "d/p/a/b", "d/p/d", "d/p/d/e", "f/p/d/g", "d/p/h",
            "d/p/h/i",
        ];
        assert_eq!(all, expected);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        // Each place goes on with the rest: the entry at which a walk from there begins, and what is told.
        for (after, from, rest) in [
            (After::Entry("/p/a".into()), 1, 1),
            (After::Below("/p/a".into()), 1, 2),
            (After::Entry("/p/a/b".into()), 2, 3),
            (After::Subtree("/p/a/b".into()), 3, 4),
            (After::Below("/p/d".into()), 3, 5),
            (After::Subtree("/p/d/e".into()), 4, 6),
        ] {
            let went_on = names(told(found(&paths[from..]), &prefix, &after));
            assert_eq!(went_on, expected[rest..], "{after:?}");
        }
    }
}
