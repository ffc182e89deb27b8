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

/// A model.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Numbers that no other model begins with: its first ones of `embeddings.LayerNorm.weight`.
    mark: [f32; 3],
    pub(super) pooling: Pooling,
    /// Tokens of the longest texts that it was made with.
    pub(super) max_tokens: usize,
    /// What goes before a query.
    pub(super) query_prompt: &'static str,
}

const KNOWN: [Known; 3] = [
    Known {
        name: "all-MiniLM-L6-v2",
        mark: [0.598_928_33, 0.583_594_8, 0.633_541_05],
        pooling: Pooling::Mean,
        max_tokens: 256,
        query_prompt: "",
    },
    Known {
        name: "bge-small-en-v1.5",
        mark: [0.584_960_94, 0.575_195_3, 0.603_515_6],
        pooling: Pooling::First,
        max_tokens: 512,
        query_prompt: "Represent this sentence for searching relevant passages: ",
    },
    Known {
        name: "all-mpnet-base-v2",
        mark: [0.304_769_07, 0.372_134_66, 0.289_998_92],
        pooling: Pooling::Mean,
        max_tokens: 384,
        query_prompt: "",
    },
];

/// Which one it is, by its weights: its folder may have any name.
pub(super) fn recognise(config: &Config, weights: &Weights<'_>) -> Result<&'static Known, String> {
    let begins = weights.read("embeddings.LayerNorm.weight", &[config.hidden_size])?;
    KNOWN.iter().find(|known| begins.starts_with(&known.mark)).ok_or_else(|| {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        format!("it is none of the models {}", names.join(" and "))
    })
}
