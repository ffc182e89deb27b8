//! What tests are made with: a PostgreSQL, an API, its client, a provider, programs and their output.

pub mod api;
pub mod backups;
pub mod cgroup;
pub mod cli;
pub mod database;
pub mod eventually;
pub mod jobs;
pub mod minute;
pub mod model;
pub mod namespace;
pub mod pgbouncer;
pub mod process;
pub mod proofs;
pub mod provider;
pub mod proxy;
pub mod raw;
pub mod replica;
pub mod s3_proxy;
pub mod s3_server;
pub mod semantic;
pub mod server_user;
pub mod shell;
pub mod small_volume;
pub mod stored;
pub mod strangers;
pub mod worker;
