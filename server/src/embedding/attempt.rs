//! Embeds a batch of texts; a batch that the provider rejects is split until only the rejected texts are left, and one that it
//! puts off until only the tenants are left whose texts it puts off. A text may have several parts, with a vector each: it is embedded
//! as a whole or not at all.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::tenant_breakers::MANY_TENANTS;
use super::{EmbedError, Embedder, Embedding};
use crate::domain::TenantId;
use crate::runtime::metrics::Metrics;

/// Texts of a tenant that may be rejected on their own, with none embedded, before the others are no longer tried.
const MAX_REJECTED: usize = 3;

/// A text, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// Its parts; at least one.
    pub parts: &'a [&'a str],
    /// There is more of it than these.
    pub goes_on: bool,
}

/// The outcome of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Each of its parts has a vector.
    Embedded(Vec<Embedding>),
    /// Rejected on its own, for this reason.
    Rejected(String),
    /// Not tried, or not on its own: the provider failed, or others of its tenant's texts.
    Skipped(Failure),
}

/// Why texts were given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How long the provider asks clients to wait.
    pub after: Option<Duration>,
    /// A sentence for people.
    pub reason: String,
}

/// The outcome of a batch.
#[derive(Debug)]
pub struct BatchResult {
    /// The outcome of each text, in order.
    pub verdicts: Vec<Verdict>,
    /// Why the provider was not asked for the rest.
    pub failure: Option<Failure>,
    /// Tenants whose texts fail, and why.
    pub of_tenants: Vec<(TenantId, Failure)>,
}

