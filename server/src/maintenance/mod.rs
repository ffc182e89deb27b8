//! Background tasks of every API process: tombstones of what has expired, repair of search documents, and gauges.

pub mod gauges;
pub mod search_repair;
pub mod sweeper;
