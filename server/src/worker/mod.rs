//! Does embedding jobs: embeds searchable entries for semantic search. Any number of workers share the jobs.

mod jobs;
mod texts;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use agentfs_contract::drain;
use futures::FutureExt as _;
use futures::future::{join, join_all};
use tokio::sync::watch;

use self::jobs::EmbeddingWorker;
use crate::embedding::Embedder;
use crate::embedding::breaker_embedder::{BreakerEmbedder, LogText};
use crate::embedding::embedders::Embedders;
use crate::embedding::in_requests::InRequests;
use crate::runtime::jitter::jittered;
use crate::runtime::metrics::Metrics;
use crate::settings::EmbeddingSettings;
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::embeddings::jobs::{PRUNE_BATCH, prune};
use crate::store::embeddings::models::{
    FillCursor, Filled, ModelRow, ModelState, fill, find, register, serve_first, serving,
};

/// For jobs in progress at shutdown; unfinished ones come back when their lease ends.
const DRAIN: Duration = drain::UNDER_WAY;
/// Pause between tries of what must succeed before any job can be done.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Average time between two prunings of finished jobs; below, between the batches of one.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(50);
/// Average time between two checks that the model is still registered.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Time to the second look for entries without embedding: longer than a write takes, whose statement may last for 15 s.
const FILL_AGAIN: Duration = Duration::from_secs(20);
/// Average time between later looks.
const FILL_EVERY: Duration = Duration::from_hours(1);

const LOG_TEXT: LogText = LogText {
    meanwhile: "jobs wait",
    late: "the embeddings were not there within the lease (EMBED_LEASE_SECONDS)",
};

/// Does the embedding jobs of each embedder's model until `ended` is true or its sender is gone. Without an embedder
/// there are none.
pub async fn work(
    pool: Pool,
    embedders: Embedders,
    settings: EmbeddingSettings,
    metrics: Metrics,
    ended: watch::Receiver<bool>,
) {
    let ending = &Ending(ended);
    let worker = |embedder| EmbeddingWorker {
        pool: pool.clone(),
        embedder: BreakerEmbedder::new(
            Arc::new(InRequests::new(embedder, settings.batch)),
            LOG_TEXT,
            metrics.clone(),
        ),
        settings: settings.clone(),
        metrics: metrics.clone(),
    };
    if embedders.is_empty() {
        tracing::warn!(
            "no embedding provider is set, so there is nothing to do; set OPENAI_API_KEY or OPENAI_BASE_URL, or EMBEDDING_MODEL_DIR"
        );
        return ending.wait().await;
    }
    let follows = embedders.is_open();
    let working = async {
        while let Some(embedders) = chosen(&embedders, &pool, ending).await {
            let workers: Vec<EmbeddingWorker> = embedders.into_iter().map(worker).collect();
            let models: Vec<&str> = workers.iter().map(EmbeddingWorker::model).collect();
            join_all(workers.iter().map(|worker| worker.work(&models, follows, ending))).await;
        }
    };
    let pruning = supervised("the pruner", || keep_pruning(&pool, ending));
    tokio::select! {
        _ = join(working, pruning) => {}
        () = overdue(ending) => {
            tracing::warn!("jobs under way are left; they come back when their lease ends");
        }
    }
}

/// The embedders to work with, as soon as they can be told; `None` at shutdown.
async fn chosen(
    embedders: &Embedders,
    pool: &Pool,
    ending: &Ending,
) -> Option<Vec<Arc<dyn Embedder>>> {
    let mut said = String::new();
    while !ending.announced() {
        match embedders.of_worker(pool).await {
            Ok(chosen) => return Some(chosen),
            Err(error) => {
                let trouble = error.to_string();
                if said != trouble {
                    tracing::warn!("embedding cannot begin yet; trying again: {trouble}");
                    said = trouble;
                }
            }
        }
        ending.or_after(jittered(TRY_AGAIN)).await;
    }
    None
}

/// Resolves when the time for jobs in progress at shutdown is over.
async fn overdue(ending: &Ending) {
    ending.wait().await;
    tokio::time::sleep(DRAIN).await;
}

/// Restarts `work` when it panics.
async fn supervised<F: Future<Output = ()>>(who: &str, work: impl Fn() -> F) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        tracing::error!("{who} panicked; it is started anew");
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Prunes old finished jobs, now and then.
async fn keep_pruning(pool: &Pool, ending: &Ending) {
    while !ending.announced() {
        match prune(pool).await {
            Ok(PRUNE_BATCH) => ending.or_after(jittered(PAUSE)).await,
            Ok(_) => ending.or_after(jittered(PRUNE_EVERY)).await,
            Err(error) => {
                tracing::debug!("finished jobs are not pruned: {error}");
                ending.or_after(jittered(PRUNE_EVERY)).await;
            }
        }
    }
}

impl EmbeddingWorker {
    fn model(&self) -> &str {
        &self.embedder.model().name
    }

