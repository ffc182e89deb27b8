//! The texts of jobs: what is embedded of a value, and how the jobs of a claim are divided among requests.

use crate::domain::search::chunks::{self, CHUNK, Chunks, chunks};
use crate::domain::search::embedding_text;
use crate::store::embeddings::jobs::{Claim, Job};

/// Bytes of a text that are looked at.
const MAX_TEXT: usize = 64 << 10;

/// What is embedded of a value, in chunks.
pub(super) struct JobText {
    words: String,
    chunks: Chunks,
}

impl JobText {
    /// The text of a job, for a model that reads so many tokens.
    pub(super) fn of(job: &Job, tokens: usize) -> Self {
        let json = job.value.as_deref().unwrap_or_default();
        let mut words = embedding_text::of_value(json, MAX_TEXT);
        // It ends with a whole character, of up to 4 bytes.
        let goes_on = words.len() + 4 > MAX_TEXT;
        // Providers reject what is blank.
        words.drain(..words.len() - words.trim_start().len());
        if words.is_empty() {
            json[..json.floor_char_boundary(CHUNK)].clone_into(&mut words);
        }
        let mut chunks = chunks(&words, tokens);
        chunks.ranges.retain(|range| !words[range.clone()].trim().is_empty());
        chunks.cut |= goes_on;
        Self { words, chunks }
    }

    /// The chunks; none is blank.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.chunks.ranges.iter().map(|range| &self.words[range.clone()]).collect()
    }

    /// The value goes on behind the last chunk.
    pub(super) fn is_cut(&self) -> bool {
        self.chunks.cut
    }
}

/// Divides a claim into parts whose chunks fit into a request of `most` texts, or that are of one value.
pub(super) fn by_requests(claim: Claim, most: usize) -> Vec<Claim> {
    let Claim { leased_until, jobs } = claim;
    let mut parts: Vec<Claim> = Vec::new();
    let mut texts = 0;
    for job in jobs {
        let own = chunks::at_most(job.value.as_ref().map_or(0, String::len));
        texts += own;
        match parts.last_mut() {
            Some(part) if texts <= most => part.jobs.push(job),
            _ => {
                texts = own;
                parts.push(Claim { leased_until, jobs: vec![job] });
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::DEFAULT_TENANT;

    fn job(value: &str) -> Job {
        Job {
            id: 1,
            tenant: DEFAULT_TENANT,
            agent: "ada".into(),
            path: "/a".into(),
            version: Uuid::nil(),
            attempts: 1,
            value: Some(value.into()),
        }
    }

    fn parts(value: &str) -> (Vec<String>, bool) {
        let text = JobText::of(&job(value), 256);
        (text.parts().into_iter().map(str::to_owned).collect(), text.is_cut())
    }

    #[test]
    fn a_text_has_no_blank_chunk() {
        assert_eq!(parts(r#""  peanuts ""#), (vec!["peanuts ".to_owned()], false));
        assert_eq!(parts("{}"), (vec!["{}".to_owned()], false));
        assert_eq!(parts(r#""   ""#), (vec![r#""   ""#.to_owned()], false));
        let (gap, cut) =
            parts(&format!(r#""{}peanuts{}walnuts""#, " ".repeat(5000), " ".repeat(5000)));
        assert!(!cut && gap.iter().all(|chunk| !chunk.trim().is_empty()), "{gap:?}");
        assert_eq!((gap.len(), gap[1].trim()), (2, "walnuts"));
        let (many, cut) = parts(&format!("\"{}\"", "peanuts ".repeat(10_000)));
        assert_eq!((many.len(), cut), (chunks::MOST, true));
    }

    #[test]
    fn a_claim_is_divided_by_its_chunks() {
        let long = format!("\"{}\"", "peanuts ".repeat(10_000));
        let claim = |values: &[&str]| Claim {
            leased_until: Timestamp::UNIX_EPOCH,
            jobs: values.iter().map(|value| job(value)).collect(),
        };
        let sizes = |values: &[&str], most| -> Vec<usize> {
            by_requests(claim(values), most).iter().map(|part| part.jobs.len()).collect()
        };
        assert_eq!(sizes(&["1"; 64], 64), [64]);
        assert_eq!(sizes(&["1", &long, "2", "3", &long], 18), [3, 2]);
        assert_eq!(sizes(&[&long, &long], 8), [1, 1]);
    }
}
