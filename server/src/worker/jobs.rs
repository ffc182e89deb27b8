//! The worker's loop: claim jobs, embed them, finish them.

use std::time::Duration;

use tokio::time::Instant as TokioInstant;

use super::Ending;
use super::texts::{JobText, by_requests};
use crate::domain::TenantId;
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
/// Why a job is claimed again that was not tried.
const LATE: &str = "the long values that were claimed with it took the time";
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
        // Time enough to write what was embedded; and to embed what was begun.
        let deadline = TokioInstant::now() + lease.mul_f64(0.9);
        let begin_until = TokioInstant::now() + lease.mul_f64(0.5);
        let without = &self.embedder.paused_tenants();
        let name = self.model();
        let wanted = Wanted { model, name, limit, lease, tokens_per_day, without };
        let Some(claim) = jobs::claim(&self.pool, wanted, round).await? else { return Ok(0) };
        let jobs = claim.jobs.len();
        let mut left: Option<String> = None;
        for part in by_requests(claim, self.settings.batch) {
            let outcomes = if let Some(reason) = &left {
                part.jobs.iter().map(|_| not_tried(reason.clone())).collect()
            } else {
                let (outcomes, failure) = self.embed(&part, deadline, probe).await;
                let is_late = TokioInstant::now() > begin_until;
                left = failure.or_else(|| is_late.then(|| LATE.to_owned()));
                outcomes
            };
            self.finish(model, &part, &outcomes).await?;
        }
        Ok(jobs)
    }

    async fn finish(
        &self,
        model: i32,
        claim: &Claim,
        outcomes: &[JobOutcome],
    ) -> Result<(), StoreError> {
        for outcome in outcomes {
            self.metrics.embedding_outcome(name_of(outcome));
        }
        self.written(|| embeddings::count_tokens(&self.pool, claim, outcomes)).await?;
        self.written(|| embeddings::finish(&self.pool, model, claim, outcomes)).await
    }

    /// Embeds the texts of jobs. Returns their outcomes, and why the provider was given up, if it was.
    async fn embed(
        &self,
        claim: &Claim,
        deadline: TokioInstant,
        probe: bool,
    ) -> (Vec<JobOutcome>, Option<String>) {
        let untried = |job| without_trying(job).or_else(|| self.of_paused(job));
        let mut outcomes: Vec<Option<JobOutcome>> = claim.jobs.iter().map(untried).collect();
        let tokens = self.embedder.model().max_tokens;
        let texts: Vec<(TenantId, JobText)> = claim
            .jobs
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.is_none())
            .map(|(job, _)| (job.tenant, JobText::of(job, tokens)))
            .collect();
        let parts: Vec<Vec<&str>> = texts.iter().map(|(_, text)| text.parts()).collect();
        let texts: Vec<Text<'_>> = texts
            .iter()
            .zip(&parts)
            .map(|((tenant, text), parts)| Text { tenant: *tenant, parts, goes_on: text.is_cut() })
            .collect();
        let result = self.embedder.embed(&texts, deadline, probe).await;
        let cut = texts.iter().map(|text| text.goes_on);
        let mut verdicts = result.verdicts.into_iter().zip(cut);
        let outcomes = claim
            .jobs
            .iter()
            .zip(&mut outcomes)
            .map(|(job, outcome)| match outcome.take() {
                Some(outcome) => outcome,
                None => judged(job, verdicts.next()),
            })
            .collect();
        (outcomes, result.failure.map(|failure| failure.reason))
    }

    /// The outcome of a job whose tenant's texts have failed since it was claimed.
    fn of_paused(&self, job: &Job) -> Option<JobOutcome> {
        self.embedder.pause_of(job.tenant)?;
        Some(not_tried("others of its tenant's texts have failed".to_owned()))
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

/// The outcome of a job by the verdict on its text, and whether the value goes on behind that.
fn judged(job: &Job, verdict: Option<(Verdict, bool)>) -> JobOutcome {
    match verdict {
        Some((Verdict::Embedded(parts), is_cut)) => JobOutcome::Embedded {
            tokens: parts.iter().map(|part| part.tokens).sum(),
            vectors: parts.into_iter().map(|part| part.vector).collect(),
            is_cut,
        },
        Some((Verdict::Rejected(reason), _)) if job.attempts >= MAX_ATTEMPTS => {
            tracing::warn!(job = job.id, tenant = %job.tenant, "an embedding job has failed {MAX_ATTEMPTS} times: {reason}");
            JobOutcome::Failed { reason }
        }
        Some((Verdict::Rejected(reason), _)) => {
            JobOutcome::Again { counts: true, delay: backoff(job.attempts), reason }
        }
        Some((Verdict::Skipped(failure), _)) => not_tried(failure.reason),
        None => not_tried(String::new()),
    }
}

/// Behind the others; the breakers decide when it is really tried.
fn not_tried(reason: String) -> JobOutcome {
    JobOutcome::Again { counts: false, delay: Duration::ZERO, reason }
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
