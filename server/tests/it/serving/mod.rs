//! The process: its start, connections, logs and end.

mod connections;
mod dearest;
mod drain;
mod logs;
mod operations;
mod start;
mod tls;
