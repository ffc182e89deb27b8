//! What benchmarks have in common: PostgreSQL and the API, the entries in it, and load by pgbench, by wrk and at a fixed rate.

pub mod entries;
pub mod machine;
pub mod open_loop;
pub mod pgbench;
pub mod postgres;
pub mod program;
pub mod sample;
pub mod servers;
pub mod vector_indexes;
pub mod wrk;
