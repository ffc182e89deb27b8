//! Embeddings: writes the outcomes of claimed jobs.

mod chunks;
pub mod index;
pub mod jobs;
pub mod model_change;
pub mod models;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff_sqlx::ToSqlx as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use self::jobs::{Claim, Job};
use super::StoreError;
use super::access::quota;
use crate::domain::TenantId;
use crate::domain::search::chunks::CHUNK;
use crate::store::connection::pool::Pool;

/// The outcome of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobOutcome {
    /// Its chunks have vectors.
    Embedded {
        /// One a chunk, each of the model's dimensions; at least one.
        vectors: Vec<Vec<f32>>,
        /// The value goes on behind the last chunk.
        is_cut: bool,
        /// Tokens used.
        tokens: i64,
    },
    /// There is nothing to embed: the version is not the latest live searchable one.
    Outdated,
    /// It must be tried again.
    Again {
        /// Whether the attempt counts.
        counts: bool,
        /// How much later.
        delay: Duration,
        /// Why, as a sentence.
        reason: String,
    },
    /// It has failed too often.
    Failed {
        /// Why, as a sentence.
        reason: String,
    },
}

/// Does not wait for the disk: what a crash of PostgreSQL loses, jobs and embeddings together, is done again.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off";

/// Locks the heads whose latest version is the embedded one, so that nothing newer is embedded before this is written.
const HOLD_HEADS: &str = concat!(
    "
SELECT held.latest_version_id
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[]) AS k (tenant_id, agent_id, path, version_id)
  JOIN LATERAL (
       SELECT e.latest_version_id, e.deleted_at, e.expires_at
         FROM entries e
        WHERE e.tenant_id = k.tenant_id AND e.agent_id = k.agent_id AND e.path = k.path
          AND e.latest_version_id = k.version_id
        LIMIT 1
          FOR SHARE) held ON ", live!("held")
);

/// Leaves jobs that no longer belong to this claim: their lease ended, or somebody requeued them; and those that have changed since it began.
/// They are locked in the order of the arrays, which is that of their ids.
const FINISH: &str = "
WITH mine AS MATERIALIZED (
    SELECT o.*, held.place
      FROM unnest($2::bigint[], $3::text[], $4::int[], $5::float8[], $6::text[]) AS o (id, status, given_back, delay, reason)
     CROSS JOIN LATERAL (
           SELECT j.ctid AS place
             FROM embedding_jobs j
            WHERE j.id = o.id AND j.status = 'running' AND j.leased_until = $1
            LIMIT 1
              FOR UPDATE) held
)
UPDATE embedding_jobs j
   SET status = m.status, attempts = j.attempts - m.given_back, leased_until = NULL,
       next_attempt_at = now() + m.delay * interval '1 second',
       last_error = CASE m.status WHEN 'succeeded' THEN NULL ELSE m.reason END,
       finished_at = CASE WHEN m.status IN ('succeeded', 'failed') THEN now() END
  FROM mine m
 WHERE j.ctid = m.place
RETURNING j.id";

/// Passes all vectors in one array, `$7` numbers each: as text they would cost more than everything else. Answers the versions of which
/// there are further chunks, or may be some of an earlier version; mostly none.
const WRITE: &str = "
WITH written AS (
    INSERT INTO embeddings AS m (tenant_id, agent_id, path, model_id, version_id, embedding, chunked_version_id)
    SELECT k.tenant_id, k.agent_id, k.path, $1, k.version_id, ($6::real[])[(k.n - 1) * $7 + 1 : k.n * $7]::halfvec,
           CASE WHEN k.is_long THEN k.version_id END
      FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $8::bool[])
           WITH ORDINALITY AS k (tenant_id, agent_id, path, version_id, is_long, n)
    ON CONFLICT (tenant_id, agent_id, path, model_id) DO UPDATE
       SET version_id = excluded.version_id, embedding = excluded.embedding, created_at = excluded.created_at,
           chunked_version_id = coalesce(excluded.chunked_version_id, m.chunked_version_id)
    RETURNING m.version_id, m.chunked_version_id
)
SELECT version_id FROM written WHERE chunked_version_id IS NOT NULL";

/// Counts the tokens of `outcomes`, whatever becomes of them: the provider has charged them. In a transaction of its own,
/// since a lock on a tenant's quota row blocks all its other batches and writes.
pub async fn count_tokens(
    pool: &Pool,
    claim: &Claim,
    outcomes: &[JobOutcome],
) -> Result<(), StoreError> {
    let mut used: BTreeMap<TenantId, i64> = BTreeMap::new();
    for (job, outcome) in claim.jobs.iter().zip(outcomes) {
        if let JobOutcome::Embedded { tokens, .. } = outcome {
            *used.entry(job.tenant).or_default() += tokens;
        }
    }
    quota::count_tokens(pool, &used).await
}

