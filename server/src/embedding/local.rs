//! Embeds with a model on this machine's processors.

use std::path::Path;

use agentfs_embedder_local::{LoadError, LocalModel};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{EmbedError, Embedder, Embedding, Model};

/// The model, in memory.
#[derive(Debug)]
pub struct Local {
    model: Model,
    local: LocalModel,
}

impl Local {
    /// Reads the model of `folder`.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let local = LocalModel::load(folder)?;
        let model = Model {
            name: local.name().to_owned(),
            dimensions: local.dimensions(),
            max_tokens: local.max_tokens(),
            query_prompt: local.query_prompt(),
        };
        Ok(Self { model, local })
    }
}

impl Embedder for Local {
    fn model(&self) -> &Model {
        &self.model
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>> {
        async move {
            let embedded = self.local.embed(texts).await;
            let embedded = embedded.map_err(|error| EmbedError::Wrong(error.to_string()))?;
            Ok(embedded.into_iter().map(Embedding::from).collect())
        }
        .boxed()
    }
}

impl From<agentfs_embedder_local::Embedding> for Embedding {
    fn from(of: agentfs_embedder_local::Embedding) -> Self {
        Self { vector: of.vector, tokens: of.tokens, cut: of.cut }
    }
}
