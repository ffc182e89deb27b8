//! The server on a real PostgreSQL, which the tests start and end themselves.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod api;
mod auth;
mod batch;
mod concurrency;
mod connections;
mod crash;
mod database;
mod dev;
mod drain;
mod entries;
mod errors;
mod glob;
mod health;
mod hostile;
mod idempotency;
mod linearizability;
mod list;
mod logs;
mod metrics;
mod migrate;
mod preauth;
mod preconditions;
mod process;
mod quota;
mod rate_limit;
mod raw;
mod start;
