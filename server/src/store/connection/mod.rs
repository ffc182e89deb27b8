//! Connections to PostgreSQL: addresses and pools, their invalidation after a restore, replicas and
//! snapshots.

#[macro_use]
mod identity;

pub mod address;
mod invalidation;
pub mod pool;
pub mod replica;
pub mod snapshot;
