//! What the server and the operator of AgentFS agree on: each thing that one of them writes and the other reads is defined here once.
//!
//! A change here is a change between two programs of different versions: the operator runs servers of the release before its own.

pub mod api_key;
pub mod drain;
pub mod drill_record;
pub mod error_code;
pub mod exit_code;
pub mod health;
pub mod manifest;
pub mod people;
pub mod port;
pub mod progress;
pub mod record;
pub mod request;
pub mod session;
pub mod setting;
pub mod termination;
pub mod verification;
