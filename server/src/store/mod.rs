//! All SQL and the types of its rows, and nothing else: a folder a subject.

#[macro_use]
mod live;
#[macro_use]
pub mod connection;

pub mod access;
pub mod databases;
pub mod embeddings;
pub mod entries;
mod error;
pub mod fingerprint;
pub mod in_place;
pub mod names;
pub mod requests;
pub mod restored;
pub mod schema;
pub mod scratch;
pub mod search;
mod time;

pub use self::error::{Cause, StoreError};
