//! The AgentFS server: an HTTP API over PostgreSQL that gives agents a durable memory with the shape of a file system.

pub mod access;
pub mod audit;
pub mod commands;
pub mod domain;
pub mod embedding;
pub mod group_commit;
pub mod http;
pub mod listen;
pub mod maintenance;
pub mod memory;
pub mod records;
pub mod recovery;
pub mod runtime;
pub mod settings;
pub mod stdio;
pub mod store;
pub mod tenancy;
pub mod transfer;
pub mod worker;
