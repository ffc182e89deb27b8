//! An embedder behind a circuit breaker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as Deadline;

use super::attempt::{self, Tried, Verdict};
use super::breaker::{Breaker, Permit};
use super::{Embedder, Model};
use crate::runtime::metrics::Metrics;

/// How trouble is told of, by what the embedder is for.
#[derive(Debug, Clone, Copy)]
pub struct Telling {
    /// What happens while it pauses.
    pub meanwhile: &'static str,
    /// Why an attempt was given up at its deadline, as a sentence.
    pub late: &'static str,
}

/// An embedder whose provider is left alone while it is in trouble; all who use the provider for one purpose share it.
#[derive(Debug)]
pub struct Guarded {
    embedder: Arc<dyn Embedder>,
    telling: Telling,
    breaker: Breaker,
    metrics: Metrics,
}

impl Guarded {
    /// Guards `embedder`.
    pub fn new(embedder: Arc<dyn Embedder>, telling: Telling, metrics: Metrics) -> Self {
        Self { embedder, telling, breaker: Breaker::default(), metrics }
    }

    /// The model it uses.
    pub fn model(&self) -> &Model {
        self.embedder.model()
    }

    /// What may be tried now; a probe is given out again if nobody reports within `patience`.
    pub fn permit(&self, patience: Duration) -> Permit {
        self.breaker.permit(Instant::now(), patience)
    }

    /// The probe found nothing to try: the next one who asks may.
    pub fn unused(&self) {
        self.breaker.unused(Instant::now());
    }

    /// Embeds `texts` until `deadline`, as a probe or as one of many.
    pub async fn embed(&self, texts: &[&str], deadline: Deadline, probe: bool) -> Tried {
        let late = self.telling.late;
        let tried = attempt::embed(&*self.embedder, texts, deadline, late, &self.metrics).await;
        for verdict in &tried.verdicts {
            if let Verdict::Embedded(embedding) = verdict {
                self.metrics.embedded(embedding.tokens, embedding.cut);
            }
        }
        self.tell_breaker(&tried, probe);
        tried
    }

    fn tell_breaker(&self, tried: &Tried, probe: bool) {
        let succeeded = tried.verdicts.iter().any(|v| matches!(v, Verdict::Embedded(_)));
        match &tried.trouble {
            Some(trouble) => {
                let pauses = self.breaker.trouble(Instant::now(), trouble.after);
                if pauses {
                    tracing::error!(
                        "embedding pauses, {}: {}",
                        self.telling.meanwhile,
                        trouble.reason
                    );
                }
            }
            None if succeeded => {
                let goes_on = self.breaker.success();
                if goes_on {
                    tracing::info!("embedding goes on");
                }
            }
            None if probe && tried.verdicts.is_empty() => self.unused(),
            // Neither the text nor the provider is cleared; another text is tried next.
            None if probe => {
                self.breaker.trouble(Instant::now(), None);
            }
            None => {}
        }
    }
}