/// Embeds `texts` until `deadline`; `late` is the sentence for a missed deadline.
pub async fn embed(
    embedder: &dyn Embedder,
    texts: &[Text<'_>],
    deadline: Instant,
    late: &str,
    metrics: &Metrics,
) -> BatchResult {
    // Tenant by tenant, so that a tenant's texts are a range.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&index| texts[index].tenant);
    let asked: Vec<&[&str]> = order.iter().map(|&index| texts[index].parts).collect();
    let mut attempt = Attempt::new(order.iter().map(|&index| texts[index].tenant).collect());
    let mut failure = None;
    while let Some(range) = attempt.open.pop() {
        let began = Instant::now();
        let answered = timeout_at(deadline, embed_whole(embedder, &asked[range.clone()])).await;
        metrics.embedding_request(answered.as_ref().is_ok_and(Result::is_ok), began.elapsed());
        let answered = answered.unwrap_or_else(|_| Err(EmbedError::Down(late.to_owned())));
        if let Err(failed) = attempt.record(range, answered) {
            failure = Some(failed);
            break;
        }
    }
    let mut verdicts: Vec<(usize, Verdict)> =
        order.into_iter().zip(attempt.verdicts(failure.as_ref())).collect();
    verdicts.sort_by_key(|(index, _)| *index);
    let verdicts = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
    BatchResult { verdicts, failure, of_tenants: attempt.failed }
}

/// Embeds all parts of `texts` in one request. Where a part is rejected, the error names its text.
async fn embed_whole(
    embedder: &dyn Embedder,
    texts: &[&[&str]],
) -> Result<Vec<Vec<Embedding>>, EmbedError> {
    let mut embeddings = match embedder.embed(&texts.concat()).await {
        Ok(embeddings) => embeddings.into_iter(),
        Err(EmbedError::Refused { text: Some(part), reason }) => {
            let mut seen = 0;
            let text = texts.iter().position(|parts| {
                seen += parts.len();
                part < seen
            });
            return Err(EmbedError::Refused { text, reason });
        }
        Err(error) => return Err(error),
    };
    Ok(texts.iter().map(|parts| embeddings.by_ref().take(parts.len()).collect()).collect())
}

struct Attempt {
    /// The tenant of each text; a tenant's texts are side by side.
    tenants: Vec<TenantId>,
    verdicts: Vec<Option<Verdict>>,
    /// Ranges of texts still to be tried.
    open: Vec<Range<usize>>,
    /// Tenants of which a text was embedded.
    succeeded: HashSet<TenantId>,
    /// Texts rejected because of a useless answer, which may not be their fault.
    suspect: HashSet<usize>,
    failed: Vec<(TenantId, Failure)>,
    /// Tenants that have failed since something was embedded.
    in_a_row: usize,
}

impl Attempt {
    fn new(tenants: Vec<TenantId>) -> Self {
        let whole = 0..tenants.len();
        Self {
            verdicts: vec![None; tenants.len()],
            open: Some(whole).filter(|whole| !whole.is_empty()).into_iter().collect(),
            tenants,
            succeeded: HashSet::new(),
            suspect: HashSet::new(),
            failed: Vec::new(),
            in_a_row: 0,
        }
    }

    /// Records an answer. An error is the provider's failure: nothing more is tried.
    fn record(
        &mut self,
        range: Range<usize>,
        answered: Result<Vec<Vec<Embedding>>, EmbedError>,
    ) -> Result<(), Failure> {
        let (text, reason) = match answered {
            Ok(embeddings) => {
                self.succeeded.extend(&self.tenants[range.clone()]);
                self.in_a_row = 0;
                for (verdict, embedding) in self.verdicts[range].iter_mut().zip(embeddings) {
                    *verdict = Some(Verdict::Embedded(embedding));
                }
                return Ok(());
            }
            Err(EmbedError::Later { after, reason }) => {
                return self.put_off(range, Failure { after, reason });
            }
            Err(EmbedError::Down(reason)) => return Err(Failure { after: None, reason }),
            Err(EmbedError::Refused { text, reason }) => (text, reason),
            Err(EmbedError::Wrong(reason)) if range.len() == 1 => {
                self.suspect.insert(range.start);
                (None, reason)
            }
            Err(EmbedError::Wrong(reason)) => (None, reason),
        };
        match text.map(|n| range.start + n).filter(|n| range.contains(n)) {
            Some(named) => self.reject(named, range, reason),
            None if range.len() == 1 => self.reject(range.start, range, reason),
            None => {
                let middle = range.start + range.len() / 2;
                self.open.extend([middle..range.end, range.start..middle]);
                Ok(())
            }
        }
    }

    /// Has each tenant's texts tried by themselves; those of one tenant are given up.
    fn put_off(&mut self, range: Range<usize>, failure: Failure) -> Result<(), Failure> {
        let mut start = range.start;
        let of_tenants: Vec<Range<usize>> = self.tenants[range]
            .chunk_by(|a, b| a == b)
            .map(|own| {
                start += own.len();
                start - own.len()..start
            })
            .collect();
        if let [own] = of_tenants.as_slice() {
            return self.give_up(self.tenants[own.start], failure);
        }
        self.open.extend(of_tenants.into_iter().rev());
        Ok(())
    }

    /// Records a rejected text; its neighbours are tried again without it.
    fn reject(
        &mut self,
        rejected: usize,
        among: Range<usize>,
        reason: String,
    ) -> Result<(), Failure> {
        self.verdicts[rejected] = Some(Verdict::Rejected(reason.clone()));
        let beside = [rejected + 1..among.end, among.start..rejected];
        self.open.extend(beside.into_iter().filter(|range| !range.is_empty()));
        let tenant = self.tenants[rejected];
        let own = self.texts_of(tenant);
        let is_rejected =
            |verdict: &&Option<Verdict>| matches!(verdict, Some(Verdict::Rejected(_)));
        let count = self.verdicts[own.clone()].iter().filter(is_rejected).count();
        if self.succeeded.contains(&tenant) || count < MAX_REJECTED {
            return Ok(());
        }
        for suspect in self.suspect.extract_if(|suspect| own.contains(suspect)) {
            self.verdicts[suspect] = None;
        }
        self.give_up(tenant, Failure { after: None, reason })
    }

    /// Tries nothing more of a tenant. Many tenants in a row are the provider's failure.
    fn give_up(&mut self, tenant: TenantId, failure: Failure) -> Result<(), Failure> {
        let own = self.texts_of(tenant);
        let others = |range: Range<usize>| {
            let before = range.start..range.end.min(own.start);
            let after = range.start.max(own.end)..range.end;
            [before, after].into_iter().filter(|range| !range.is_empty())
        };
        self.open = std::mem::take(&mut self.open).into_iter().flat_map(others).collect();
        self.failed.push((tenant, failure.clone()));
        self.in_a_row += 1;
        if self.in_a_row < MANY_TENANTS { Ok(()) } else { Err(failure) }
    }

    fn texts_of(&self, tenant: TenantId) -> Range<usize> {
        let is_before = |other: &TenantId| *other < tenant;
        let start = self.tenants.partition_point(is_before);
        start..self.tenants.partition_point(|other| *other <= tenant)
    }

    /// The verdicts. What was not tried has that of its tenant, or of the provider.
    fn verdicts(&mut self, provider: Option<&Failure>) -> Vec<Verdict> {
        let failed = |tenant: &TenantId| {
            let own = self.failed.iter().find(|(failed, _)| failed == tenant);
            let failure = own.map(|(_, failure)| failure).or(provider).cloned();
            failure.unwrap_or_else(|| Failure { after: None, reason: String::new() })
        };
        let verdicts = self.verdicts.drain(..).zip(&self.tenants);
        verdicts
            .map(|(verdict, tenant)| verdict.unwrap_or_else(|| Verdict::Skipped(failed(tenant))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn good() -> Embedding {
        Embedding { vector: vec![1.0], tokens: 1, cut: false }
    }

    fn tenants(numbers: &[u128]) -> Vec<TenantId> {
        numbers.iter().map(|&number| TenantId(Uuid::from_u128(number))).collect()
    }

    /// Runs an attempt on texts of tenants, of which some are `bad`, with a provider that fails like `error`. Tells the
    /// verdicts, the number of requests, the number of tenants that failed, and whether the provider did.
    fn run_of(
        numbers: &[u128],
        bad: &[usize],
        error: impl Fn() -> EmbedError,
    ) -> (String, usize, usize, bool) {
        let mut attempt = Attempt::new(tenants(numbers));
        let (mut requests, mut failure) = (0, None);
        while let Some(range) = attempt.open.pop() {
            requests += 1;
            let fails = range.clone().any(|n| bad.contains(&n));
            let answer = if fails { Err(error()) } else { Ok(vec![vec![good()]; range.len()]) };
            if let Err(failed) = attempt.record(range, answer) {
                failure = Some(failed);
                break;
            }
        }
        let verdicts = attempt.verdicts(failure.as_ref());
        let letters = verdicts.iter().map(|verdict| match verdict {
            Verdict::Embedded(_) => 'e',
            Verdict::Rejected(_) => 'g',
            Verdict::Skipped(_) => 'u',
        });
        (letters.collect(), requests, attempt.failed.len(), failure.is_some())
    }

    /// The same of one tenant.
    fn run(count: usize, bad: &[usize], error: impl Fn() -> EmbedError) -> (String, usize, bool) {
        let (verdicts, requests, failed, of_provider) = run_of(&vec![1; count], bad, error);
        assert!(!of_provider, "one tenant is not the provider");
        (verdicts, requests, failed > 0)
    }

    fn refused() -> EmbedError {
        EmbedError::Refused { text: None, reason: "no".into() }
    }

    fn wrong() -> EmbedError {
        EmbedError::Wrong("no".into())
    }

    fn later() -> EmbedError {
        EmbedError::Later { after: Some(Duration::from_secs(3)), reason: "no".into() }
    }

    #[test]
    fn only_the_rejected_text_fails() {
        assert_eq!(run(8, &[5], refused), ("eeeeegee".into(), 7, false));
        assert_eq!(run(8, &[0], wrong), ("geeeeeee".into(), 7, false));
        assert_eq!(run(1, &[0], wrong).0, "g");
        assert_eq!(run(0, &[], wrong), (String::new(), 0, false));
    }

    #[test]
    fn a_tenant_of_which_everything_fails_is_told_from_rejected_texts() {
        let all: Vec<usize> = (0..64).collect();
        let (verdicts, requests, failure) = run(64, &all, wrong);
        assert!(failure && requests < 12, "{requests} requests");
        assert!(verdicts.chars().all(|verdict| verdict == 'u'), "no attempt counts: {verdicts}");
        let (verdicts, _, failure) = run(64, &all, refused);
        assert!(failure && verdicts.starts_with("gggu"), "refusals count: {verdicts}");
    }

    #[test]
    fn one_tenants_texts_do_not_keep_the_others_from_being_embedded() {
        let numbers = [1, 1, 1, 1, 1, 1, 2, 2];
        let bad = [0, 1, 2, 3, 4, 5];
        let (verdicts, _, failed, of_provider) = run_of(&numbers, &bad, refused);
        assert_eq!((verdicts.as_str(), failed, of_provider), ("ggguuuee", 1, false));
        assert_eq!(run_of(&numbers, &bad, later), ("uuuuuuee".into(), 3, 1, false));
        assert_eq!(run_of(&[1, 2, 2, 3], &[1], later), ("euue".into(), 4, 1, false));
    }

    #[test]
    fn what_fails_for_many_tenants_is_the_providers_fault() {
        let numbers: Vec<u128> = (0..64).collect();
        let all: Vec<usize> = (0..64).collect();
        let (verdicts, requests, failed, of_provider) = run_of(&numbers, &all, later);
        assert!(of_provider && verdicts.chars().all(|verdict| verdict == 'u'), "{verdicts}");
        assert_eq!((requests, failed), (1 + MANY_TENANTS, MANY_TENANTS));
    }

    #[test]
    fn a_text_that_is_named_is_left_out_at_once() {
        let mut attempt = Attempt::new(tenants(&[1; 4]));
        attempt.open.clear();
        let named = EmbedError::Refused { text: Some(2), reason: "no".into() };
        attempt.record(0..4, Err(named)).unwrap();
        assert_eq!(attempt.open, [3..4, 0..2]);
        assert!(matches!(attempt.verdicts[2], Some(Verdict::Rejected(_))));
    }

    #[test]
    fn trouble_leaves_the_rest_untried() {
        let mut attempt = Attempt::new(tenants(&[1, 1]));
        attempt.record(0..2, Err(later())).unwrap();
        let [(_, failure)] = attempt.failed.as_slice() else { panic!("a tenant has failed") };
        assert_eq!(failure.after, Some(Duration::from_secs(3)));
        let skipped = Verdict::Skipped(failure.clone());
        assert_eq!(attempt.verdicts(None), [skipped.clone(), skipped]);
        let mut attempt = Attempt::new(tenants(&[1, 2]));
        let down = attempt.record(0..2, Err(EmbedError::Down("gone".into()))).unwrap_err();
        let skipped = Verdict::Skipped(down.clone());
        assert_eq!(attempt.verdicts(Some(&down)), [skipped.clone(), skipped]);
    }
}
