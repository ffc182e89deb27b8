//! Connections to PostgreSQL: addresses, hosts and pools, their invalidation after a restore or a failover, whether idle ones
//! are still there, replicas and snapshots.

#[macro_use]
mod identity;

pub mod address;
pub mod advisory_lock;
mod hosts;
mod invalidation;
mod liveness;
pub mod oldest_snapshot;
pub(in crate::store) mod patient;
pub mod pool;
pub mod read_only;
pub mod replica;
pub mod snapshot;
