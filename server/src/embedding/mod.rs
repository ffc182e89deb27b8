//! Embedders: turn texts into vectors. Nothing here knows of jobs or of the database.

pub mod attempt;
pub mod breaker;
pub mod breaker_embedder;
pub mod local;
pub mod openai;
pub mod query_embeddings;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::settings::{EmbeddingSettings, Provider};

/// A model, as the database tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name; models whose vectors cannot be compared have different ones.
    pub name: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// Tokens it takes of a text; what is longer is cut.
    pub max_tokens: usize,
    /// What goes before a query, so that its vector lies near those of the texts that answer it; most models want nothing.
    pub query_prompt: &'static str,
}

/// What became of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// As long as the model's dimensions, of finite numbers, not all 0.
    pub vector: Vec<f32>,
    /// Tokens it took; a share by length where the provider tells only their sum.
    pub tokens: i64,
    /// The text was longer than the model takes, and its end is not in the vector.
    pub cut: bool,
}

/// Why texts were not embedded. No sentence shows a text or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The provider does not take one of the texts.
    #[error("{reason}")]
    Refused {
        /// Which one, where the provider says so.
        text: Option<usize>,
        /// What it said.
        reason: String,
    },
    /// The provider's answer is of no use: an internal error, or vectors that cannot be right.
    #[error("{0}")]
    Wrong(String),
    /// The provider asks to come later.
    #[error("{reason}")]
    Later {
        /// How much later, where it says so.
        after: Option<Duration>,
        /// What it said.
        reason: String,
    },
    /// The provider does not answer, or will not until somebody mends something.
    #[error("{0}")]
    Down(String),
}

/// Turns texts into vectors.
pub trait Embedder: Debug + Send + Sync {
    /// The model it uses.
    fn model(&self) -> &Model;

    /// One [`Embedding`] a text, in their order; all or none.
    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>>;
}

/// Why there is no embedder though one is set.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The local model cannot be used.
    #[error(transparent)]
    Local(#[from] agentfs_embedder_local::LoadError),
    /// There is nothing to tell the endpoint from an impostor by.
    #[error(
        "the endpoint of OPENAI_BASE_URL cannot be trusted: {0}; install the system's CA certificates (Debian: apt-get install ca-certificates), or set SSL_CERT_FILE to a file that holds them"
    )]
    OpenAi(std::io::Error),
}

/// The embedder that is set; `None` where none is.
pub fn embedder(provider: &Provider) -> Result<Option<Arc<dyn Embedder>>, EmbedderError> {
    Ok(match provider {
        Provider::None => None,
        Provider::Local(folder) => Some(Arc::new(local::Local::load(folder)?)),
        Provider::OpenAi(settings) => {
            Some(Arc::new(openai::OpenAi::new(settings.clone()).map_err(EmbedderError::OpenAi)?))
        }
    })
}

/// The embedders that are set, of different models: the present one, and the one to come.
pub fn embedders(settings: &EmbeddingSettings) -> Result<Vec<Arc<dyn Embedder>>, EmbedderError> {
    let mut embedders: Vec<Arc<dyn Embedder>> = Vec::new();
    for embedder in [embedder(&settings.provider)?, embedder(&settings.next)?].into_iter().flatten()
    {
        if embedders.iter().all(|other| other.model().name != embedder.model().name) {
            embedders.push(embedder);
        }
    }
    Ok(embedders)
}
