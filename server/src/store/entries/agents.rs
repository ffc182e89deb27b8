//! Lists a tenant's agents, by jumping from agent to agent.

use sqlx::{PgExecutor, Row as _};

use super::list::tree_order;
use crate::domain::TenantId;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;

/// Most agents that one statement visits, and live entries after whose count it stops.
const MAX_VISITED: i64 = 10_000;
const MAX_COUNTED: i64 = 1_000_000;

/// An agent that has live entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub id: String,
    /// How many live entries it has.
    pub entries: i64,
}

/// A page of agents.
#[derive(Debug, Default)]
pub struct Page {
    /// The agents, sorted by name.
    pub agents: Vec<Agent>,
    /// The name after which the list goes on; none at its end.
    pub rest: Option<String>,
}

/// Each step finds the next agent by one look-up and counts its live entries. The agent after the last that fits is only
/// checked for one entry, and the agent after the last that may be visited is not counted at all. In tree order, so that
/// the index of live heads is used.
const AGENTS: &str = concat!(
    "WITH RECURSIVE step (agent_id, entries, visited, found, counted) AS (
    SELECT $2::text COLLATE \"C\", 0::bigint, 0::bigint, 0::bigint, 0::bigint
    UNION ALL
    SELECT next.agent_id, live.entries, s.visited + 1, s.found + (live.entries > 0)::int, s.counted + live.entries
      FROM step s
     CROSS JOIN LATERAL (
           SELECT e.agent_id
             FROM entries e
            WHERE e.tenant_id = $1 AND e.agent_id > s.agent_id
            ORDER BY e.agent_id
            LIMIT 1) next
     CROSS JOIN LATERAL (
           SELECT CASE WHEN s.visited < $4 AND s.counted < $5 THEN (
                      SELECT count(*)
                        FROM (SELECT
                                FROM entries e
                               WHERE e.tenant_id = $1 AND e.agent_id = next.agent_id
                                 AND ", live!("e"), "
                               ORDER BY ", tree_order!("e.path"), "
                               LIMIT CASE WHEN s.found = $3 THEN 1 END) e)
                  END AS entries
            LIMIT 1) live
     WHERE s.found <= $3 AND s.entries IS NOT NULL
)
SELECT s.agent_id, s.entries FROM step s WHERE s.visited > 0 ORDER BY s.agent_id"
);

/// At most `limit` agents with live entries, those after the name `after`.
pub async fn page(
    pool: &Pool,
    tenant: TenantId,
    after: Option<&str>,
    limit: usize,
) -> Result<Page, StoreError> {
    pool.noting(async {
        let mut moment = pool.begin_read().await?;
        let page = page_at(&mut *moment, tenant, after, limit).await?;
        moment.commit().await?;
        Ok(page)
    })
    .await
}

/// The same, within a transaction.
pub async fn page_at(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    after: Option<&str>,
    limit: usize,
) -> Result<Page, StoreError> {
    let rows = sqlx::query(AGENTS)
        .bind(tenant.0)
        .bind(after.unwrap_or_default())
        .bind(limit as i64)
        .bind(MAX_VISITED)
        .bind(MAX_COUNTED)
        .fetch_all(executor)
        .await?;
    let mut page = Page::default();
    let mut visited = after.map(str::to_owned);
    for row in rows {
        let id: String = row.try_get(0)?;
        match row.try_get(1)? {
            None => page.rest = visited.take(),
            Some(0) => visited = Some(id),
            Some(_) if page.agents.len() == limit => {
                page.rest = page.agents.last().map(|last| last.id.clone());
            }
            Some(entries) => {
                visited = Some(id.clone());
                page.agents.push(Agent { id, entries });
            }
        }
    }
    Ok(page)
}
