//! Search: the text that is embedded and its chunks, the text of full text search, the names of a query, and the fusion of rankings.

pub mod chunks;
pub mod embedding_text;
mod folding;
pub mod fusion;
pub mod lexical_text;
pub mod names;
