//! Search: the text that is embedded, the text of full text search, the names of a query, and the fusion of rankings.

pub mod embedding_text;
mod folding;
pub mod fusion;
pub mod lexical_text;
pub mod names;