/// Writes the outcomes of a claim's jobs: embeddings of versions that are still the latest, and the jobs themselves.
/// `outcomes` are in the order of the jobs. Locks in the order of everywhere: heads, jobs, embeddings, further chunks.
pub async fn finish(
    pool: &Pool,
    model: i32,
    claim: &Claim,
    outcomes: &[JobOutcome],
) -> Result<(), StoreError> {
    pool.noting(async {
        let finished: Vec<(&Job, &JobOutcome)> = claim.jobs.iter().zip(outcomes).collect();
        let mut transaction = pool.begin_with(BEGIN).await?;
        let mut embedded: Vec<Embedded<'_>> = finished
            .iter()
            .filter_map(|&(job, outcome)| match outcome {
                JobOutcome::Embedded { vectors, is_cut, .. } => {
                    Some(Embedded { job, vectors, is_cut: *is_cut })
                }
                _ => None,
            })
            .collect();
        embedded.sort_by_key(|Embedded { job, .. }| (job.tenant, &job.agent, &job.path));
        let held = hold_heads(&mut transaction, &embedded).await?;
        let mine = finish_jobs(&mut transaction, claim, &finished).await?;
        embedded
            .retain(|Embedded { job, .. }| held.contains(&job.version) && mine.contains(&job.id));
        // A version may have two jobs.
        embedded.dedup_by_key(|embedded| embedded.job.version);
        write(&mut transaction, model, &embedded).await?;
        transaction.commit().await?;
        Ok(())
    })
    .await
}

/// What was embedded for a job.
#[derive(Debug, Clone, Copy)]
struct Embedded<'a> {
    job: &'a Job,
    /// Those of its chunks.
    vectors: &'a [Vec<f32>],
    /// The value goes on behind the last one.
    is_cut: bool,
}

async fn hold_heads(
    connection: &mut PgConnection,
    embedded: &[Embedded<'_>],
) -> Result<Vec<Uuid>, StoreError> {
    if embedded.is_empty() {
        return Ok(Vec::new());
    }
    let (tenants, agents, paths, versions) = keys(embedded);
    sqlx::query_scalar(HOLD_HEADS)
        .bind(tenants)
        .bind(agents)
        .bind(paths)
        .bind(versions)
        .fetch_all(connection)
        .await
        .map_err(Into::into)
}

async fn finish_jobs(
    connection: &mut PgConnection,
    claim: &Claim,
    finished: &[(&Job, &JobOutcome)],
) -> Result<Vec<i64>, StoreError> {
    let rows = || finished.iter().map(|(_, outcome)| row(outcome));
    sqlx::query_scalar(FINISH)
        .bind(claim.leased_until.to_sqlx())
        .bind(finished.iter().map(|(job, _)| job.id).collect::<Vec<_>>())
        .bind(rows().map(|row| row.status).collect::<Vec<_>>())
        .bind(rows().map(|row| row.given_back).collect::<Vec<_>>())
        .bind(rows().map(|row| row.delay).collect::<Vec<_>>())
        .bind(rows().map(|row| row.reason).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .map_err(Into::into)
}

async fn write(
    connection: &mut PgConnection,
    model: i32,
    embedded: &[Embedded<'_>],
) -> Result<(), StoreError> {
    let Some(Embedded { vectors: [first, ..], .. }) = embedded.first() else { return Ok(()) };
    let (tenants, agents, paths, versions) = keys(embedded);
    let firsts = embedded.iter().filter_map(|embedded| embedded.vectors.first());
    let numbers: Vec<f32> = firsts.flatten().copied().collect();
    let is_long = |Embedded { job, vectors, .. }: &Embedded<'_>| {
        vectors.len() > 1 || job.value.as_ref().is_some_and(|value| value.len() > CHUNK)
    };
    let chunked: Vec<Uuid> = sqlx::query_scalar(WRITE)
        .bind(model)
        .bind(tenants)
        .bind(agents)
        .bind(paths)
        .bind(versions)
        .bind(numbers)
        .bind(first.len() as i64)
        .bind(embedded.iter().map(is_long).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    let of_chunked = |embedded: &&Embedded<'_>| chunked.contains(&embedded.job.version);
    let chunked: Vec<Embedded<'_>> = embedded.iter().filter(of_chunked).copied().collect();
    chunks::replace(connection, model, &chunked).await
}

type Keys<'a> = (Vec<Uuid>, Vec<&'a str>, Vec<&'a str>, Vec<Uuid>);

fn keys<'a>(embedded: &[Embedded<'a>]) -> Keys<'a> {
    let jobs = || embedded.iter().map(|embedded| embedded.job);
    (
        jobs().map(|job| job.tenant.0).collect(),
        jobs().map(|job| job.agent.as_str()).collect(),
        jobs().map(|job| job.path.as_str()).collect(),
        jobs().map(|job| job.version).collect(),
    )
}

/// A job's columns after an outcome.
struct JobRow<'a> {
    status: &'static str,
    given_back: i32,
    delay: f64,
    reason: Option<&'a str>,
}

fn row(outcome: &JobOutcome) -> JobRow<'_> {
    let done = |status, reason| JobRow { status, given_back: 0, delay: 0.0, reason };
    match outcome {
        JobOutcome::Embedded { .. } | JobOutcome::Outdated => done("succeeded", None),
        JobOutcome::Failed { reason } => done("failed", Some(reason)),
        JobOutcome::Again { counts, delay, reason } => JobRow {
            status: "queued",
            given_back: i32::from(!counts),
            delay: delay.as_secs_f64(),
            reason: Some(reason),
        },
    }
}
