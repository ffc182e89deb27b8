//! Background tasks of every API process: tombstones of what has expired, books of stored bytes, repair of search documents,
//! gauges, and a look for old snapshots.

pub mod backups;
pub mod gauges;
mod old_snapshot;
pub mod search_repair;
pub mod stored_bytes;
pub mod sweeper;
mod trouble;
