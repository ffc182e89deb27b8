//! An embedder behind circuit breakers: one for the provider, and one for each tenant, whose texts alone may be what fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as Deadline;

use super::attempt::{self, BatchResult, Failure, Text, Verdict};
use super::breaker::{Breaker, Permit};
use super::tenant_breakers::TenantBreakers;
use super::{Embedder, Model};
use crate::domain::TenantId;
use crate::runtime::metrics::Metrics;

/// Log messages about failures, by the embedder's purpose.
#[derive(Debug, Clone, Copy)]
pub struct LogText {
    /// What happens while it pauses.
    pub meanwhile: &'static str,
    /// Why an attempt missed its deadline, as a sentence.
    pub late: &'static str,
}

/// An embedder that pauses while its provider fails, or for a tenant whose texts fail; all who use the provider for one
/// purpose share it.
#[derive(Debug)]
pub struct BreakerEmbedder {
    embedder: Arc<dyn Embedder>,
    log_text: LogText,
    breaker: Breaker,
    tenants: TenantBreakers,
    metrics: Metrics,
}

impl BreakerEmbedder {
    /// Wraps `embedder`.
    pub fn new(embedder: Arc<dyn Embedder>, log_text: LogText, metrics: Metrics) -> Self {
        let (breaker, tenants) = (Breaker::default(), TenantBreakers::default());
        Self { embedder, log_text, breaker, tenants, metrics }
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

    /// The tenants of which nothing is tried now.
    pub fn paused_tenants(&self) -> Vec<TenantId> {
        self.tenants.paused(Instant::now())
    }

    /// How long nothing of `tenant` is tried.
    pub fn pause_of(&self, tenant: TenantId) -> Option<Duration> {
        self.tenants.rest(tenant, Instant::now())
    }

    /// Embeds `texts` until `deadline`; `probe` tells whether this is the breaker's probe.
    pub async fn embed(&self, texts: &[Text<'_>], deadline: Deadline, probe: bool) -> BatchResult {
        let late = self.log_text.late;
        let result = attempt::embed(&*self.embedder, texts, deadline, late, &self.metrics).await;
        let mut succeeded = BTreeSet::new();
        for (text, verdict) in texts.iter().zip(&result.verdicts) {
            if let Verdict::Embedded(parts) = verdict {
                let tokens = parts.iter().map(|part| part.tokens).sum();
                let cut = text.goes_on || parts.iter().any(|part| part.cut);
                self.metrics.embedded(tokens, cut);
                succeeded.insert(text.tenant);
            }
        }
        let of_many = self.tell_tenants(&result).filter(|_| succeeded.is_empty());
        for &tenant in &succeeded {
            let has_failed = result.of_tenants.iter().any(|(failed, _)| *failed == tenant);
            if !has_failed && self.tenants.success(tenant) {
                tracing::info!(%tenant, "embedding goes on for a tenant");
            }
        }
        match result.failure.as_ref().or(of_many) {
            Some(failure) => self.failed(failure),
            None if !succeeded.is_empty() => {
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
        result
    }

    /// Tells the breakers of tenants what failed. Returns a failure that is one of many tenants in a row.
    fn tell_tenants<'a>(&self, result: &'a BatchResult) -> Option<&'a Failure> {
        let mut of_many = None;
        for (tenant, failure) in &result.of_tenants {
            let failed = self.tenants.failure(*tenant, Instant::now(), failure.after);
            if failed.is_providers {
                of_many = Some(failure);
            }
            if failed.is_first {
                tracing::warn!(
                    %tenant,
                    "embedding pauses for a tenant, {}: {}",
                    self.log_text.meanwhile,
                    failure.reason
                );
            }
        }
        of_many
    }

    fn failed(&self, failure: &Failure) {
        let pauses = self.breaker.failure(Instant::now(), failure.after);
        if pauses {
            tracing::error!("embedding pauses, {}: {}", self.log_text.meanwhile, failure.reason);
        }
    }
}
