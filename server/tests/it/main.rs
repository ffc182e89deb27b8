//! The server on a real PostgreSQL, which the tests start and end themselves.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod agents;
mod api;
mod as_of;
mod auth;
mod concurrency;
mod crash;
mod database;
mod dev;
mod dump;
mod entries;
mod errors;
mod expiry;
mod glob;
mod health;
mod history;
mod list;
mod migrate;
mod pages;
mod quota;
