//! What benchmarks start and end: a PostgreSQL of their own, the API, helpers.

pub mod postgres;
pub mod program;
pub mod servers;
