//! Connections to PostgreSQL: addresses and pools, their invalidation after a restore, replicas and
//! snapshots.

#[macro_use]
mod identity;

pub mod address;
pub(in crate::store) mod invalidation;
pub mod replica;
pub mod snapshot;
