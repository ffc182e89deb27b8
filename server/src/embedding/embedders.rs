//! The embedders of a process: those that the settings name, and local models among which the database decides.

use std::path::Path;
use std::sync::Arc;

use agentfs_embedder_local::{Found, LoadError, models_in, names};

use super::Embedder;
use super::local::Local;
use super::openai::OpenAi;
use crate::settings::{EmbeddingSettings, LocalSettings, Provider};
use crate::store::StoreError;
use crate::store::connection::pool::Pool;
use crate::store::embeddings::models::{in_use, register_first};

/// Why the configured embedder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The local model cannot be used.
    #[error(transparent)]
    Local(#[from] LoadError),
    /// The local model is not there.
    #[error(
        "EMBEDDING_MODEL is {model}, which {folder} does not have: it has {there}; choose one of these, or have scripts/model fetch it"
    )]
    Missing {
        /// Its name.
        model: String,
        /// Where it is not.
        folder: String,
        /// What is there.
        there: String,
    },
    /// There are no CA certificates to verify the endpoint with.
    #[error(
        "the endpoint of OPENAI_BASE_URL cannot be trusted: {0}; install the system's CA certificates (Debian: apt-get install ca-certificates), or set SSL_CERT_FILE to a file that holds them"
    )]
    OpenAi(std::io::Error),
}

/// Why it cannot be told which local model is to be used.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The database cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has embeddings of a local model that is not there.
    #[error(
        "the database has embeddings of {0}, which is not in EMBEDDING_MODEL_DIR; provide that model (scripts/model {0} fetches it), or set EMBEDDING_MODEL to change to another one"
    )]
    Missing(String),
}

/// The embedders of a process.
#[derive(Debug, Clone, Default)]
pub struct Embedders {
    /// Of different models: the current one, and the next one.
    named: Vec<Arc<dyn Embedder>>,
    /// Local models among which the database decides, the one for a new database first. None is read before it is needed.
    open: Vec<Arc<dyn Embedder>>,
}

/// Whether `folder` is one of several local models.
pub fn has_models(folder: &Path) -> bool {
    !models_in(folder).is_empty()
}

/// The configured embedders.
pub fn embedders(settings: &EmbeddingSettings) -> Result<Embedders, EmbedderError> {
    let mut embedders = Embedders::default();
    match &settings.provider {
        Provider::Local(LocalSettings { folder, model: None }) => {
            let later = |found| -> Arc<dyn Embedder> { Arc::new(Local::from(found)) };
            embedders.open = models_in(folder).into_iter().map(later).collect();
            if embedders.open.is_empty() {
                embedders.named.push(Arc::new(Local::load(folder)?));
            }
        }
        provider => embedders.named.extend(named(provider)?),
    }
    if let Some(next) = named(&settings.next)?
        && !has(&embedders.named, &next.model().name)
    {
        embedders.named.push(next);
    }
    Ok(embedders)
}

/// The embedder that `provider` names. Of several local models without a name it is the first one.
fn named(provider: &Provider) -> Result<Option<Arc<dyn Embedder>>, EmbedderError> {
    Ok(match provider {
        Provider::None => None,
        Provider::Local(settings) => Some(Arc::new(local(settings)?)),
        Provider::OpenAi(settings) => {
            Some(Arc::new(OpenAi::new(settings.clone()).map_err(EmbedderError::OpenAi)?))
        }
    })
}

fn local(LocalSettings { folder, model }: &LocalSettings) -> Result<Local, EmbedderError> {
    let several = models_in(folder);
    let wanted = |name: &str| model.as_ref().is_none_or(|model| model == name);
    let missing = |there: Vec<&str>| EmbedderError::Missing {
        model: model.clone().unwrap_or_default(),
        folder: folder.display().to_string(),
        there: there.join(", "),
    };
    if several.is_empty() {
        let one = Local::load(folder)?;
        let name = one.model().name.as_str();
        return if wanted(name) { Ok(one) } else { Err(missing(vec![name])) };
    }
    let found = several.iter().find(|Found { known, .. }| wanted(known.name));
    let found = found.ok_or_else(|| missing(several.iter().map(|of| of.known.name).collect()))?;
    Ok(Local::load(&found.folder)?)
}

fn has(embedders: &[Arc<dyn Embedder>], name: &str) -> bool {
    embedders.iter().any(|embedder| embedder.model().name == name)
}

impl Embedders {
    /// Whether no provider is set.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.open.is_empty()
    }

    /// Whether the database decides among local models.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// One a model, for queries: each is embedded with the model that serves.
    pub fn of_queries(&self) -> Vec<Arc<dyn Embedder>> {
        let open = self.open.iter().filter(|of| !has(&self.named, &of.model().name));
        self.named.iter().chain(open).cloned().collect()
    }

    /// Those that a worker uses. Where the settings leave a local model open, it is the one that the database has embeddings of; in a
    /// database that has none of a local model, the first one is registered.
    pub async fn of_worker(&self, pool: &Pool) -> Result<Vec<Arc<dyn Embedder>>, ChoiceError> {
        let Some(first) = self.open.first() else { return Ok(self.named.clone()) };
        let local = names();
        let mut in_use = in_use(pool, &local).await?;
        if in_use.is_empty() {
            let model = first.model();
            in_use = register_first(pool, &model.name, model.dimensions as i32, &local).await?;
        }
        // The next model is named, and is in use as well while it is filled.
        let chosen = match in_use.iter().find(|name| !has(&self.named, name)) {
            Some(name) => {
                let found = self.open.iter().find(|embedder| embedder.model().name == *name);
                Some(found.ok_or_else(|| ChoiceError::Missing(name.clone()))?)
            }
            // It was in use once, and is again.
            None if in_use.is_empty() => {
                Some(first).filter(|of| !has(&self.named, &of.model().name))
            }
            None => None,
        };
        Ok(chosen.into_iter().chain(&self.named).cloned().collect())
    }
}
