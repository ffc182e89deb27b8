//! An embedding model on this machine's processors, from a folder with config.json, tokenizer.json and model.safetensors.

mod distance;
mod encoder;
mod folder;
mod known;
mod linear;
mod weights;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokenizers::Tokenizer;
use tokio::sync::oneshot;

use self::encoder::Encoder;
pub use self::folder::{Found, models_in};
use self::known::recognise;
pub use self::known::{Known, names};
pub use self::linear::Precision;
use self::weights::{Config, Weights};

/// Bytes of a text that are looked at: more than the tokens that a model takes have in any language.
const MAX_BYTES: usize = 64 << 10;
/// Tokens that a core takes at a time: enough for full speed, and few enough that all cores have work to the end.
const TOGETHER: usize = 256;

/// Why the model in a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is not there or cannot be read.
    #[error(
        "the embedding model's file {path} cannot be read: {source}; EMBEDDING_MODEL_DIR must be the folder that scripts/model prints"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error(
        "the embedding model's file {path} cannot be used: {reason}; EMBEDDING_MODEL_DIR must be the folder that scripts/model prints"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system gives no threads.
    #[error("the embedding model's threads cannot be started: {0}")]
    Threads(rayon::ThreadPoolBuildError),
}

/// Why texts were not embedded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the local embedding model failed: {0}")]
pub struct ComputeError(String);

/// What became of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// As long as the model's dimensions, and of length 1.
    pub vector: Vec<f32>,
    /// Tokens it took.
    pub tokens: i64,
    /// The text was longer than the model takes, and its end is not in the vector.
    pub cut: bool,
}

/// The model, in memory.
#[derive(Debug)]
pub struct LocalModel {
    known: &'static Known,
    dimensions: usize,
    loaded: Arc<Loaded>,
}

struct Loaded {
    tokenizer: Tokenizer,
    /// Tokens of a text that are taken.
    max_tokens: usize,
    encoder: Encoder,
    threads: ThreadPool,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded")
    }
}

impl LocalModel {
    /// Reads the model of `folder`, 90 to 440 MB, and computes with what is best on this processor.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        Self::load_with(folder, None)
    }

    /// Reads the model of `folder` for computing with `precision`; with the best for this processor where none is given or this one
    /// cannot be had.
    pub fn load_with(folder: &Path, precision: Option<Precision>) -> Result<Self, LoadError> {
        let read = |name: &str| {
            let path = folder.join(name);
            match fs::read(&path) {
                Ok(content) => Ok((path, content)),
                Err(source) => Err(LoadError::File { path, source }),
            }
        };
        let wrong = |path: &Path, reason: String| LoadError::Content { path: path.into(), reason };
        let (path, content) = read("tokenizer.json")?;
        let tokenizer = tokenizer(&content).map_err(|reason| wrong(&path, reason))?;
        let (path, content) = read("config.json")?;
        let config: Config =
            serde_json::from_slice(&content).map_err(|e| wrong(&path, e.to_string()))?;
        let vocabulary = tokenizer.get_vocab_size(true);
        let weights_path = folder.join(weights::FILE);
        let weights = File::open(&weights_path)
            .map_err(|source| LoadError::File { path: weights_path.clone(), source })?;
        let weights = Weights::new(weights).map_err(|reason| wrong(&weights_path, reason))?;
        let known = recognise(&config, &weights).map_err(|reason| wrong(&weights_path, reason))?;
        config.check(known.max_tokens, vocabulary).map_err(|reason| wrong(&path, reason))?;
        let encoder = Encoder::load(&config, &weights, known.pooling, precision)
            .map_err(|reason| wrong(&weights_path, reason))?;
        let threads = ThreadPoolBuilder::new()
            .num_threads(available_parallelism().map_or(1, usize::from))
            .thread_name(|n| format!("embedding-{n}"))
            // Without it a panic would end the process; whoever waits is told.
            .panic_handler(|_| ())
            .build()
            .map_err(LoadError::Threads)?;
        let max_tokens = known.max_tokens;
        let loaded = Arc::new(Loaded { tokenizer, max_tokens, encoder, threads });
        Ok(Self { known, dimensions: config.hidden_size, loaded })
    }

    /// What is known of it.
    pub fn known(&self) -> &'static Known {
        self.known
    }

    /// The model's name.
    pub fn name(&self) -> &'static str {
        self.known.name
    }

    /// The length of its vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Tokens it takes of a text; what is longer is cut.
    pub fn max_tokens(&self) -> usize {
        self.known.max_tokens
    }

    /// What goes before a query, so that its vector lies near those of the texts that answer it.
    pub fn query_prompt(&self) -> &'static str {
        self.known.query_prompt
    }

    /// What it computes with.
    pub fn precision(&self) -> Precision {
        self.loaded.encoder.precision()
    }

    /// One [`Embedding`] a text, in their order; all or none. It is computed on threads of the model's own, which leave it when nobody waits
    /// for it any more.
    pub async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, ComputeError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let (sender, embedded) = oneshot::channel();
        let work = self.loaded.clone();
        self.loaded.threads.spawn(move || {
            let embedded = work.embed(&texts, &|| sender.is_closed());
            // Nobody waits any more: then what was asked for is of no use.
            let _ = sender.send(embedded);
        });
        embedded.await.map_err(|_| ComputeError("it panicked".to_owned()))?.map_err(ComputeError)
    }
}

