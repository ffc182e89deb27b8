//! all-MiniLM-L6-v2 on this machine's processors, from a folder with config.json, tokenizer.json and model.safetensors.

mod bert;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use self::bert::{Bert, Config};
use super::{EmbedError, Embedder, Embedding, Model};

/// Texts that go through the model together.
const TOGETHER: usize = 32;
/// Tokens of a text; the model was made with texts of up to so many.
const MAX_TOKENS: usize = 256;
/// Bytes of a text that are looked at: more than [`MAX_TOKENS`] tokens of any language take.
const MAX_BYTES: usize = 32 << 10;

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
        "the embedding model's file {path} is not of all-MiniLM-L6-v2 ({reason}); EMBEDDING_MODEL_DIR must be the folder that scripts/model prints"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The model, in memory.
#[derive(Debug)]
pub struct Local {
    model: Model,
    loaded: Arc<Loaded>,
}

struct Loaded {
    tokenizer: Tokenizer,
    bert: Bert,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded")
    }
}

impl Local {
    /// Reads the model of `folder`: about 90 MB.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let read = |name: &str| {
            let path = folder.join(name);
            match fs::read(&path) {
                Ok(content) => Ok((path, content)),
                Err(source) => Err(LoadError::File { path, source }),
            }
        };
        let wrong = |path: &Path, reason: String| LoadError::Content { path: path.into(), reason };
        let (path, content) = read("config.json")?;
        let config: Config =
            serde_json::from_slice(&content).map_err(|e| wrong(&path, e.to_string()))?;
        config.check().map_err(|reason| wrong(&path, reason))?;
        let (path, content) = read("tokenizer.json")?;
        let tokenizer = tokenizer(&content).map_err(|reason| wrong(&path, reason))?;
        let (path, content) = read("model.safetensors")?;
        let bert = VarBuilder::from_buffered_safetensors(content, DType::F32, &Device::Cpu)
            .and_then(|weights| Bert::load(&config, &weights))
            .map_err(|error| wrong(&path, error.to_string()))?;
        let model = Model {
            name: "all-MiniLM-L6-v2".to_owned(),
            dimensions: config.hidden_size,
            max_tokens: MAX_TOKENS,
        };
        Ok(Self { model, loaded: Arc::new(Loaded { tokenizer, bert }) })
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
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let loaded = self.loaded.clone();
        async move {
            let work = tokio::task::spawn_blocking(move || loaded.embed(&texts));
            let failed = |error: &dyn std::fmt::Display| {
                EmbedError::Wrong(format!("the local embedding model failed: {error}"))
            };
            work.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
        }
        .boxed()
    }
}

/// The package's tokenizer pads every text to 128 tokens, which makes short ones ten times slower, and cuts at 128.
fn tokenizer(content: &[u8]) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(content).map_err(|e| e.to_string())?;
    tokenizer.with_padding(None);
    let cut = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(cut)).map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

impl Loaded {
    fn embed(&self, texts: &[String]) -> Result<Vec<Embedding>, String> {
        let looked_at: Vec<&str> =
            texts.iter().map(|text| &text[..text.floor_char_boundary(MAX_BYTES)]).collect();
        let encodings =
            self.tokenizer.encode_batch(looked_at, true).map_err(|error| error.to_string())?;
        // Texts of like length go together: all are padded to the longest.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| encodings[i].len());
        let mut vectors = vec![Vec::new(); texts.len()];
        for together in order.chunks(TOGETHER) {
            let batch: Vec<&Encoding> = together.iter().map(|&i| &encodings[i]).collect();
            let embedded = self.forward(&batch).map_err(|error| error.to_string())?;
            for (&i, vector) in together.iter().zip(embedded) {
                vectors[i] = vector;
            }
        }
        Ok(vectors
            .into_iter()
            .zip(encodings.iter().zip(texts))
            .map(|(vector, (encoding, text))| Embedding {
                vector,
                tokens: encoding.len() as i64,
                cut: !encoding.get_overflowing().is_empty() || text.len() > MAX_BYTES,
            })
            .collect())
    }

    /// Mean of the tokens' vectors, of length 1.
    fn forward(&self, batch: &[&Encoding]) -> candle_core::Result<Vec<Vec<f32>>> {
        let longest = batch.iter().map(|encoding| encoding.len()).max().unwrap_or_default();
        let mut ids = vec![0_u32; batch.len() * longest];
        let mut mask = vec![0_f32; batch.len() * longest];
        for (row, encoding) in batch.iter().enumerate() {
            let place = row * longest..row * longest + encoding.len();
            ids[place.clone()].copy_from_slice(encoding.get_ids());
            mask[place].fill(1.0);
        }
        let shape = (batch.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let tokens = self.bert.forward(&ids, &mask)?;
        let weights = mask.unsqueeze(2)?;
        let sum = tokens.broadcast_mul(&weights)?.sum(1)?;
        let mean = sum.broadcast_div(&weights.sum(1)?)?;
        mean.broadcast_div(&mean.sqr()?.sum_keepdim(1)?.sqrt()?)?.to_vec2()
    }
}
