//! An embedder that sends no more texts in a request than it may: a long value has several.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{EmbedError, Embedder, Embedding, Model};

/// Divides texts among requests, one after the other.
#[derive(Debug)]
pub struct InRequests {
    embedder: Arc<dyn Embedder>,
    most: usize,
}

impl InRequests {
    /// Has `embedder` embed at most `most` texts at a time.
    pub fn new(embedder: Arc<dyn Embedder>, most: usize) -> Self {
        Self { embedder, most: most.max(1) }
    }

    async fn embed_all(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let mut all = Vec::with_capacity(texts.len());
        for request in texts.chunks(self.most) {
            match self.embedder.embed(request).await {
                Ok(embeddings) => all.extend(embeddings),
                Err(EmbedError::Refused { text: Some(text), reason }) => {
                    return Err(EmbedError::Refused { text: Some(all.len() + text), reason });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

impl Embedder for InRequests {
    fn model(&self) -> &Model {
        self.embedder.model()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>> {
        self.embed_all(texts).boxed()
    }
}
