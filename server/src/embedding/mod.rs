//! Embedders: turn texts into vectors; and which of their models the database's searches go by. Nothing here knows of jobs.

pub mod attempt;
pub mod breaker;
pub mod breaker_embedder;
pub mod embedders;
pub mod in_requests;
pub mod local;
pub mod openai;
pub mod query_embeddings;
pub mod searched_by;
mod tenant_breakers;

use std::fmt::Debug;
use std::future::ready;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

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

    /// Does what takes long once, so that the first texts need not wait for it.
    fn prepare(&self) -> BoxFuture<'_, Result<(), EmbedError>> {
        ready(Ok(())).boxed()
    }

    /// Embeds `texts`: one [`Embedding`] a text, in order; all or none.
    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>>;
}
