//! Embeds queries for semantic search, with the model that currently serves; caches their vectors.

use std::ops::Add as _;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::time::{sleep, timeout};

use crate::domain::TenantId;
use crate::embedding::Embedder;
use crate::embedding::breaker_embedder::{BreakerEmbedder, LogText};
use crate::group_commit::Backlog;
use crate::group_commit::queries::{NoVector, Query, QueryEmbedder, Vector};
use crate::group_commit::queue::{Bounds, Queue};
use crate::runtime::fair_pool::{FairPool, FairPoolError};
use crate::runtime::metrics::Metrics;
use crate::settings::EmbeddingSettings;
use crate::store::connection::pool::Pool;
use crate::store::embeddings::models::{Serving, serving};
use crate::store::search::EmbeddedQuery;

/// How long the serving model is cached; a search that finds it changed has it looked up again.
const SERVING_FOR: Duration = Duration::from_secs(5);
/// Bytes of cached vectors; the least recently used are evicted first.
const REMEMBERED: u64 = 16 << 20;
/// Bytes of a cached vector besides its numbers and its query.
const OVERHEAD: usize = 200;
/// Most bytes of queries that are embedded together.
const BATCH_BYTES: usize = 256 << 10;

const LOG_TEXT: LogText = LogText {
    meanwhile: "searches are full-text",
    late: "no answer to a query within EMBED_QUERY_TIMEOUT_SECONDS",
};

/// Why a query was not embedded.
#[derive(Debug, thiserror::Error)]
pub enum QueryEmbeddingError {
    /// No model serves yet.
    #[error("the embeddings that it searches by are still being made")]
    NotReady,
    /// A model serves that this process does not have.
    #[error("this server does not have the embedding model of the database, as its log says")]
    OtherModel,
    /// The provider fails, is slow, or rejects the query.
    #[error("the embedding provider gives no answer now")]
    Away {
        /// How much later a retry may succeed, if known.
        after: Option<Duration>,
    },
    /// The tenant has used up its embedding tokens of today.
    #[error("this tenant has used up its embedding tokens of today")]
    OutOfTokens,
    /// The serving model cannot be looked up.
    #[error(transparent)]
    LookUp(Arc<FairPoolError>),
}

/// The tenant is part of the key: else the time of an answer would tell a tenant what others have searched for. The model is told by
/// its place among those of this process: ids mean other models once another database's backup was restored.
type Remembered = (TenantId, usize, Arc<str>);

/// The name of the queues of queries, one a model.
pub const QUEUE: &str = "queries";

/// A model of this process, and the queue of the queries that it embeds.
#[derive(Debug)]
struct QueriedModel {
    embedder: Arc<dyn Embedder>,
    queue: Queue<QueryEmbedder>,
}

/// Embeds queries with the models of this process.
#[derive(Debug, Clone)]
pub struct QueryEmbeddings {
    lookups: FairPool,
    models: Arc<[QueriedModel]>,
    serving: Cache<(), Option<Serving>>,
    vectors: Cache<Remembered, Vector>,
    patience: Duration,
    tokens_per_day: Option<i64>,
}

