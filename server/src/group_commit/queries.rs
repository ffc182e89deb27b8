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
        let texts: Vec<[&str; 1]> = texts.iter().map(|text| [text.as_str()]).collect();
        let texts: Vec<Text<'_>> = batch
            .iter()
            .zip(&texts)
            .map(|(query, parts)| Text { tenant: query.request.tenant, parts, goes_on: false })
            .collect();
        let verdicts = self.embedder.embed(&texts, deadline, probe).await.verdicts;
        let mut tokens: BTreeMap<TenantId, i64> = BTreeMap::new();
        for (query, verdict) in batch.into_iter().zip(verdicts) {
            let vector = match verdict {
                Verdict::Embedded(parts) => match parts.into_iter().next() {
                    Some(embedding) => {
                        *tokens.entry(query.request.tenant).or_default() += embedding.tokens;
                        Ok(embedding.vector.into())
                    }
                    None => Err(NoVector { after: None }),
                },
                Verdict::Rejected(_) => Err(NoVector { after: None }),
                Verdict::Skipped(failure) => Err(NoVector { after: failure.after }),
            };
            query.answer(Ok(vector));
        }
        if !tokens.is_empty() {
            // The next batch does not wait for it.
            tokio::spawn(count(self.lookups.clone(), tokens));
        }
    }
}

async fn count(lookups: FairPool, used: BTreeMap<TenantId, i64>) {
    let used = &used;
    let count = |pool: Pool| async move { count_tokens(&pool, used).await };
    if let Err(error) = lookups.for_all(count).await {
        tracing::warn!("tokens of embedded queries are not counted: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::sync::Mutex;

    use futures::FutureExt as _;
    use futures::future::{BoxFuture, Either, select};
    use uuid::Uuid;

    use super::*;
    use crate::domain::DEFAULT_TENANT;
    use crate::embedding::breaker_embedder::LogText;
    use crate::embedding::{EmbedError, Embedder, Embedding, Model};
    use crate::group_commit::queue::{Bounds, Queue};
    use crate::store::StoreError;
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
            let one = Embedding { vector: vec![1.0], tokens: 1, cut: false };
            async move { Ok(vec![one; texts.len()]) }.boxed()
        }
    }

    /// A queue with one worker, whose tokens are counted through the lookups.
    fn queue() -> (Queue<QueryEmbedder>, Arc<Prompted>, FairPool) {
        let model =
            Model { name: "m".into(), dimensions: 1, max_tokens: 9, query_prompt: "Search for: " };
        let embedder = Arc::new(Prompted(model, Mutex::default()));
        let metrics = Metrics::new().unwrap();
        let nowhere = "postgres://u:p@127.0.0.1:1/d".to_owned().into();
        let pool = DatabaseAddress::parse(&nowhere).unwrap().pool(1);
        let lookups = FairPool::new(pool, 1, Duration::ZERO);
        let log_text = LogText { meanwhile: "", late: "" };
        let worker = QueryEmbedder {
            embedder: Arc::new(BreakerEmbedder::new(embedder.clone(), log_text, metrics.clone())),
            patience: Duration::from_mins(1),
            lookups: lookups.clone(),
            metrics,
        };
        let bounds = Bounds { rows: 8, bytes: 1000 };
        (Queue::start("queries", 1, bounds, move || worker.clone()), embedder, lookups)
    }

    async fn embed(queue: &Queue<QueryEmbedder>, text: &str) -> Vector {
        let query = Query { tenant: DEFAULT_TENANT, text: text.into() };
        queue.submit(query).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_query_goes_behind_the_prompt_of_its_model() {
        let (queue, embedder, _) = queue();
        assert_eq!(embed(&queue, "peanuts").await[..], [1.0]);
        assert_eq!(*embedder.1.lock().unwrap(), ["Search for: peanuts"]);
    }

    #[tokio::test]
    async fn a_query_does_not_wait_until_the_tokens_of_others_are_counted() {
        let (queue, _, lookups) = queue();
        let [one, other] = [1, 2].map(|n| TenantId(Uuid::from_u128(n)));
        let mut held = pin!(lookups.once(one, |_| pending::<Result<(), StoreError>>()));
        assert!(held.as_mut().now_or_never().is_none());
        // Gives up before a count that has waited for less long.
        let mut waits = pin!(lookups.once(other, |_| async { Ok(()) }));
        assert!(waits.as_mut().now_or_never().is_none());
        embed(&queue, "peanuts").await;
        assert!(matches!(select(pin!(embed(&queue, "walnuts")), waits).await, Either::Left(_)));
    }
}
