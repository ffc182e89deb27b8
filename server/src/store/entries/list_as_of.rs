//! The direct children of a directory at a moment of the past, when other heads were live than those that the tree's
//! index knows.
//!
//! Heads are found by their key, whose order is that of bytes: `/a`, `/a-b`, `/a/x`. Children are sorted by their own
//! paths, so the directory `/a` comes before `/a-b` though what is in it comes after. Children are gone through in the order
//! of their first heads, each with one look-up:
//! - After a child `c` whose own head was met come the heads from `c` to `c/`, then those beyond everything below `c`. After
//!   one that was met by a head below it, only the latter.
//! - So each child is met, a directory like `/a` late, or once more after its own head. What was met is sorted in the end.
//! - A directory that was not met yet, and belongs among those that were, can only be a beginning of the last child that goes
//!   on with a character under the slash. Of that child alone each such beginning is looked for.

use std::time::Instant;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::as_of::version_shown;
use super::details;
use super::list::{After, Child};
use super::scan::{Range, STEP, TIME};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;
use crate::store::StoreError;
use crate::store::connection::pool::{Pool, keep_within};
use crate::store::time::from_sql;

/// Most children that one statement looks at.
const CHILDREN: usize = 200;

/// SQL of the child that `$path` is, or is below.
macro_rules! child_of {
    ($path:literal) => {
        concat!("$4::text || '/' || split_part(substr(", $path, ", char_length($4) + 2), '/', 1)")
    };
}

/// SQL of the first head whose path meets `$bounds`.
macro_rules! first_head {
    ($($bounds:expr),+) => {
        concat!(
            "SELECT e.path FROM entries e WHERE e.tenant_id = $1 AND e.agent_id = $2 AND ",
            $($bounds),+,
            " ORDER BY e.path LIMIT 1"
        )
    };
}

