//! What holds under concurrency, crashes, migrations, replicas and the passing of time.

mod compatibility;
mod concurrency;
mod crash;
mod expiry;
mod failover;
mod hosts;
mod idle;
mod linearizability;
mod live_migration;
mod locks;
mod lost_commit;
mod migrate;
mod odd_databases;
mod old_snapshot;
mod replica;
