//! Search: the text that is embedded, the words of full-text search, and the fusion of ranked lists.

pub mod embedding_text;
pub mod fusion;
pub mod lexical_text;
