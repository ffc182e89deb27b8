//! Embeds a batch of texts; a batch that the provider rejects is split until only the rejected texts are
//! left.

use std::ops::Range;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{EmbedError, Embedder, Embedding};
use crate::runtime::metrics::Metrics;

/// Texts that may be rejected on their own, with none embedded, before the provider is assumed to be at fault.
const MAX_REJECTED: usize = 3;

/// The outcome of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It has a vector.
    Embedded(Embedding),
    /// Rejected on its own, for this reason.
    Rejected(String),
    /// Not tried, or not on its own: the provider failed.
    Skipped,
}

/// Why a batch was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderFailure {
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
    /// Why the remaining texts were skipped.
    pub failure: Option<ProviderFailure>,
}

/// Embeds `texts` until `deadline`; `late` is the sentence for a missed deadline.
pub async fn embed(
    embedder: &dyn Embedder,
    texts: &[&str],
    deadline: Instant,
    late: &str,
    metrics: &Metrics,
) -> BatchResult {
    let mut attempt = Attempt::new(texts.len());
    while let Some(range) = attempt.open.pop() {
        let began = Instant::now();
        let answered = timeout_at(deadline, embedder.embed(&texts[range.clone()])).await;
        metrics.embedding_request(answered.as_ref().is_ok_and(Result::is_ok), began.elapsed());
        let answered = answered.unwrap_or_else(|_| Err(EmbedError::Down(late.to_owned())));
        if let Err(failure) = attempt.record(range, answered) {
            return BatchResult { verdicts: attempt.verdicts, failure: Some(failure) };
        }
    }
    BatchResult { verdicts: attempt.verdicts, failure: None }
}

struct Attempt {
    verdicts: Vec<Verdict>,
    /// Ranges of texts still to be tried.
    open: Vec<Range<usize>>,
    succeeded: bool,
    /// Texts rejected because of a useless answer, which may be the provider's fault.
    suspect: Vec<usize>,
    rejected: usize,
}

impl Attempt {
    fn new(count: usize) -> Self {
        let whole = 0..count;
        Self {
            verdicts: vec![Verdict::Skipped; count],
            open: if count == 0 { Vec::new() } else { vec![whole] },
            succeeded: false,
            suspect: Vec::new(),
            rejected: 0,
        }
    }

    fn record(
        &mut self,
        range: Range<usize>,
        answered: Result<Vec<Embedding>, EmbedError>,
    ) -> Result<(), ProviderFailure> {
        let (text, reason) = match answered {
            Ok(embeddings) => {
                self.succeeded = true;
                for (verdict, embedding) in self.verdicts[range].iter_mut().zip(embeddings) {
                    *verdict = Verdict::Embedded(embedding);
                }
                return Ok(());
            }
            Err(EmbedError::Later { after, reason }) => {
                return Err(ProviderFailure { after, reason });
            }
            Err(EmbedError::Down(reason)) => return Err(ProviderFailure { after: None, reason }),
            Err(EmbedError::Refused { text, reason }) => (text, reason),
            Err(EmbedError::Wrong(reason)) if range.len() == 1 => {
                self.suspect.push(range.start);
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

    /// Records a rejected text; its neighbours are tried again without it.
    fn reject(
        &mut self,
        rejected: usize,
        among: Range<usize>,
        reason: String,
    ) -> Result<(), ProviderFailure> {
        self.verdicts[rejected] = Verdict::Rejected(reason.clone());
        self.rejected += 1;
        let beside = [rejected + 1..among.end, among.start..rejected];
        self.open.extend(beside.into_iter().filter(|range| !range.is_empty()));
        if self.succeeded || self.rejected < MAX_REJECTED {
            return Ok(());
        }
        for &suspect in &self.suspect {
            self.verdicts[suspect] = Verdict::Skipped;
        }
        Err(ProviderFailure { after: None, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Embedding {
        Embedding { vector: vec![1.0], tokens: 1, cut: false }
    }

    /// Runs an attempt on texts of which some are `bad`, with a provider that fails like `error`.
    fn run(count: usize, bad: &[usize], error: impl Fn() -> EmbedError) -> (String, usize, bool) {
        let mut attempt = Attempt::new(count);
        let (mut requests, mut failure) = (0, false);
        while let Some(range) = attempt.open.pop() {
            requests += 1;
            let fails = range.clone().any(|n| bad.contains(&n));
            let answer = if fails { Err(error()) } else { Ok(vec![good(); range.len()]) };
            if attempt.record(range, answer).is_err() {
                failure = true;
                break;
            }
        }
        let letters = attempt.verdicts.iter().map(|verdict| match verdict {
            Verdict::Embedded(_) => 'e',
            Verdict::Rejected(_) => 'g',
            Verdict::Skipped => 'u',
        });
        (letters.collect(), requests, failure)
    }

    fn refused() -> EmbedError {
        EmbedError::Refused { text: None, reason: "no".into() }
    }

    fn wrong() -> EmbedError {
        EmbedError::Wrong("no".into())
    }

    #[test]
    fn only_the_rejected_text_fails() {
        assert_eq!(run(8, &[5], refused), ("eeeeegee".into(), 7, false));
        assert_eq!(run(8, &[0], wrong), ("geeeeeee".into(), 7, false));
        assert_eq!(run(1, &[0], wrong).0, "g");
        assert_eq!(run(0, &[], wrong), (String::new(), 0, false));
    }

    #[test]
    fn a_provider_that_fails_at_everything_is_told_from_rejected_texts() {
        let all: Vec<usize> = (0..64).collect();
        let (verdicts, requests, failure) = run(64, &all, wrong);
        assert!(failure && requests < 12, "{requests} requests");
        assert!(verdicts.chars().all(|verdict| verdict == 'u'), "no attempt counts: {verdicts}");
        let (verdicts, _, failure) = run(64, &all, refused);
        assert!(failure && verdicts.starts_with("gggu"), "refusals count: {verdicts}");
    }

    #[test]
    fn a_text_that_is_named_is_left_out_at_once() {
        let mut attempt = Attempt::new(4);
        attempt.open.clear();
        let named = EmbedError::Refused { text: Some(2), reason: "no".into() };
        attempt.record(0..4, Err(named)).unwrap();
        assert_eq!(attempt.open, [3..4, 0..2]);
        assert!(matches!(attempt.verdicts[2], Verdict::Rejected(_)));
    }

    #[test]
    fn trouble_leaves_the_rest_untried() {
        let mut attempt = Attempt::new(2);
        let later = EmbedError::Later { after: Some(Duration::from_secs(3)), reason: "no".into() };
        let failure = attempt.record(0..2, Err(later)).unwrap_err();
        assert_eq!(failure.after, Some(Duration::from_secs(3)));
        assert_eq!(attempt.verdicts, [Verdict::Skipped, Verdict::Skipped]);
    }
}
