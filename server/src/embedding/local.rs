//! Embeds with a model on this machine's processors.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use agentfs_embedder_local::{Found, Known, LoadError, LocalModel};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::task::spawn_blocking;

use super::{EmbedError, Embedder, Embedding, Model};

/// A model, which is read when it is first needed.
#[derive(Debug)]
pub struct Local {
    model: Model,
    folder: PathBuf,
    /// What reading it has given. Whoever waits for it may leave; it is read once all the same.
    loaded: Arc<OnceLock<Result<LocalModel, EmbedError>>>,
}

impl Local {
    /// Reads the model of `folder`.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let local = LocalModel::load(folder)?;
        let (model, folder) = (Model::from(local.known()), folder.to_owned());
        Ok(Self { model, folder, loaded: Arc::new(OnceLock::from(Ok(local))) })
    }

    async fn loaded(&self) -> Result<&LocalModel, EmbedError> {
        if self.loaded.get().is_none() {
            let (loaded, folder, name) =
                (self.loaded.clone(), self.folder.clone(), self.model.name.clone());
            let load = move || loaded.get_or_init(|| read(&folder, &name)).is_ok();
            spawn_blocking(load).await.map_err(|error| EmbedError::Down(error.to_string()))?;
        }
        let nothing = || Err(EmbedError::Down("the local embedding model was not read".to_owned()));
        self.loaded.get().map_or_else(nothing, |loaded| loaded.as_ref().map_err(Clone::clone))
    }
}

/// Reads the model called `name`, which is that of its folder.
fn read(folder: &Path, name: &str) -> Result<LocalModel, EmbedError> {
    let local = LocalModel::load(folder).map_err(|error| EmbedError::Down(error.to_string()))?;
    if local.name() == name {
        return Ok(local);
    }
    let (folder, is) = (folder.display(), local.name());
    Err(EmbedError::Down(format!("the model in {folder} is not {name} but {is}")))
}

impl From<Found> for Local {
    fn from(Found { known, folder }: Found) -> Self {
        Self { model: known.into(), folder, loaded: Arc::default() }
    }
}

impl From<&Known> for Model {
    fn from(known: &Known) -> Self {
        Self {
            name: known.name.to_owned(),
            dimensions: known.dimensions,
            max_tokens: known.max_tokens,
            query_prompt: known.query_prompt,
        }
    }
}

impl Embedder for Local {
    fn model(&self) -> &Model {
        &self.model
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), EmbedError>> {
        async move {
            self.loaded().await?;
            Ok(())
        }
        .boxed()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>> {
        async move {
            let embedded = self.loaded().await?.embed(texts).await;
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