impl QueryEmbeddings {
    /// Uses `embedders`; starts their queues. `lookups`: where the serving model is looked up and tokens are counted.
    pub fn new(
        embedders: Vec<Arc<dyn Embedder>>,
        settings: &EmbeddingSettings,
        lookups: FairPool,
        metrics: &Metrics,
    ) -> Self {
        let bounds = Bounds { rows: settings.batch, bytes: BATCH_BYTES };
        let queue = |embedder: Arc<dyn Embedder>| {
            let behind_breaker = BreakerEmbedder::new(embedder.clone(), LOG_TEXT, metrics.clone());
            let worker = QueryEmbedder {
                embedder: Arc::new(behind_breaker),
                patience: settings.query_timeout,
                lookups: lookups.clone(),
                metrics: metrics.clone(),
            };
            let make = move || worker.clone();
            let queue = Queue::start(QUEUE, settings.concurrency, bounds, make);
            QueriedModel { embedder, queue }
        };
        let models = embedders.into_iter().map(queue).collect();
        let vectors = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|(_, _, query): &Remembered, vector: &Vector| {
                let bytes = query.len() + size_of_val::<[f32]>(vector) + OVERHEAD;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(REMEMBERED)
            .build();
        let serving = Cache::builder().max_capacity(1).time_to_live(SERVING_FOR).build();
        let (patience, tokens_per_day) = (settings.query_timeout, settings.tokens_per_day);
        Self { lookups, models, serving, vectors, patience, tokens_per_day }
    }

    /// The queries that wait for a worker, of whatever model.
    pub fn backlog(&self) -> Backlog {
        self.models.iter().map(|model| model.queue.backlog()).fold(Backlog::NONE, Backlog::add)
    }

    /// Prepares the model that serves, as soon as one does: no query waits until it is read.
    pub async fn prepare(self) {
        loop {
            if let Ok(Some(model)) = self.serving().await {
                if let Some(place) = self.place_of(&model) {
                    // A failure is told to the queries.
                    let _ = self.models[place].embedder.prepare().await;
                }
                return;
            }
            sleep(SERVING_FOR).await;
        }
    }

    async fn serving(&self) -> Result<Option<Serving>, Arc<FairPoolError>> {
        let serving_now =
            async |pool: Pool| pool.retrying(|pool| async move { serving(&pool).await }).await;
        let look_up = self.lookups.for_all(|pool| Box::pin(serving_now(pool)));
        self.serving.try_get_with((), look_up).await
    }

    fn place_of(&self, model: &Serving) -> Option<usize> {
        self.models.iter().position(|of| of.embedder.model().name == model.name)
    }

    /// Forgets the cached model, since it has changed.
    pub async fn forget_model(&self) {
        self.serving.invalidate(&()).await;
    }

    /// Embeds `query` of `tenant`, which has used `tokens_used` today. Waits no longer than EMBED_QUERY_TIMEOUT_SECONDS
    /// for the provider.
    pub async fn embed(
        &self,
        tenant: TenantId,
        query: &str,
        tokens_used: i64,
    ) -> Result<EmbeddedQuery, QueryEmbeddingError> {
        let model = self.serving().await.map_err(QueryEmbeddingError::LookUp)?;
        let model = model.ok_or(QueryEmbeddingError::NotReady)?;
        let place = self.place_of(&model).ok_or(QueryEmbeddingError::OtherModel)?;
        let queue = &self.models[place].queue;
        let key = (tenant, place, Arc::from(query));
        if let Some(vector) = self.vectors.get(&key).await {
            return Ok(EmbeddedQuery { model, vector });
        }
        if self.tokens_per_day.is_some_and(|limit| tokens_used >= limit) {
            return Err(QueryEmbeddingError::OutOfTokens);
        }
        let query = Query { tenant, text: key.2.clone() };
        // A worker of the queue that panicked has said so in the log.
        let embed = async { queue.submit(query).await.unwrap_or(Err(NoVector { after: None })) };
        let embedded = timeout(self.patience, self.vectors.try_get_with(key, embed)).await;
        match embedded {
            Ok(Ok(vector)) => Ok(EmbeddedQuery { model, vector }),
            Ok(Err(missing)) => Err(QueryEmbeddingError::Away { after: missing.after }),
            Err(_) => Err(QueryEmbeddingError::Away { after: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;
    use crate::settings::Provider;
    use crate::store::StoreError;
    use crate::store::connection::address::DatabaseAddress;

    #[tokio::test]
    async fn the_model_of_all_is_not_looked_up_in_the_turn_of_one() {
        let nowhere = "postgres://u:p@127.0.0.1:1/d".to_owned().into();
        let pool = DatabaseAddress::parse(&nowhere).unwrap().pool(2);
        let lookups = FairPool::new(pool, 2, Duration::ZERO);
        let settings = EmbeddingSettings {
            provider: Provider::None,
            next: Provider::None,
            batch: 1,
            concurrency: 1,
            query_timeout: Duration::from_mins(1),
            lease: Duration::from_mins(1),
            tokens_per_day: None,
        };
        let metrics = Metrics::new().unwrap();
        let embeddings = QueryEmbeddings::new(Vec::new(), &settings, lookups.clone(), &metrics);
        let tenant = TenantId(Uuid::nil());
        let hangs = || Box::pin(lookups.once(tenant, |_| pending::<Result<(), StoreError>>()));
        let mut busy: Vec<_> = (0..1000).map(|_| hangs()).collect();
        let refused = busy.iter_mut().filter_map(FutureExt::now_or_never).count();
        assert!(refused > 0, "the tenant has as much waiting as it may");
        match embeddings.embed(tenant, "peanuts", 0).await {
            Err(QueryEmbeddingError::LookUp(error)) => {
                assert!(matches!(*error, FairPoolError::Store(_)), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}
