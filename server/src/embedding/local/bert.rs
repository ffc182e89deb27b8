//! The encoder of BERT, as all-MiniLM-L6-v2 uses it: no more of it than gives a vector a token.
//!
//! Written out here because the library's collection of models costs more to compile than all the rest of the local model.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::{LayerNorm, Linear, Module as _, VarBuilder, layer_norm, linear};
use serde::Deserialize;

/// What of the model's config.json matters here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub(super) hidden_size: usize,
    hidden_act: String,
    intermediate_size: usize,
    layer_norm_eps: f64,
    max_position_embeddings: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    type_vocab_size: usize,
    vocab_size: usize,
}

impl Config {
    /// Says what this code cannot do.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        if self.hidden_act != "gelu" {
            return Err(format!("hidden_act is {:?}, not gelu", self.hidden_act));
        }
        if self.num_attention_heads == 0
            || !self.hidden_size.is_multiple_of(self.num_attention_heads)
        {
            return Err("hidden_size is no multiple of num_attention_heads".to_owned());
        }
        if self.max_position_embeddings < super::MAX_TOKENS {
            return Err(format!("it takes fewer than {} tokens", super::MAX_TOKENS));
        }
        Ok(())
    }
}

pub(super) struct Bert {
    words: Tensor,
    positions: Tensor,
    /// Of the first sentence, which all of a text is.
    sentence: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Bert {
    pub(super) fn load(config: &Config, weights: &VarBuilder) -> Result<Self> {
        let size = config.hidden_size;
        let embeddings = weights.pp("embeddings");
        let table = |name: &str, rows| embeddings.pp(name).get((rows, size), "weight");
        Ok(Self {
            words: table("word_embeddings", config.vocab_size)?,
            positions: table("position_embeddings", config.max_position_embeddings)?,
            sentence: table("token_type_embeddings", config.type_vocab_size)?.get(0)?,
            norm: layer_norm(size, config.layer_norm_eps, embeddings.pp("LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|n| Layer::load(config, &weights.pp("encoder.layer").pp(n)))
                .collect::<Result<_>>()?,
        })
    }

    /// A vector a token. `ids` and `mask` are of texts × tokens; the mask is 1 where there is a token, else 0.
    pub(super) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, tokens) = ids.dims2()?;
        let words = self.words.index_select(&ids.flatten_all()?, 0)?;
        let places = self.positions.narrow(0, 0, tokens)?.broadcast_add(&self.sentence)?;
        let sum = words.reshape((texts, tokens, ()))?.broadcast_add(&places)?;
        let mut hidden = self.norm.forward(&sum)?;
        // Added to what a token may attend to: nothing, or so much that no weight is left.
        let closed = mask.affine(1e9, -1e9)?.reshape((texts, 1, 1, tokens))?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &closed)?;
        }
        Ok(hidden)
    }
}

struct Layer {
    /// Query, key and value in one product.
    attention: Linear,
    heads: usize,
    attended: Linear,
    attended_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    outer_norm: LayerNorm,
}

impl Layer {
    fn load(config: &Config, weights: &VarBuilder) -> Result<Self> {
        let (size, eps) = (config.hidden_size, config.layer_norm_eps);
        let of = |name: &str| linear(size, size, weights.pp("attention.self").pp(name));
        let parts = [of("query")?, of("key")?, of("value")?];
        let biases: Vec<&Tensor> = parts.iter().filter_map(Linear::bias).collect();
        Ok(Self {
            attention: Linear::new(
                Tensor::cat(&parts.each_ref().map(Linear::weight), 0)?,
                Some(Tensor::cat(&biases, 0)?),
            ),
            heads: config.num_attention_heads,
            attended: linear(size, size, weights.pp("attention.output.dense"))?,
            attended_norm: layer_norm(size, eps, weights.pp("attention.output.LayerNorm"))?,
            inner: linear(size, config.intermediate_size, weights.pp("intermediate.dense"))?,
            outer: linear(config.intermediate_size, size, weights.pp("output.dense"))?,
            outer_norm: layer_norm(size, eps, weights.pp("output.LayerNorm"))?,
        })
    }

    fn forward(&self, hidden: &Tensor, closed: &Tensor) -> Result<Tensor> {
        let attended = self.attended.forward(&self.attend(hidden, closed)?)?;
        let hidden = self.attended_norm.forward(&(attended + hidden)?)?;
        let inner = self.inner.forward(&hidden)?.gelu_erf()?;
        self.outer_norm.forward(&(self.outer.forward(&inner)? + &hidden)?)
    }

    fn attend(&self, hidden: &Tensor, closed: &Tensor) -> Result<Tensor> {
        let (texts, tokens, size) = hidden.dims3()?;
        let width = size / self.heads;
        let all = self.attention.forward(hidden)?;
        let part = |n: usize| {
            let part = all.narrow(D::Minus1, n * size, size)?;
            part.reshape((texts, tokens, self.heads, width))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let scores = query.matmul(&key.t()?)?.affine(1.0 / (width as f64).sqrt(), 0.0)?;
        let weights = softmax_last_dim(&scores.broadcast_add(closed)?)?;
        weights.matmul(&value)?.transpose(1, 2)?.reshape((texts, tokens, size))
    }
}
