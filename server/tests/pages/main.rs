//! The pages for users, typed as they stand: every command without a mark, on a machine as a user has it.
//!
//! Only the ports are other ones, and what a user would compile or fetch is there already. Blocks with a mark are run elsewhere;
//! `agentfs_documents` knows the marks.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod api;
mod install;
mod machine;
mod mcp;
mod operations;
mod readme;
mod recipes;

#[allow(dead_code, reason = "the other tests of the server use the rest")]
#[path = "../it/support/server_user.rs"]
mod server_user;
