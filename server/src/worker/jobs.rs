//! The worker's loop: claim jobs, embed them, finish them.

use std::time::Duration;

use tokio::time::Instant as TokioInstant;

use super::Ending;
use crate::domain::TenantId;
use crate::domain::search::embedding_text;
use crate::embedding::attempt::{Text, Verdict};
use crate::embedding::breaker::Permit;
use crate::embedding::breaker_embedder::BreakerEmbedder;
use crate::runtime::jitter::jittered;
use crate::runtime::metrics::Metrics;
use crate::settings::EmbeddingSettings;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::embeddings::jobs::{self, Claim, Job, Round, Wanted};
use crate::store::embeddings::{self, JobOutcome};

/// Counted attempts before a job fails for good.
const MAX_ATTEMPTS: i32 = 5;
/// Average time between two polls of an empty queue.
const POLL: Duration = Duration::from_secs(1);
/// The pause of a job after its first attempt; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(30);
/// Bytes of a text; no model takes more.
const MAX_TEXT: usize = 64 << 10;
/// How often the outcome of a batch is written before it is given up.
const FINISH_TRIES: u32 = 4;

/// Does the embedding jobs of one model.
#[derive(Debug)]
pub(super) struct EmbeddingWorker {
    pub(super) pool: Pool,
    pub(super) embedder: BreakerEmbedder,
    pub(super) settings: EmbeddingSettings,
    pub(super) metrics: Metrics,
}

impl EmbeddingWorker {
    /// Takes jobs of the model until shutdown; then finishes what it has.
    pub(super) async fn take_jobs(&self, model: i32, ending: &Ending) {
        let (mut failing, mut round) = (false, Round::default());
        while !ending.announced() {
            let (limit, probe) = match self.embedder.permit(self.settings.lease) {
                Permit::Batch => (self.settings.batch, false),
                Permit::Probe => (1, true),
                Permit::Wait(pause) => {
                    ending.or_after(pause.min(POLL)).await;
                    continue;
                }
            };
            let done = self.batch(model, limit, probe, &mut round).await;
            if probe && !matches!(done, Ok(1..)) {
                self.embedder.unused();
            }
            let is_news = done.is_err() && !failing;
            failing = done.is_err();
            match done {
                Ok(_) if !round.is_idle() => {}
                Ok(_) => ending.or_after(jittered(POLL)).await,
                Err(error) => {
                    if is_news {
                        tracing::warn!(
                            "embedding jobs are not done for now; trying again: {error}"
                        );
                    }
                    ending.or_after(jittered(POLL)).await;
                }
            }
        }
    }

    /// Claims a batch and does it. Returns the number of its jobs.
    async fn batch(
        &self,
        model: i32,
        limit: usize,
        probe: bool,
        round: &mut Round,
    ) -> Result<usize, StoreError> {
        let EmbeddingSettings { lease, tokens_per_day, .. } = self.settings;
        // Time enough to write what was embedded.
        let deadline = TokioInstant::now() + lease.mul_f64(0.9);
        let without = &self.embedder.paused_tenants();
        let name = self.model();
        let wanted = Wanted { model, name, limit, lease, tokens_per_day, without };
        let Some(claim) = jobs::claim(&self.pool, wanted, round).await? else { return Ok(0) };
        let outcomes = self.embed(&claim, deadline, probe).await;
        for outcome in &outcomes {
            self.metrics.embedding_outcome(name_of(outcome));
        }
        self.written(|| embeddings::count_tokens(&self.pool, &claim, &outcomes)).await?;
        self.written(|| embeddings::finish(&self.pool, model, &claim, &outcomes)).await?;
        Ok(claim.jobs.len())
    }

    async fn embed(&self, claim: &Claim, deadline: TokioInstant, probe: bool) -> Vec<JobOutcome> {
        let mut outcomes: Vec<Option<JobOutcome>> = claim.jobs.iter().map(without_trying).collect();
        let texts: Vec<(TenantId, String)> = claim
            .jobs
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.is_none())
            .map(|(job, _)| (job.tenant, text(job)))
            .collect();
        let texts: Vec<Text<'_>> =
            texts.iter().map(|(tenant, text)| Text { tenant: *tenant, text }).collect();
        let result = self.embedder.embed(&texts, deadline, probe).await;
        let mut verdicts = result.verdicts.into_iter();
        claim
            .jobs
            .iter()
            .zip(&mut outcomes)
            .map(|(job, outcome)| match outcome.take() {
                Some(outcome) => outcome,
                None => judged(job, verdicts.next()),
            })
            .collect()
    }

    /// Writes with retries. If the database never accepts it, the end of the lease brings the jobs back.
    async fn written<F>(&self, write: impl Fn() -> F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let mut tries = 1;
        loop {
            match write().await {
                Err(error) if error.is_transient() && tries < FINISH_TRIES => {
                    tokio::time::sleep(jittered(POLL / 4 * tries)).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }
}

fn judged(job: &Job, verdict: Option<Verdict>) -> JobOutcome {
    match verdict {
        Some(Verdict::Embedded(embedding)) => {
            JobOutcome::Embedded { vector: embedding.vector, tokens: embedding.tokens }
        }
        Some(Verdict::Rejected(reason)) if job.attempts >= MAX_ATTEMPTS => {
            tracing::warn!(job = job.id, tenant = %job.tenant, "an embedding job has failed {MAX_ATTEMPTS} times: {reason}");
            JobOutcome::Failed { reason }
        }
        Some(Verdict::Rejected(reason)) => {
            JobOutcome::Again { counts: true, delay: backoff(job.attempts), reason }
        }
        // Behind the others; the breakers decide when it is really tried.
        Some(Verdict::Skipped(failure)) => {
            JobOutcome::Again { counts: false, delay: Duration::ZERO, reason: failure.reason }
        }
        None => JobOutcome::Again { counts: false, delay: Duration::ZERO, reason: String::new() },
    }
}

/// The outcome of a job that need not be tried.
fn without_trying(job: &Job) -> Option<JobOutcome> {
    if job.value.is_none() {
        return Some(JobOutcome::Outdated);
    }
    (job.attempts > MAX_ATTEMPTS).then(|| JobOutcome::Failed {
        reason: format!("its worker ended {MAX_ATTEMPTS} times while it was being embedded"),
    })
}

/// The text to embed; never empty, since providers reject that.
fn text(job: &Job) -> String {
    let json = job.value.as_deref().unwrap_or_default();
    let words = embedding_text::of_value(json, MAX_TEXT);
    if words.trim().is_empty() { json.to_owned() } else { words }
}

fn backoff(attempts: i32) -> Duration {
    jittered(FIRST_BACKOFF * (1 << (attempts - 1).clamp(0, 10)))
}

fn name_of(outcome: &JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Embedded { .. } => "embedded",
        JobOutcome::Outdated => "outdated",
        JobOutcome::Again { .. } => "again",
        JobOutcome::Failed { .. } => "failed",
    }
}
