//! The server on a real PostgreSQL, which the tests start and end themselves.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod admin;
mod agents;
mod api;
mod as_of;
mod auth;
mod batch;
mod cli;
mod compatibility;
mod concurrency;
mod connections;
mod crash;
mod database;
mod dev;
mod docs;
mod drain;
mod dump;
mod entries;
mod errors;
mod expiry;
mod glob;
mod health;
mod history;
mod hostile;
mod idempotency;
mod isolation;
mod jobs;
mod linearizability;
mod list;
mod live_migration;
#[cfg(feature = "local-model")]
mod local_model;
mod logs;
mod metrics;
mod migrate;
mod openapi;
mod pages;
mod preauth;
mod preconditions;
mod process;
mod provider;
mod quota;
mod rate_limit;
mod raw;
mod restore;
mod runbook_sql;
mod search;
mod shell;
mod start;
mod tenants;
mod worker;
