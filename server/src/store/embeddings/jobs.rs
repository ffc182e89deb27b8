//! The queue of embedding jobs: claim, count, requeue, prune.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;

use crate::domain::TenantId;
use crate::store::StoreError;
use crate::store::entries::newest_day::newest_day;

/// Locks rows in the order of their ids, like everywhere. A job without attempts is due at once, whatever its times say.
const REQUEUE: &str = "
WITH chosen AS (
    SELECT id FROM embedding_jobs
     WHERE status = 'failed' AND ($1 IS NULL OR tenant_id = $1)
     ORDER BY id LIMIT $2 FOR UPDATE
)
UPDATE embedding_jobs j
   SET status = 'queued', attempts = 0, next_attempt_at = now(), leased_until = NULL, finished_at = NULL
  FROM chosen
 WHERE j.id = chosen.id";

/// Requeues failed jobs, the oldest first: those of `tenant` or of all, at most `limit` or all. Returns how many.
pub async fn requeue_failed(
    executor: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
    limit: Option<i64>,
) -> Result<u64, StoreError> {
    let done = sqlx::query(REQUEUE)
        .bind(tenant.map(|tenant| tenant.0))
        .bind(limit)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Every status of a job.
const STATUSES: [&str; 4] = ["queued", "running", "succeeded", "failed"];

/// Counts jobs by status.
pub async fn counts(connection: &mut PgConnection) -> Result<[(&'static str, i64); 4], StoreError> {
    let rows = sqlx::query("SELECT status, count(*) FROM embedding_jobs GROUP BY status")
        .fetch_all(connection)
        .await?;
    let mut counts = STATUSES.map(|status| (status, 0));
    for row in &rows {
        let status: &str = row.try_get(0)?;
        if let Some(found) = counts.iter_mut().find(|(name, _)| *name == status) {
            found.1 = row.try_get(1)?;
        }
    }
    Ok(counts)
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: i64,
    /// Its entry's tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: String,
    /// The path.
    pub path: String,
    /// The version to be embedded.
    pub version: Uuid,
    /// Attempts so far, this one included.
    pub attempts: i32,
    /// The value in normal form; `None` when the version is no longer the entry's latest live one, or not searchable.
    pub value: Option<String>,
}

/// Jobs of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// End of the lease; also tells this claim from every other.
    pub leased_until: Timestamp,
    /// The jobs; at least one.
    pub jobs: Vec<Job>,
}

/// Which jobs are to be claimed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Their model.
    pub model: i32,
    /// Its name: after a restore of another database's backup, another model may have that id.
    pub name: &'a str,
    /// At most so many, shared out evenly among the tenants.
    pub limit: usize,
    /// How long they belong to the claim; jobs of a dead worker are due again then.
    pub lease: Duration,
    /// Tokens of a tenant and day. Those of tenants that have used them up wait.
    pub tokens_per_day: Option<i64>,
    /// Tenants whose jobs are left.
    pub without: &'a [TenantId],
}

/// A worker's way through the tenants, in the order of their ids.
#[derive(Debug, Default)]
pub struct Round {
    /// Where the next claim goes on; `None` at the beginning of a round.
    from: Option<Uuid>,
    /// A tenant may have more due jobs than it has got in this round.
    has_more: bool,
}

impl Round {
    /// Whether a round has just ended in which every tenant has got all that was due.
    pub fn is_idle(&self) -> bool {
        self.from.is_none() && !self.has_more
    }
}

