//! Background tasks of every API process: tombstones of what has expired, books of stored bytes, repair of search documents,
//! and gauges.

pub mod backups;
pub mod gauges;
pub mod search_repair;
pub mod stored_bytes;
pub mod sweeper;
mod trouble;
