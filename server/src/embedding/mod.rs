//! Embedders: turn texts into vectors. Nothing here knows of jobs or of the database.

pub mod attempt;
pub mod breaker;
pub mod breaker_embedder;
pub mod in_requests;
pub mod local;
pub mod openai;
pub mod query_embeddings;
mod tenant_breakers;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::settings::{EmbeddingSettings, Provider};

/// An embedding model, as the database identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name; models whose vectors cannot be compared have different ones.
    pub name: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// Most tokens of a text; longer texts are truncated.
    pub max_tokens: usize,
    /// Prompt put before a query, so that its vector lies near those of matching texts; empty for most models.
    pub query_prompt: &'static str,
}

/// The embedding of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// As long as the model's dimensions, of finite numbers, not all 0.
    pub vector: Vec<f32>,
    /// Tokens used; shared out by length if the provider reports only their sum.
    pub tokens: i64,
    /// The text was truncated to the model's limit.
    pub cut: bool,
}

/// Why texts were not embedded. No message shows a text or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The provider rejects one of the texts.
    #[error("{reason}")]
    Refused {
        /// Its index, if the provider says so.
        text: Option<usize>,
        /// The provider's message.
        reason: String,
    },
    /// The provider's answer is useless: an internal error, or vectors that cannot be right.
    #[error("{0}")]
    Wrong(String),
    /// The provider asks to retry later.
    #[error("{reason}")]
    Later {
        /// How much later, if it says so.
        after: Option<Duration>,
        /// The provider's message.
        reason: String,
    },
    /// The provider does not answer, or will not until somebody fixes something.
    #[error("{0}")]
    Down(String),
}

/// Turns texts into vectors.
pub trait Embedder: Debug + Send + Sync {
    /// The model it uses.
    fn model(&self) -> &Model;

    /// Embeds `texts`: one [`Embedding`] a text, in order; all or none.
    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>>;
}

/// Why the configured embedder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The local model cannot be used.
    #[error(transparent)]
    Local(#[from] agentfs_embedder_local::LoadError),
    /// There are no CA certificates to verify the endpoint with.
    #[error(
        "the endpoint of OPENAI_BASE_URL cannot be trusted: {0}; install the system's CA certificates (Debian: apt-get install ca-certificates), or set SSL_CERT_FILE to a file that holds them"
    )]
    OpenAi(std::io::Error),
}

/// The configured embedder, if any.
pub fn embedder(provider: &Provider) -> Result<Option<Arc<dyn Embedder>>, EmbedderError> {
    Ok(match provider {
        Provider::None => None,
        Provider::Local(folder) => Some(Arc::new(local::Local::load(folder)?)),
        Provider::OpenAi(settings) => {
            Some(Arc::new(openai::OpenAi::new(settings.clone()).map_err(EmbedderError::OpenAi)?))
        }
    })
}

/// The configured embedders, of different models: the current one, and the next one.
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
