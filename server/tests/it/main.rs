//! The server on a real PostgreSQL, which the tests start and end themselves.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod access;
mod consistency;
mod dev;
mod mcp;
mod operations;
mod recovery;
mod routes;
mod serving;
mod support;
mod transfer;
mod worker;