/// A model's tokenizer.json may pad every text to 128 tokens, which makes short ones ten times slower, and cut at 128.
fn tokenizer(content: &[u8]) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(content).map_err(|e| e.to_string())?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

/// The tokens of a text, as many as the model takes.
struct Tokens {
    ids: Vec<u32>,
    cut: bool,
}

impl Loaded {
    fn embed(
        &self,
        texts: &[String],
        is_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Embedding>, String> {
        let all: Vec<Tokens> =
            texts.par_iter().map(|text| self.tokens(text)).collect::<Result<_, _>>()?;
        let total: usize = all.iter().map(|tokens| tokens.ids.len()).sum();
        let together = total.div_ceil(self.threads.current_num_threads()).min(TOGETHER);
        let vectors: Vec<Vec<Vec<f32>>> = groups(&all, together)
            .par_iter()
            .with_max_len(1)
            .map(|group| {
                if is_left() {
                    return Err("nobody waits for it".to_owned());
                }
                let texts: Vec<&[u32]> = group.iter().map(|tokens| tokens.ids.as_slice()).collect();
                self.encoder.embed(&texts).map_err(|error| error.to_string())
            })
            .collect::<Result<_, _>>()?;
        Ok(vectors
            .into_iter()
            .flatten()
            .zip(all)
            .map(|(vector, Tokens { ids, cut })| Embedding {
                vector,
                tokens: ids.len() as i64,
                cut,
            })
            .collect())
    }

    fn tokens(&self, text: &str) -> Result<Tokens, String> {
        let looked_at = &text[..text.floor_char_boundary(MAX_BYTES)];
        let encoding =
            self.tokenizer.encode_fast(looked_at, true).map_err(|error| error.to_string())?;
        let mut ids = encoding.get_ids().to_vec();
        let cut = ids.len() > self.max_tokens || looked_at.len() < text.len();
        if let (true, Some(end)) = (ids.len() > self.max_tokens, ids.last().copied()) {
            ids.truncate(self.max_tokens - 1);
            ids.push(end);
        }
        Ok(Tokens { ids, cut })
    }
}

/// Neighbours that have about `together` tokens.
fn groups(all: &[Tokens], together: usize) -> Vec<&[Tokens]> {
    let mut sum = 0;
    all.chunk_by(|one, _| {
        sum += one.ids.len();
        let more = sum < together;
        if !more {
            sum = 0;
        }
        more
    })
    .collect()
}
