//! The AgentFS server: an HTTP API over PostgreSQL that gives agents a durable memory with the shape of a file system.

pub mod admin;
pub mod auth;
pub mod batch;
pub mod commands;
pub mod domain;
pub mod embedding;
pub mod exit;
pub mod health;
pub mod http;
mod jitter;
pub mod listen;
pub mod logging;
pub mod meaning;
pub mod metrics;
pub mod migrate;
pub mod preauth;
pub mod rate_limit;
pub mod recovery;
pub mod replica;
pub mod serve;
pub mod settings;
pub mod store;
pub mod sweeper;
pub mod watch;
pub mod worker;
