//! Scans an agent's paths in byte order, in steps of bounded work.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::as_of::version_shown;
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::store::StoreError;
use crate::store::connection::pool::{Pool, READ_TIMEOUT, keep_within};
use crate::store::time::to_sql;

/// Most heads that one statement looks at.
pub const STEP: usize = 1000;

/// The longest that a scan, or a list of the past, takes before it answers what it has, with a cursor.
pub const TIME: Duration = Duration::from_secs(2);

/// The longest that paths are compared before other requests get their turn on the thread.
const TURN: Duration = Duration::from_millis(1);

/// Includes heads that show nothing: a statement's work is bounded, not its result.
const HEADS: &str = concat!(
    "SELECT e.path, ",
    version_shown!("$6"),
    " AS version_id
      FROM entries e
     WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path >= $3 AND e.path < $4
     ORDER BY e.path
     LIMIT $5"
);

/// A range of paths, at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent within the tenant.
    pub agent: &'a AgentId,
    /// The prefix of the paths.
    pub prefix: &'a str,
    /// The moment; `None` is now.
    pub as_of: Option<Timestamp>,
}

/// The head of a path that was ever written.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Head {
    /// The path.
    pub path: String,
    /// The version that it shows; none if it shows none at that moment.
    pub version_id: Option<Uuid>,
}

/// The result of a scan by one request.
#[derive(Debug, Default)]
pub struct ScanPage {
    /// Paths and the versions that they show.
    pub shown: Vec<(String, Uuid)>,
    /// The path after which the scan goes on; none at its end.
    pub rest: Option<String>,
}

impl Range<'_> {
    /// Most statements of one request; the next one goes on from its cursor. A head of the past costs a search in its
    /// history.
    pub fn max_steps(&self) -> usize {
        if self.as_of.is_some() { 20 } else { 100 }
    }

    /// The next `count` heads after the path `after`; fewer at the end of the range.
    pub async fn step(
        &self,
        connection: &mut PgConnection,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<Head>, StoreError> {
        let from = after.map_or_else(|| self.prefix.to_owned(), behind);
        self.heads(connection, &from, &beyond(self.prefix), count).await
    }

    /// The version that `path` shows.
    pub async fn shown_at(
        &self,
        connection: &mut PgConnection,
        path: &str,
    ) -> Result<Option<Uuid>, StoreError> {
        let head = self.heads(connection, path, &behind(path), 1).await?;
        Ok(head.into_iter().find_map(|head| head.version_id))
    }

    async fn heads(
        &self,
        connection: &mut PgConnection,
        from: &str,
        to: &str,
        count: usize,
    ) -> Result<Vec<Head>, StoreError> {
        sqlx::query_as(HEADS)
            .bind(self.tenant.0)
            .bind(self.agent.as_str())
            .bind(from)
            .bind(to)
            .bind(count as i64)
            .bind(to_sql(self.as_of))
            .fetch_all(connection)
            .await
            .map_err(Into::into)
    }

    /// At most `limit` paths after `after` that show a version and satisfy `fits`; fewer, with the rest, where it takes long.
    pub async fn find(
        &self,
        pool: &Pool,
        after: Option<&str>,
        limit: usize,
        fits: impl Fn(&str) -> bool,
    ) -> Result<ScanPage, StoreError> {
        pool.noting(async {
            let mut moment = pool.begin_read().await?;
            let found = self.find_on(&mut moment, after, limit, fits).await?;
            moment.commit().await?;
            Ok(found)
        })
        .await
    }

    /// The same, within the connection's transaction.
    pub(crate) async fn find_on(
        &self,
        connection: &mut PgConnection,
        after: Option<&str>,
        limit: usize,
        fits: impl Fn(&str) -> bool,
    ) -> Result<ScanPage, StoreError> {
        let began = Instant::now();
        let ends = began + TIME;
        let mut found = ScanPage { shown: Vec::new(), rest: after.map(str::to_owned) };
        for _ in 0..self.max_steps() {
            keep_within(connection, began).await?;
            let asked = Instant::now();
            let heads = self.step(connection, found.rest.as_deref(), STEP).await?;
            let took = asked.elapsed();
            let is_last = heads.len() < STEP;
            let mut turn = Instant::now();
            for head in heads {
                if let Some(version) = head.version_id.filter(|_| fits(&head.path)) {
                    // One path more than asked for tells whether there is more.
                    if found.shown.len() == limit {
                        found.rest = found.shown.last().map(|(path, _)| path.clone());
                        return Ok(found);
                    }
                    found.shown.push((head.path.clone(), version));
                }
                found.rest = Some(head.path);
                if turn.elapsed() >= TURN {
                    if Instant::now() >= ends {
                        return Ok(found);
                    }
                    tokio::task::yield_now().await;
                    turn = Instant::now();
                }
            }
            if is_last {
                return Ok(ScanPage { rest: None, ..found });
            }
            // A step that would be cut off takes what was found before with it.
            if Instant::now() >= ends || began.elapsed() + took >= READ_TIMEOUT {
                break;
            }
        }
        Ok(found)
    }
}

/// The least text after a path: none lies between a path and the same with the least character behind it.
fn behind(path: &str) -> String {
    format!("{path}\u{1}")
}

/// The least text above all that begin with `prefix`. Characters and their UTF-8 bytes sort alike.
fn beyond(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return chars.into_iter().collect();
        }
    }
    // Every path begins with a slash, and this is the character after it.
    "0".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_that_begins_with_a_prefix_lies_below_its_bound(prefix in "/\\PC{0,5}", rest in "\\PC{0,5}", other in "/\\PC{0,8}") {
            let bound = beyond(&prefix);
            let path = prefix.clone() + &rest;
            prop_assert!(path < bound);
            prop_assert!(other < prefix || other >= bound || other.starts_with(&prefix));
        }
    }

    #[test]
    fn the_last_characters_have_a_bound_too() {
        assert_eq!(beyond("/a\u{d7ff}"), "/a\u{e000}");
        assert_eq!(beyond("/a\u{10ffff}"), "/b");
        assert_eq!(beyond(""), "0");
    }
}
