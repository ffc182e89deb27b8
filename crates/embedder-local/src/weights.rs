//! The model's files: config.json and model.safetensors.

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

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

/// The model's numbers by name.
pub(super) struct Weights<'a>(SafeTensors<'a>);

impl<'a> Weights<'a> {
    pub(super) fn new(file: &'a [u8]) -> Result<Self, String> {
        SafeTensors::deserialize(file).map(Self).map_err(|error| error.to_string())
    }

    /// Row by row.
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.0.tensor(name).map_err(|error| error.to_string())?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            return Err(format!("{name} is not of single precision and of shape {shape:?}"));
        }
        let (numbers, _) = tensor.data().as_chunks();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}
