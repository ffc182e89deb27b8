//! Embeds concurrent queries with one request to the provider.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::{BatchHandler, Pending, longest_wait};
use crate::domain::TenantId;
use crate::embedding::attempt::{Text, Verdict};
use crate::embedding::breaker::Permit;
use crate::embedding::breaker_embedder::BreakerEmbedder;
use crate::runtime::fair_pool::FairPool;
use crate::runtime::metrics::Metrics;
use crate::store::access::quota::count_tokens;
use crate::store::connection::pool::Pool;

/// A query, and the tenant whose tokens it uses.
#[derive(Debug, Clone)]
pub struct Query {
    /// The tenant.
    pub tenant: TenantId,
    /// The query's text.
    pub text: Arc<str>,
}

/// The vector of a query.
pub type Vector = Arc<[f32]>;

/// Why a query was not embedded. The log says more, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoVector {
    /// How much later the provider is asked again, if known.
    pub after: Option<Duration>,
}

/// Embeds queries; its clones share a breaker.
#[derive(Debug, Clone)]
pub struct QueryEmbedder {
    /// The embedder of the model.
    pub embedder: Arc<BreakerEmbedder>,
    /// Longest wait of a query for its vector.
    pub patience: Duration,
    /// Where tokens are counted.
    pub lookups: FairPool,
    /// The metrics of batches.
    pub metrics: Metrics,
}

impl BatchHandler for QueryEmbedder {
    type Request = Query;
    type Answer = Result<Vector, NoVector>;

    fn tenant(query: &Query) -> TenantId {
        query.tenant
    }

    fn bytes(query: &Query) -> usize {
        query.text.len()
    }

    async fn process(&mut self, mut batch: Vec<Pending<Query, Self::Answer>>) {
        batch.retain(|query| !query.abandoned());
        if batch.is_empty() {
            return;
        }
        let oldest = longest_wait(&batch);
        self.metrics.batch("queries", batch.len(), oldest);
        let pause_of = |query: &Pending<Query, _>| self.embedder.pause_of(query.request.tenant);
        let (batch, paused): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|query| pause_of(query).is_none());
        for query in paused {
            let after = pause_of(&query);
            query.answer(Ok(Err(NoVector { after })));
        }
        if batch.is_empty() {
            return;
        }
        // A probe is one request to the provider, however many queries it holds.
        let probe = match self.embedder.permit(self.patience) {
            Permit::Batch => false,
            Permit::Probe => true,
            Permit::Wait(pause) => {
                let paused = NoVector { after: Some(pause) };
                return batch.into_iter().for_each(|query| query.answer(Ok(Err(paused))));
            }
        };
        let deadline = Instant::now() + self.patience.saturating_sub(oldest);
        let prompt = self.embedder.model().query_prompt;
        let texts: Vec<String> =
            batch.iter().map(|query| format!("{prompt}{}", query.request.text)).collect();
        let texts: Vec<Text<'_>> = batch
            .iter()
            .zip(&texts)
            .map(|(query, text)| Text { tenant: query.request.tenant, text })
            .collect();
        let verdicts = self.embedder.embed(&texts, deadline, probe).await.verdicts;
        let mut tokens: BTreeMap<TenantId, i64> = BTreeMap::new();
        for (query, verdict) in batch.into_iter().zip(verdicts) {
            let vector = match verdict {
                Verdict::Embedded(embedding) => {
                    *tokens.entry(query.request.tenant).or_default() += embedding.tokens;
                    Ok(embedding.vector.into())
                }
                Verdict::Rejected(_) => Err(NoVector { after: None }),
                Verdict::Skipped(failure) => Err(NoVector { after: failure.after }),
            };
            query.answer(Ok(vector));
        }
        // One of them stands for all: each has as much to wait for.
        let Some(tenant) = tokens.keys().next().copied() else { return };
        let used = &tokens;
        let count = |pool: Pool| async move { count_tokens(&pool, used).await };
        if let Err(error) = self.lookups.once(tenant, count).await {
            tracing::warn!("tokens of embedded queries are not counted: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;
    use crate::domain::DEFAULT_TENANT;
    use crate::embedding::breaker_embedder::LogText;
    use crate::embedding::{EmbedError, Embedder, Embedding, Model};
    use crate::group_commit::queue::{Bounds, Queue};
    use crate::store::connection::address::DatabaseAddress;

    /// Remembers what it was asked.
    #[derive(Debug)]
    struct Prompted(Model, Mutex<Vec<String>>);

    impl Embedder for Prompted {
        fn model(&self) -> &Model {
            &self.0
        }

        fn embed<'a>(
            &'a self,
            texts: &'a [&'a str],
        ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>> {
            self.1.lock().unwrap().extend(texts.iter().map(|text| (*text).to_owned()));
            let one = Embedding { vector: vec![1.0], tokens: 0, cut: false };
            async move { Ok(vec![one; texts.len()]) }.boxed()
        }
    }

    #[tokio::test]
    async fn a_query_goes_behind_the_prompt_of_its_model() {
        let model =
            Model { name: "m".into(), dimensions: 1, max_tokens: 9, query_prompt: "Search for: " };
        let embedder = Arc::new(Prompted(model, Mutex::default()));
        let metrics = Metrics::new().unwrap();
        let nowhere = "postgres://u:p@127.0.0.1:1/d".to_owned().into();
        let log_text = LogText { meanwhile: "", late: "" };
        let worker = QueryEmbedder {
            embedder: Arc::new(BreakerEmbedder::new(embedder.clone(), log_text, metrics.clone())),
            patience: Duration::from_mins(1),
            lookups: FairPool::new(
                DatabaseAddress::parse(&nowhere).unwrap().pool(1),
                1,
                Duration::ZERO,
            ),
            metrics,
        };
        let bounds = Bounds { rows: 8, bytes: 1000 };
        let queue = Queue::start("queries", 1, bounds, move || worker.clone());
        let query = Query { tenant: DEFAULT_TENANT, text: "peanuts".into() };
        assert_eq!(queue.submit(query).await.unwrap().unwrap()[..], [1.0]);
        assert_eq!(*embedder.1.lock().unwrap(), ["Search for: peanuts"]);
    }
}
