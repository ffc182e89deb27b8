//! Connections to PostgreSQL: addresses, hosts and pools, their invalidation after a restore, replicas
//! and snapshots.

#[macro_use]
mod identity;

pub mod address;
mod hosts;
mod invalidation;
pub mod pool;
pub mod replica;
pub mod snapshot;