    /// Does the jobs of its model, one of `models`, until shutdown; where it `follows` the database, until that has another row for it.
    async fn work(&self, models: &[&str], follows: bool, ending: &Ending) {
        while let Some(model) = self.registered(models, ending).await {
            let taking = join_all(
                (0..self.settings.concurrency)
                    .map(|_| supervised("a worker", || self.take_jobs(model.id, ending))),
            );
            let filling = supervised("the filler", || self.keep_filling(model.id, ending));
            tokio::select! {
                _ = join(taking, filling) => return,
                () = self.until_outdated(&model) => {
                    tracing::warn!(
                        "the database does not know the embedding model {} as before: it was restored, or the model was changed",
                        self.model()
                    );
                    if follows {
                        return;
                    }
                }
            }
        }
    }

    /// Resolves when the database has another row for the model, or none, or retires it. A restore may cause that; jobs
    /// claimed by then are claimed again when their lease ends.
    async fn until_outdated(&self, model: &ModelRow) {
        loop {
            tokio::time::sleep(jittered(LOOK_EVERY)).await;
            // What cannot be told now is told later: in the middle of a restore there is no such table.
            match find(&self.pool, self.model()).await {
                Ok(Some(found)) if found.is_same(model) && found.state != ModelState::Retired => {}
                Ok(_) => return,
                Err(_) => {}
            }
        }
    }

    /// Registers the model, as soon as the database is reachable; `None` at shutdown, or if it was switched to another
    /// one.
    async fn registered(&self, models: &[&str], ending: &Ending) -> Option<ModelRow> {
        let model = self.embedder.model();
        let dimensions = model.dimensions as i32;
        let mut said = String::new();
        while !ending.announced() {
            let trouble = match register(&self.pool, &model.name, dimensions, models).await {
                Ok(row) if row.state == ModelState::Retired => {
                    tracing::warn!(
                        "the embedding model {} was changed for another one that is set as well, and is not used any more; take it out of the settings",
                        model.name
                    );
                    return None;
                }
                Ok(row) if row.dimensions == dimensions => {
                    tracing::info!(
                        "embedding with {}, which is {}",
                        model.name,
                        row.state.as_str()
                    );
                    self.warn_unless_searched(models).await;
                    return Some(row);
                }
                Ok(row) => format!(
                    "the database knows the embedding model {} with {} dimensions, not {dimensions}",
                    model.name, row.dimensions
                ),
                Err(error) => error.to_string(),
            };
            if said != trouble {
                tracing::warn!("embedding cannot begin yet; trying again: {trouble}");
                said = trouble;
            }
            ending.or_after(jittered(TRY_AGAIN)).await;
        }
        None
    }

    /// Warns where searches go by a model that none of `models`, those of this worker, is: nobody may make its embeddings any more.
    async fn warn_unless_searched(&self, models: &[&str]) {
        if let Ok(Some(serving)) = serving(&self.pool).await
            && !models.contains(&serving.name.as_str())
        {
            tracing::warn!(
                "searches go by embeddings of {0}, of which this worker makes none, but of {1}; provide {0}, or change the model \
                 (docs/OPERATIONS.md, Switch the embedding model)",
                serving.name,
                models.join(", ")
            );
        }
    }

    /// Makes the jobs that entries lack: at the start, again once the writes have ended that were in progress when the model
    /// was registered, since they have made none, and now and then.
    async fn keep_filling(&self, model: i32, ending: &Ending) {
        self.fill(model, ending).await;
        ending.or_after(FILL_AGAIN).await;
        while !ending.announced() {
            self.fill(model, ending).await;
            ending.or_after(jittered(FILL_EVERY)).await;
        }
    }

    /// Makes the jobs that entries lack. Then searches may use the model: whatever has no embedding of it has a job.
    async fn fill(&self, model: i32, ending: &Ending) {
        let (mut cursor, mut jobs, mut failing) = (Some(FillCursor::default()), 0, false);
        while let Some(here) = cursor.clone()
            && !ending.announced()
        {
            match self.fill_page(model, &here).await {
                Ok(filled) => {
                    (cursor, jobs) = (filled.next, jobs + filled.jobs);
                    failing = false;
                    if cursor.is_some() {
                        ending.or_after(jittered(PAUSE)).await;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            "entries without embedding are not looked for; trying again: {error}"
                        );
                    }
                    ending.or_after(jittered(TRY_AGAIN)).await;
                }
            }
        }
        if jobs > 0 {
            tracing::info!("{jobs} entries without embedding have jobs now");
        }
    }

    /// Makes the missing jobs of a page of entries; after the last page, searches may use the model.
    async fn fill_page(&self, model: i32, cursor: &FillCursor) -> Result<Filled, StoreError> {
        let filling = async { fill(&mut *self.pool.acquire().await?, model, cursor).await };
        let filled = self.pool.noting(filling).await?;
        if filled.next.is_none() && serve_first(&self.pool, model).await? {
            tracing::info!("searches use the model from now on");
        }
        Ok(filled)
    }
}

/// Signals the shutdown.
#[derive(Debug, Clone)]
struct Ending(watch::Receiver<bool>);

impl Ending {
    fn announced(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    async fn wait(&self) {
        // An error means that nobody is left to announce it.
        let _ = self.0.clone().wait_for(|ended| *ended).await;
    }

    /// Waits for `pause`, or for the shutdown.
    async fn or_after(&self, pause: Duration) {
        let _ = tokio::time::timeout(pause, self.wait()).await;
    }
}
