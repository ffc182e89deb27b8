//! The models that this program knows, and how their authors want them to be used.

use super::weights::{Config, Weights};

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first one, which stands for the whole.
    First,
}

/// A model that this program knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// The length of its vectors.
    pub dimensions: usize,
    /// Numbers that no other model begins with: its first ones of `embeddings.LayerNorm.weight`.
    mark: [f32; 3],
    pub(super) pooling: Pooling,
    /// Tokens of the longest texts that it was made with.
    pub max_tokens: usize,
    /// What goes before a query.
    pub query_prompt: &'static str,
}

/// The one that finds most comes first (docs/PERFORMANCE.md).
pub(super) const KNOWN: [Known; 3] = [
    Known {
        name: "all-mpnet-base-v2",
        dimensions: 768,
        mark: [0.304_769_07, 0.372_134_66, 0.289_998_92],
        pooling: Pooling::Mean,
        max_tokens: 384,
        query_prompt: "",
    },
    Known {
        name: "all-MiniLM-L6-v2",
        dimensions: 384,
        mark: [0.598_928_33, 0.583_594_8, 0.633_541_05],
        pooling: Pooling::Mean,
        max_tokens: 256,
        query_prompt: "",
    },
    Known {
        name: "bge-small-en-v1.5",
        dimensions: 384,
        mark: [0.584_960_94, 0.575_195_3, 0.603_515_6],
        pooling: Pooling::First,
        max_tokens: 512,
        query_prompt: "Represent this sentence for searching relevant passages: ",
    },
];

/// The names of the models that this program knows.
pub fn names() -> Vec<&'static str> {
    KNOWN.iter().map(|known| known.name).collect()
}

/// Which one it is, by its weights: its folder may have any name.
pub(super) fn recognise(config: &Config, weights: &Weights) -> Result<&'static Known, String> {
    let begins = weights.read("embeddings.LayerNorm.weight", &[config.hidden_size])?;
    let known = KNOWN.iter().find(|known| begins.starts_with(&known.mark));
    known.ok_or_else(|| format!("it is none of the models {}", names().join(", ")))
}
