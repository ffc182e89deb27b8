//! The model's files: config.json and model.safetensors.

use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

/// The file of the model's numbers, which only a model's folder has.
pub(super) const FILE: &str = "model.safetensors";
/// Most bytes of the list of what is in the file: that of the largest model here has 25,000.
const MAX_HEAD: u64 = 16 << 20;

/// What of the model's config.json matters here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    model_type: String,
    pub(super) hidden_size: usize,
    hidden_act: String,
    pub(super) intermediate_size: usize,
    pub(super) layer_norm_eps: f32,
    pub(super) max_position_embeddings: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_hidden_layers: usize,
    #[serde(default)]
    pub(super) type_vocab_size: usize,
    /// Of MPNet alone.
    #[serde(default)]
    pub(super) relative_attention_num_buckets: usize,
    pub(super) vocab_size: usize,
}

impl Config {
    /// Whether it is of MPNet's shape, else of BERT's.
    pub(super) fn is_mpnet(&self) -> bool {
        self.model_type == "mpnet"
    }

    /// The position of a text's first token: MPNet counts from after the one that stands for padding.
    pub(super) fn first_position(&self) -> usize {
        if self.is_mpnet() { 2 } else { 0 }
    }

    /// Says what this program cannot do.
    pub(super) fn check(&self, max_tokens: usize, vocabulary: usize) -> Result<(), String> {
        let Self { hidden_size, num_attention_heads: heads, .. } = self;
        if self.hidden_act != "gelu" {
            return Err(format!("hidden_act is {:?}, not gelu", self.hidden_act));
        }
        if *hidden_size == 0 || *heads == 0 || !hidden_size.is_multiple_of(*heads) {
            return Err("hidden_size is no multiple of num_attention_heads".to_owned());
        }
        if self.intermediate_size == 0 {
            return Err("intermediate_size is 0".to_owned());
        }
        match self.model_type.as_str() {
            "bert" if self.type_vocab_size == 0 => {
                return Err("type_vocab_size is 0".to_owned());
            }
            "mpnet" if self.relative_attention_num_buckets < 4 => {
                return Err("relative_attention_num_buckets is less than 4".to_owned());
            }
            "bert" | "mpnet" => {}
            other => return Err(format!("model_type is {other:?}, not bert or mpnet")),
        }
        if self.max_position_embeddings < max_tokens + self.first_position() {
            return Err(format!("it takes fewer than {max_tokens} tokens"));
        }
        if self.vocab_size < vocabulary {
            return Err("tokenizer.json has more tokens than vocab_size".to_owned());
        }
        Ok(())
    }
}

/// The model's numbers by name. They are read from the file one table at a time: all of them together would take twice the memory
/// that the model takes afterwards.
pub(super) struct Weights {
    file: File,
    /// Where the first table begins.
    start: u64,
    tables: Metadata,
}

impl Weights {
    pub(super) fn new(mut file: File) -> Result<Self, String> {
        let wrong = |why: &dyn Display| format!("it is not in the format safetensors: {why}");
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|error| wrong(&error))?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEAD {
            return Err(wrong(&"it begins with too large a number"));
        }
        let mut head = vec![0; size as usize];
        file.read_exact(&mut head).map_err(|error| wrong(&error))?;
        let tables = serde_json::from_slice(&head).map_err(|error| wrong(&error))?;
        Ok(Self { file, start: 8 + size, tables })
    }

    /// Row by row.
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let table = self.tables.info(name).ok_or_else(|| format!("it has no {name}"))?;
        if table.dtype != Dtype::F32 || table.shape != shape {
            return Err(format!("{name} is not of single precision and of shape {shape:?}"));
        }
        let (begin, end) = table.data_offsets;
        let mut bytes = vec![0; end - begin];
        self.file
            .read_exact_at(&mut bytes, self.start + begin as u64)
            .map_err(|error| format!("{name} cannot be read: {error}"))?;
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}