/// The children from `$3` on of the directory `$4`, whether or not they were shown at the moment `$5`. Whether one was a
/// directory is decided by the first heads below it, or left open where there are more. Those before `$3` whose heads come
/// after it are met as well, and count for nothing.
const CANDIDATES: &str = concat!(
    "WITH RECURSIVE step (child, head, visited, found) AS (
    SELECT $3::text COLLATE \"C\", $3::text COLLATE \"C\", 0, 0
    UNION ALL
    SELECT next.child, next.head, s.visited + 1, s.found + (next.child > $3)::int
      FROM step s
     CROSS JOIN LATERAL (
           SELECT ",
    child_of!("first.path"),
    " AS child, first.path AS head
             FROM (SELECT coalesce(
                       CASE WHEN s.head = s.child THEN (",
    first_head!("e.path > s.child AND e.path < s.child || '/'"),
    ") END,
                       (",
    first_head!("e.path >= s.child || '0' AND e.path < $4 || '0'"),
    ")) AS path) first
            WHERE first.path IS NOT NULL
            LIMIT 1) next
     WHERE s.found < $6
), last AS (
    SELECT s.child, s.found FROM step s ORDER BY s.visited DESC LIMIT 1
), met AS (
    SELECT s.child FROM step s WHERE s.child > $3
    UNION
    SELECT left(last.child, i)
      FROM last
     CROSS JOIN generate_series(char_length($4) + 2, char_length(last.child) - 1) i
     WHERE substr(last.child, i + 1, 1) < '/' AND left(last.child, i) > $3
       AND (",
    first_head!("e.path > left(last.child, i) || '/' AND e.path < left(last.child, i) || '0'"),
    ") IS NOT NULL
)
SELECT s.child, own.version_id, own.created_at,
       CASE WHEN (
                SELECT true
                  FROM (SELECT ",
    version_shown!("$5"),
    " AS id
                          FROM entries e
                         WHERE e.tenant_id = $1 AND e.agent_id = $2
                           AND e.path > s.child || '/' AND e.path < s.child || '0'
                         ORDER BY e.path
                         LIMIT 16) below
                 WHERE below.id IS NOT NULL
                 LIMIT 1) THEN true
            WHEN (",
    first_head!("e.path > s.child || '/' AND e.path < s.child || '0'"),
    " OFFSET 16) IS NULL THEN false
       END AS is_directory,
       (SELECT last.found FROM last) >= $6 AS has_more
  FROM met s
  LEFT JOIN LATERAL (
       SELECT ",
    version_shown!("$5"),
    " AS version_id, e.created_at
         FROM entries e
        WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path = s.child
        LIMIT 1) own ON true
 ORDER BY s.child"
);

#[derive(sqlx::FromRow)]
struct Candidate {
    child: String,
    version_id: Option<Uuid>,
    created_at: Option<jiff_sqlx::Timestamp>,
    is_directory: Option<bool>,
    /// The statement has looked at as many children as it may.
    has_more: bool,
}

/// The result of one request.
#[derive(Debug, Default)]
pub struct Listed {
    /// The children, sorted by path. One that is both entry and directory comes as two.
    pub children: Vec<Child>,
    /// Where the listing goes on; none at its end.
    pub rest: Option<After>,
}

/// A directory at a past moment.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent within the tenant.
    pub agent: &'a AgentId,
    /// The directory.
    pub prefix: &'a Prefix,
    /// The moment.
    pub as_of: Timestamp,
    /// Whether entries come with their details.
    pub details: bool,
}

impl Directory<'_> {
    /// The children from `after` on, until there are `enough` or one request's work is done.
    pub async fn children(
        &self,
        pool: &Pool,
        after: &After,
        enough: usize,
    ) -> Result<Listed, StoreError> {
        pool.noting(async {
            let mut moment = pool.begin_read().await?;
            let began = Instant::now();
            let mut listed = Listed { children: Vec::new(), rest: Some(after.clone()) };
            // The first statement looks at no more than may be needed; where that was not enough, most are of the past alone.
            let mut asked = enough.min(CHILDREN);
            for _ in 0..self.below("").max_steps() {
                let is_done = listed.children.len() >= enough || began.elapsed() >= TIME;
                let Some(place) = listed.rest.take_if(|_| !is_done) else { break };
                keep_within(&mut moment, began).await?;
                let found = listed.children.len();
                let mut went = self.step(&mut moment, &place, asked, &mut listed.children).await;
                if went.is_ok() && self.details {
                    let new = &mut listed.children[found..];
                    let added = details::add(&mut moment, self.tenant, new).await;
                    went = added.and(went);
                }
                listed.rest = match went {
                    // What was found is answered. The moment is of no more use.
                    Err(StoreError::TimedOut(_)) if place != *after => {
                        listed.children.truncate(found);
                        return Ok(Listed { rest: Some(place), ..listed });
                    }
                    went => went?,
                };
                asked = CHILDREN;
            }
            moment.commit().await?;
            Ok(listed)
        })
        .await
    }

    fn below<'a>(&'a self, prefix: &'a str) -> Range<'a> {
        Range { tenant: self.tenant, agent: self.agent, prefix, as_of: Some(self.as_of) }
    }

    /// Goes on from `place` by one statement; returns the next place, or none at the end.
    async fn step(
        &self,
        connection: &mut PgConnection,
        place: &After,
        asked: usize,
        children: &mut Vec<Child>,
    ) -> Result<Option<After>, StoreError> {
        match place {
            After::Start => {
                let from = format!("{}/", self.prefix.as_str());
                self.go_on(connection, &from, asked, children).await
            }
            After::Subtree(child) => self.go_on(connection, child, asked, children).await,
            // Only a list that is deeper goes on below a directory, and there is none of the past.
            After::Entry(child) | After::Below(child) => {
                self.look_below(connection, child, None, children).await.map(Some)
            }
            After::Within { child, path } => {
                self.look_below(connection, child, Some(path), children).await.map(Some)
            }
        }
    }

    /// Takes the children after the child `from`, up to one that still must be looked into.
    async fn go_on(
        &self,
        connection: &mut PgConnection,
        from: &str,
        asked: usize,
        children: &mut Vec<Child>,
    ) -> Result<Option<After>, StoreError> {
        let candidates: Vec<Candidate> = sqlx::query_as(CANDIDATES)
            .bind(self.tenant.0)
            .bind(self.agent.as_str())
            .bind(from)
            .bind(self.prefix.as_str())
            .bind(self.as_of.to_sqlx())
            .bind(asked as i32)
            .fetch_all(connection)
            .await?;
        let more = candidates.first().is_some_and(|candidate| candidate.has_more);
        let mut last = None;
        for Candidate { child: path, version_id, created_at, is_directory, .. } in candidates {
            let entry = |id| Child::entry(path.clone(), id, from_sql(created_at));
            children.extend(version_id.map(entry));
            if is_directory == Some(true) {
                children.push(Child::directory(path.clone()));
            }
            if is_directory.is_none() {
                return Ok(Some(After::Entry(path)));
            }
            last = Some(After::Subtree(path));
        }
        Ok(last.filter(|_| more))
    }

    /// Looks for any entry shown below a child, from after `path` on; the child's own entry is done.
    async fn look_below(
        &self,
        connection: &mut PgConnection,
        child: &str,
        path: Option<&str>,
        children: &mut Vec<Child>,
    ) -> Result<After, StoreError> {
        let child = child.to_owned();
        let prefix = format!("{child}/");
        let heads = self.below(&prefix).step(connection, path, STEP).await?;
        if heads.iter().any(|head| head.version_id.is_some()) {
            children.push(Child::directory(child.clone()));
            return Ok(After::Subtree(child));
        }
        Ok(match heads.into_iter().nth(STEP - 1) {
            Some(last) => After::Within { child, path: last.path },
            None => After::Subtree(child),
        })
    }
}
