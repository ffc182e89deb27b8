//! An embedder behind a circuit breaker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as Deadline;

use super::attempt::{self, BatchResult, Verdict};
use super::breaker::{Breaker, Permit};
use super::{Embedder, Model};
use crate::runtime::metrics::Metrics;

/// Log messages about failures, by the embedder's purpose.
#[derive(Debug, Clone, Copy)]
pub struct LogText {
    /// What happens while it pauses.
    pub meanwhile: &'static str,
    /// Why an attempt missed its deadline, as a sentence.
    pub late: &'static str,
}

/// An embedder that pauses while its provider fails; all who use the provider for one purpose share it.
#[derive(Debug)]
pub struct BreakerEmbedder {
    embedder: Arc<dyn Embedder>,
    log_text: LogText,
    breaker: Breaker,
    metrics: Metrics,
}

impl BreakerEmbedder {
    /// Wraps `embedder`.
    pub fn new(embedder: Arc<dyn Embedder>, log_text: LogText, metrics: Metrics) -> Self {
        Self { embedder, log_text, breaker: Breaker::default(), metrics }
    }

    /// The model it uses.
    pub fn model(&self) -> &Model {
        self.embedder.model()
    }

    /// What may be tried now. A probe is handed out again if nobody reports within `patience`.
    pub fn permit(&self, patience: Duration) -> Permit {
        self.breaker.permit(Instant::now(), patience)
    }

    /// Returns an unused probe: the next caller gets it.
    pub fn unused(&self) {
        self.breaker.unused(Instant::now());
    }

    /// Embeds `texts` until `deadline`; `probe` tells whether this is the breaker's probe.
    pub async fn embed(&self, texts: &[&str], deadline: Deadline, probe: bool) -> BatchResult {
        let late = self.log_text.late;
        let result = attempt::embed(&*self.embedder, texts, deadline, late, &self.metrics).await;
        for verdict in &result.verdicts {
            if let Verdict::Embedded(embedding) = verdict {
                self.metrics.embedded(embedding.tokens, embedding.cut);
            }
        }
        self.tell_breaker(&result, probe);
        result
    }

    fn tell_breaker(&self, result: &BatchResult, probe: bool) {
        let succeeded = result.verdicts.iter().any(|v| matches!(v, Verdict::Embedded(_)));
        match &result.failure {
            Some(failure) => {
                let pauses = self.breaker.failure(Instant::now(), failure.after);
                if pauses {
                    tracing::error!(
                        "embedding pauses, {}: {}",
                        self.log_text.meanwhile,
                        failure.reason
                    );
                }
            }
            None if succeeded => {
                let goes_on = self.breaker.success();
                if goes_on {
                    tracing::info!("embedding goes on");
                }
            }
            None if probe && result.verdicts.is_empty() => self.unused(),
            // Neither the text nor the provider is cleared; another text is tried next.
            None if probe => {
                self.breaker.failure(Instant::now(), None);
            }
            None => {}
        }
    }
}
