//! The server on a real PostgreSQL, which the tests start and end themselves.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod admin;
mod api;
mod auth;
mod batch;
mod cli;
mod compatibility;
mod concurrency;
mod crash;
mod database;
mod dev;
mod entries;
mod errors;
mod glob;
mod health;
mod idempotency;
mod isolation;
mod jobs;
mod linearizability;
mod list;
mod live_migration;
mod migrate;
mod preconditions;
mod process;
mod quota;
mod restore;
mod runbook_sql;
mod shell;
mod tenants;
