//! The process: its start, connections, logs and end.

mod audit;
mod connections;
mod dearest;
mod drain;
mod flood;
mod logs;
mod memory;
mod operations;
mod start;
mod strangers;
mod tls;