/// Looks at the first job of 256 tenants at most, each a step along the index embedding_jobs_turns. A tenant of which no job is
/// due, or that is over its quota of the day, costs that step, however many jobs it has. What is open is written as in that
/// index alone, so that no plan takes another. Skips rows that others claim, and leaves those that have changed since it began. Jobs that
/// somebody has queued by hand are due from the next claim on, whatever their times say: they are told from new ones, and found in
/// an index, by a time other than that at which they were made. Those of a retired model are left.
const CLAIM: &str = concat!(
    "
WITH RECURSIVE by_hand AS (
    UPDATE embedding_jobs SET next_attempt_at = now()
     WHERE id = ANY (ARRAY (
           SELECT id
             FROM embedding_jobs
            WHERE model_id = $1 AND status = 'queued' AND attempts = 0
              AND next_attempt_at > created_at AND next_attempt_at > now()
            LIMIT 1000
              FOR UPDATE SKIP LOCKED))
), looked (tenant_id, next_attempt_at, n) AS (
    (SELECT j.tenant_id, j.next_attempt_at, 1
       FROM embedding_jobs j
      WHERE j.model_id = $1 AND j.tenant_id >= $5 AND j.status NOT IN ('succeeded', 'failed')
        AND EXISTS (SELECT FROM embedding_models m WHERE m.id = $1 AND m.name = $7 AND m.state <> 'retired')
      ORDER BY j.tenant_id, j.next_attempt_at
      LIMIT 1)
    UNION ALL
    SELECT next.tenant_id, next.next_attempt_at, l.n + 1
      FROM looked l
     CROSS JOIN LATERAL (
           SELECT j.tenant_id, j.next_attempt_at
             FROM embedding_jobs j
            WHERE j.model_id = $1 AND j.tenant_id > l.tenant_id AND j.status NOT IN ('succeeded', 'failed')
            ORDER BY j.tenant_id, j.next_attempt_at
            LIMIT 1) next
     WHERE l.n < 256
), ready AS MATERIALIZED (
    SELECT l.tenant_id, l.n
      FROM looked l
     WHERE l.next_attempt_at <= now()
       AND l.tenant_id <> ALL ($6)
       AND coalesce((SELECT q.embed_tokens
                       FROM (SELECT l.tenant_id, (now() AT TIME ZONE 'UTC')::date AS day) t",
    newest_day!("q.embed_tokens", ""),
    "), 0) < $4
     ORDER BY l.n
     LIMIT $2
), turn AS MATERIALIZED (
    SELECT greatest($2 / greatest((SELECT count(*) FROM ready), 1), 1) AS share,
           CASE WHEN (SELECT count(*) FROM ready) = $2 THEN (SELECT tenant_id FROM ready ORDER BY n DESC LIMIT 1)
                ELSE (SELECT tenant_id FROM looked WHERE n = 256) END AS last
), due AS MATERIALIZED (
    SELECT mine.place
      FROM ready r
     CROSS JOIN LATERAL (
           SELECT j.ctid AS place
             FROM embedding_jobs j
            WHERE j.model_id = $1 AND j.tenant_id = r.tenant_id AND j.status NOT IN ('succeeded', 'failed')
              AND j.next_attempt_at <= now()
            ORDER BY j.next_attempt_at, j.id
            LIMIT (SELECT share FROM turn)
              FOR UPDATE OF j SKIP LOCKED) mine
), claimed AS (
    UPDATE embedding_jobs j
       SET status = 'running', attempts = j.attempts + 1, finished_at = NULL,
           leased_until = now() + $3 * interval '1 second', next_attempt_at = now() + $3 * interval '1 second'
     WHERE j.ctid = ANY (ARRAY (SELECT place FROM due))
    RETURNING j.id, j.tenant_id, j.agent_id, j.path, j.version_id, j.attempts, j.leased_until
)
SELECT turn.share, turn.last, c.*, latest.value
  FROM turn
  LEFT JOIN claimed c ON true
  LEFT JOIN LATERAL (
       SELECT v.value::text AS value
         FROM (SELECT e.latest_version_id, e.deleted_at, e.expires_at
                 FROM entries e
                WHERE e.tenant_id = c.tenant_id AND e.agent_id = c.agent_id AND e.path = c.path
                LIMIT 1) head
         JOIN entry_versions v ON v.tenant_id = c.tenant_id AND v.id = head.latest_version_id
        WHERE head.latest_version_id = c.version_id AND ", live!("head"), "
          AND v.searchable
        LIMIT 1) latest ON true
 ORDER BY c.id"
);

/// Claims the next due jobs of `round`. `None` if there are none up to its end, or within many tenants.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    wanted: Wanted<'_>,
    round: &mut Round,
) -> Result<Option<Claim>, StoreError> {
    let rows = sqlx::query(CLAIM)
        .bind(wanted.model)
        .bind(wanted.limit as i64)
        .bind(wanted.lease.as_secs_f64())
        .bind(wanted.tokens_per_day.unwrap_or(i64::MAX))
        .bind(round.from.unwrap_or_default())
        .bind(wanted.without.iter().map(|tenant| tenant.0).collect::<Vec<_>>())
        .bind(wanted.name)
        .fetch_all(executor)
        .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (share, last): (i64, Option<Uuid>) = (first.try_get("share")?, first.try_get("last")?);
    let leased_until: Option<jiff_sqlx::Timestamp> = first.try_get("leased_until")?;
    let jobs: Vec<Job> = if leased_until.is_some() {
        rows.iter().map(job).collect::<Result<_, sqlx::Error>>()?
    } else {
        Vec::new()
    };
    let mut got: HashMap<TenantId, i64> = HashMap::new();
    for job in &jobs {
        *got.entry(job.tenant).or_default() += 1;
    }
    let goes_on = round.from.is_some() && round.has_more;
    round.has_more = goes_on || got.values().any(|&got| got >= share);
    round.from = last.and_then(|last| last.as_u128().checked_add(1)).map(Uuid::from_u128);
    Ok(leased_until.map(|until| Claim { leased_until: until.to_jiff(), jobs }))
}

fn job(row: &PgRow) -> Result<Job, sqlx::Error> {
    Ok(Job {
        id: row.try_get("id")?,
        tenant: TenantId(row.try_get("tenant_id")?),
        agent: row.try_get("agent_id")?,
        path: row.try_get("path")?,
        version: row.try_get("version_id")?,
        attempts: row.try_get("attempts")?,
        value: row.try_get("value")?,
    })
}

/// Most jobs that are pruned together.
pub const PRUNE_BATCH: u64 = 500;

const PRUNE: &str = "
DELETE FROM embedding_jobs
 WHERE id = ANY (ARRAY (
       SELECT id
         FROM embedding_jobs
        WHERE status = 'succeeded' AND finished_at < now() - interval '1 day'
        ORDER BY finished_at
        LIMIT $1
          FOR UPDATE SKIP LOCKED))";

/// Deletes a batch of jobs that succeeded more than a day ago; returns how many.
pub async fn prune(executor: impl PgExecutor<'_>) -> Result<u64, StoreError> {
    let done = sqlx::query(PRUNE).bind(PRUNE_BATCH as i64).execute(executor).await?;
    Ok(done.rows_affected())
}
