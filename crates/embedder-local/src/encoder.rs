//! The encoder of BERT and of MPNet: tokens into one vector a text.
//!
//! The tokens of many texts lie one after another in one matrix. So the products, which are nearly all of the work, are of many
//! rows, and nothing is spent on padding; only attention goes text by text.

use rten_gemm::{GemmError, GemmInputA, GemmInputB, GemmOptions};
use rten_simd::{SimdOp as _, SimdUnaryOp as _};
use rten_tensor::NdTensorView;
use rten_vecmath::{Gelu, Normalize, NormalizeOptions, Softmax, Sum, SumSquareSub};

use super::distance::DistanceBias;
use super::known::Pooling;
use super::linear::{Kernels, Linear, Precision, Space};
use super::weights::{Config, Weights};

pub(super) struct Encoder {
    precision: Precision,
    pooling: Pooling,
    size: usize,
    words: Vec<f32>,
    /// With what marks the first sentence, which all of a text is.
    positions: Vec<f32>,
    /// Of MPNet alone.
    distances: Option<DistanceBias>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl Encoder {
    /// `precision` is the best for this processor where none is given, and never one that it has no instructions for.
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        pooling: Pooling,
        precision: Option<Precision>,
    ) -> Result<Self, String> {
        let size = config.hidden_size;
        let kernels = Kernels::new();
        let precision = match (precision, kernels.best()) {
            (_, Precision::Single) => Precision::Single,
            (asked, Precision::Eight) => asked.unwrap_or(Precision::Eight),
        };
        let table =
            |name: &str, rows| weights.read(&format!("embeddings.{name}.weight"), &[rows, size]);
        let mut positions = table("position_embeddings", config.max_position_embeddings)?;
        positions.drain(..config.first_position() * size);
        let distances = if config.is_mpnet() {
            Some(DistanceBias::load(config, weights, positions.len() / size)?)
        } else {
            let sentences = table("token_type_embeddings", config.type_vocab_size)?;
            for position in positions.chunks_mut(size) {
                add(position, &sentences[..size]);
            }
            None
        };
        Ok(Self {
            precision,
            pooling,
            size,
            words: table("word_embeddings", config.vocab_size)?,
            positions,
            distances,
            norm: Norm::load(config, weights, "embeddings.LayerNorm")?,
            layers: (0..config.num_hidden_layers)
                .map(|n| Layer::load(config, weights, &kernels, precision, n))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// The vector of each text, of length 1. Tokens are of the vocabulary, and of a text no
    /// more than there are positions and at least one.
    pub(super) fn embed(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, GemmError> {
        let size = self.size;
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let mut hidden = Vec::with_capacity(lengths.iter().sum::<usize>() * size);
        for text in texts {
            for (token, position) in text.iter().zip(self.positions.chunks(size)) {
                let start = hidden.len();
                let word = *token as usize * size;
                hidden.extend_from_slice(&self.words[word..word + size]);
                add(&mut hidden[start..], position);
                self.norm.apply(&mut hidden[start..]);
            }
        }
        let mut step = Step::default();
        let kernels = Kernels::new();
        for layer in &self.layers {
            layer.apply(&kernels, &mut step, self.distances.as_ref(), &mut hidden, &lengths)?;
        }
        let mut rest = hidden.as_slice();
        Ok(lengths
            .iter()
            .map(|length| {
                let (of, after) = rest.split_at(length * size);
                rest = after;
                let pooled = match self.pooling {
                    Pooling::Mean => of,
                    Pooling::First => &of[..size],
                };
                let mut vector = vec![0.0; size];
                for token in pooled.chunks(size) {
                    add(&mut vector, token);
                }
                let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|x| *x /= norm);
                vector
            })
            .collect())
    }
}

struct Layer {
    heads: usize,
    /// Query, key and value in one product.
    attention: Linear,
    attended: Linear,
    attended_norm: Norm,
    inner: Linear,
    outer: Linear,
    outer_norm: Norm,
}

impl Layer {
    fn load(
        config: &Config,
        weights: &Weights,
        kernels: &Kernels,
        precision: Precision,
        number: usize,
    ) -> Result<Self, String> {
        let size = config.hidden_size;
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let linear = |parts: &[&str], inputs: usize, outputs: usize| {
            let (mut all, mut biases) = (Vec::new(), Vec::new());
            for part in parts {
                all.extend(weights.read(&name(&format!("{part}.weight")), &[outputs, inputs])?);
                biases.extend(weights.read(&name(&format!("{part}.bias")), &[outputs])?);
            }
            Ok::<_, String>(Linear::new(kernels, precision, &all, biases, inputs))
        };
        let ([query, key, value], attended, attended_norm) = if config.is_mpnet() {
            let parts = ["attention.attn.q", "attention.attn.k", "attention.attn.v"];
            (parts, "attention.attn.o", "attention.LayerNorm")
        } else {
            let parts = ["attention.self.query", "attention.self.key", "attention.self.value"];
            (parts, "attention.output.dense", "attention.output.LayerNorm")
        };
        Ok(Self {
            heads: config.num_attention_heads,
            attention: linear(&[query, key, value], size, size)?,
            attended: linear(&[attended], size, size)?,
            attended_norm: Norm::load(config, weights, &name(attended_norm))?,
            inner: linear(&["intermediate.dense"], size, config.intermediate_size)?,
            outer: linear(&["output.dense"], config.intermediate_size, size)?,
            outer_norm: Norm::load(config, weights, &name("output.LayerNorm"))?,
        })
    }

    fn apply(
        &self,
        kernels: &Kernels,
        step: &mut Step,
        distances: Option<&DistanceBias>,
        hidden: &mut [f32],
        lengths: &[usize],
    ) -> Result<(), GemmError> {
        let size = self.attended.outputs();
        let rows = hidden.len() / size;
        step.projected.resize(rows * self.attention.outputs(), 0.0);
        step.attended.resize(hidden.len(), 0.0);
        step.inner.resize(rows * self.inner.outputs(), 0.0);
        step.change.resize(hidden.len(), 0.0);
        let Step { projected, attended, inner, change, space, scores, mixed } = step;
        self.attention.apply(kernels, space, hidden, projected, |_, _| ())?;
        let (mut from, mut to) = (projected.as_slice(), attended.as_mut_slice());
        for length in lengths {
            let (of, after) = from.split_at(length * size * 3);
            let (into, rest) = to.split_at_mut(length * size);
            self.attend(kernels, (scores, mixed), distances, of, into)?;
            (from, to) = (after, rest);
        }
        self.attended.apply(kernels, space, attended, change, |first, rows| {
            self.attended_norm.add(&mut hidden[first * size..][..rows.len()], rows);
        })?;
        self.inner.apply(kernels, space, hidden, inner, |_, rows| Gelu {}.map_mut(rows))?;
        self.outer.apply(kernels, space, inner, change, |first, rows| {
            self.outer_norm.add(&mut hidden[first * size..][..rows.len()], rows);
        })
    }

    /// Of one text: `projected` has query, key and value of each token.
    fn attend(
        &self,
        kernels: &Kernels,
        (scores, mixed): (&mut Vec<f32>, &mut Vec<f32>),
        distances: Option<&DistanceBias>,
        projected: &[f32],
        attended: &mut [f32],
    ) -> Result<(), GemmError> {
        let size = self.attended.outputs();
        let (length, width) = (attended.len() / size, size / self.heads);
        let all = NdTensorView::from_data([length, 3 * size], projected);
        let alpha = 1.0 / (width as f32).sqrt();
        scores.resize(length * length, 0.0);
        mixed.resize(length * width, 0.0);
        for head in 0..self.heads {
            let part = |n: usize| {
                let start = n * size + head * width;
                all.slice((.., start..start + width))
            };
            let (query, key, value) = (part(0), part(1), part(2));
            kernels.single.gemm(
                scores,
                GemmInputA::Unpacked(query),
                GemmInputB::Unpacked(key.transposed()),
                GemmOptions { alpha, ..Default::default() },
            )?;
            for (token, row) in scores.chunks_mut(length).enumerate() {
                if let Some(distances) = distances {
                    add(row, distances.row(head, token, length));
                }
                Softmax::new_mut(row).dispatch();
            }
            kernels.single.gemm(
                mixed,
                GemmInputA::Unpacked(NdTensorView::from_data([length, length], scores.as_slice())),
                GemmInputB::Unpacked(value),
                GemmOptions::default(),
            )?;
            for (to, from) in attended.chunks_mut(size).zip(mixed.chunks(width)) {
                to[head * width..][..width].copy_from_slice(from);
            }
        }
        Ok(())
    }
}

/// What is needed between two steps, kept so that it is taken from the operating system once.
#[derive(Default)]
struct Step {
    projected: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    change: Vec<f32>,
    space: Space,
}

/// Brings rows to mean and spread of their own.
struct Norm {
    scale: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    fn load(config: &Config, weights: &Weights, name: &str) -> Result<Self, String> {
        let read = |part: &str| weights.read(&format!("{name}.{part}"), &[config.hidden_size]);
        Ok(Self { scale: read("weight")?, bias: read("bias")?, epsilon: config.layer_norm_eps })
    }

    /// Adds `other` to `rows`, row by row.
    fn add(&self, rows: &mut [f32], other: &[f32]) {
        let size = self.scale.len();
        for (row, other) in rows.chunks_mut(size).zip(other.chunks(size)) {
            add(row, other);
            self.apply(row);
        }
    }

    fn apply(&self, row: &mut [f32]) {
        let mean = Sum::new(row).dispatch() / row.len() as f32;
        let variance = SumSquareSub::new(row, mean).dispatch() / row.len() as f32;
        let options = NormalizeOptions {
            pre_scale_bias: mean,
            scale: 1.0 / (variance + self.epsilon).sqrt(),
            element_scale: Some(&self.scale),
            bias: 0.0,
            element_bias: Some(&self.bias),
        };
        Normalize::new_mut(row, options).dispatch();
    }
}

fn add(to: &mut [f32], other: &[f32]) {
    for (to, other) in to.iter_mut().zip(other) {
        *to += other;
    }
}
